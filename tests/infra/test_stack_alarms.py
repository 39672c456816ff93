"""Every failure, delay and standstill raises an alarm: each alarm's metric, and the text that it sends."""

import json
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from celeriac import Queue
from celeriac.model.stages import Project, StageSettings
from celeriac_cdk.config import ConfigError
from celeriac_cdk.monitoring.notice import MOST_CHARACTERS
from celeriac_cdk.monitoring.times import in_words
from celeriac_console.main import app as command
from celeriac_console.unknown_commands import Commands
from docs.site.pages import anchors
from tests.infra.conftest import QUEUES, Synth, build, built
from tests.infra.template import Resource, Stage, text

TOPIC = "arn:aws:sns:eu-west-1:123456789012"
RUNBOOK = Path(__file__).parents[2] / "docs/runbook.md"
each_queue = pytest.mark.parametrize("queue", QUEUES, ids=lambda queue: queue.name)


def alarm(stage: Stage, name: str) -> Resource:
    return stage.work.named("CloudWatch::Alarm", "AlarmName", f"celeriac-test--{name}")


def topics(alarm: Resource) -> list[str]:
    return [text(each).rpartition(":")[2] for each in alarm.get("AlarmActions", [])]


def measured(alarm: Resource) -> tuple[str, int, int]:
    return alarm["Statistic"], alarm["Period"], alarm["EvaluationPeriods"]


def watched(alarm: Resource) -> tuple[str, str, dict[str, str]]:
    dimensions = {each["Name"]: each["Value"] for each in alarm["Dimensions"]}
    return alarm["Namespace"], alarm["MetricName"], dimensions


@each_queue
def test_one_dead_letter_raises_the_alarm(stage: Stage, queue: Queue) -> None:
    name = queue.dead_letter_name("test")
    depth = alarm(stage, name.removeprefix("celeriac-test--"))

    assert watched(depth) == ("AWS/SQS", "ApproximateNumberOfMessagesVisible", {"QueueName": name})
    assert (depth["Threshold"], depth["ComparisonOperator"]) == (1, "GreaterThanOrEqualToThreshold")
    assert (measured(depth), depth["DatapointsToAlarm"]) == (("Maximum", 60, 5), 2)
    assert queue.name in depth["AlarmDescription"]


@each_queue
def test_the_alarm_on_age_is_raised_before_sqs_deletes_a_dead_letter(stage: Stage, queue: Queue) -> None:
    name = queue.dead_letter_name("test")
    age = alarm(stage, f"{name.removeprefix('celeriac-test--')}-age")
    reached = timedelta(seconds=age["Threshold"])

    assert watched(age) == ("AWS/SQS", "ApproximateAgeOfOldestMessage", {"QueueName": name})
    assert measured(age) == ("Maximum", 300, 1)
    # The age of a letter that SQS moved itself includes its wait in the source queue.
    assert reached + queue.retention < queue.dead_letter_retention


def test_the_text_of_an_alarm_gives_times_in_words(stage: Stage) -> None:
    texts = [each["AlarmDescription"] for each in stage.work.resources("CloudWatch::Alarm")]

    assert [text for text in texts if re.search(r"\d:\d\d", text)] == []
    assert "within 60 hours" in alarm(stage, "mail-dlq-age")["AlarmDescription"]
    assert "have waited for 20 minutes or longer" in alarm(stage, "spiky-age")["AlarmDescription"]
    assert in_words(timedelta(days=1)) == "1 day"
    assert in_words(timedelta(seconds=90)) == "90 seconds"


@each_queue
def test_a_late_queue_raises_the_alarm(stage: Stage, queue: Queue) -> None:
    late = alarm(stage, f"{queue.name}-age")

    source = {"QueueName": queue.physical_name("test")}
    assert watched(late) == ("AWS/SQS", "ApproximateAgeOfOldestMessage", source)
    assert measured(late) == ("Maximum", 60, 3)
    assert late["Threshold"] == queue.oldest_age.total_seconds() > queue.visibility.total_seconds()


@each_queue
def test_a_consumer_that_fails_at_each_delivery_raises_the_alarm(stage: Stage, queue: Queue) -> None:
    failing = alarm(stage, f"{queue.name}-errors")
    statistic, period, times = measured(failing)

    assert watched(failing) == ("AWS/Lambda", "Errors", {"FunctionName": f"celeriac-test--{queue.name}"})
    assert (statistic, times) == ("Sum", 3)
    assert period > queue.visibility.total_seconds()  # so far apart the deliveries of one message are
    assert period * times <= 24 * 3600  # CloudWatch's limit


@each_queue
def test_a_throttled_consumer_is_a_ticket(stage: Stage, queue: Queue) -> None:
    """Its reserve may be used up, or be zero. If the account is throttled, the sweeper's silence is the page."""
    throttled = alarm(stage, f"{queue.name}-throttles")
    assert watched(throttled) == ("AWS/Lambda", "Throttles", {"FunctionName": f"celeriac-test--{queue.name}"})
    assert measured(throttled) == ("Sum", 300, 3)
    assert topics(throttled) == ["celeriac-test--tickets"]
    fate = "moves them to the dead-letter queue" if queue.survives < queue.retention else "SQS deletes them"
    assert fate in throttled["AlarmDescription"]


def test_tasks_that_are_handed_back_for_an_hour_raise_the_alarm(stage: Stage) -> None:
    held = alarm(stage, "held-up")
    assert watched(held) == ("Celeriac", "HeldUp", {"service": "tasks", "stage": "celeriac-test"})
    assert (held["Threshold"], measured(held)) == (3600, ("Maximum", 300, 3))


def test_hooks_that_keep_failing_are_a_ticket(stage: Stage) -> None:
    failing = alarm(stage, "failed-hooks")
    assert watched(failing) == ("Celeriac", "FailedHooks", {"service": "tasks", "stage": "celeriac-test"})
    assert (failing["Threshold"], failing["DatapointsToAlarm"], measured(failing)) == (1, 3, ("Sum", 300, 12))
    assert topics(failing) == ["celeriac-test--tickets"]


@pytest.mark.parametrize("table", ["idempotency", "outbox", "outbox-waiting"])
def test_throttled_writes_of_a_table_or_index_are_a_ticket(stage: Stage, table: str) -> None:
    throttled = alarm(stage, f"{table}-table-writes")
    name, _, index = table.partition("-")
    # A table's throttle count doesn't include those of its index.
    of_it = {"TableName": f"celeriac-test--{name}"} | ({"GlobalSecondaryIndexName": index} if index else {})
    assert watched(throttled) == ("AWS/DynamoDB", "WriteThrottleEvents", of_it)
    assert measured(throttled) == ("Sum", 300, 2)
    assert topics(throttled) == ["celeriac-test--tickets"]


@pytest.mark.parametrize("kind", ["Read", "Write"])
def test_throttles_of_the_applications_own_tables_are_tickets(stage: Stage, kind: str) -> None:
    throttled = alarm(stage, f"accounts-table-{kind.lower()}s")
    assert watched(throttled) == ("AWS/DynamoDB", f"{kind}ThrottleEvents", {"TableName": "celeriac-test--accounts"})
    assert topics(throttled) == ["celeriac-test--tickets"]


def test_the_alarms_on_tables_tell_what_becomes_of_the_tasks(stage: Stage) -> None:
    assert "no attempt is charged" in alarm(stage, "outbox-table-writes")["AlarmDescription"]
    assert "Tasks that get this error fail" in alarm(stage, "accounts-table-writes")["AlarmDescription"]


def test_a_queue_and_a_table_of_one_name_have_alarms_of_their_own() -> None:
    queues = [Queue("accounts", reserved=5, max_concurrency=5), Queue("accounts-table")]
    _, work = build(queues, stage="test")
    found = [each["AlarmName"] for each in work.resources("CloudWatch::Alarm")]
    assert len(set(found)) == len(found)


@pytest.mark.parametrize(
    ("name", "metric", "threshold", "expected"),
    [
        ("outbox-UnpublishedAge", "UnpublishedAge", 300, ("Maximum", 60, 1)),
        ("outbox-ParkedEvents", "ParkedEvents", 1, ("Maximum", 300, 1)),
        ("removed-queues", "MessagesInRemovedQueues", 1, ("Maximum", 300, 6)),
    ],
)
def test_what_the_sweeper_measures_raises_alarms(
    stage: Stage, name: str, metric: str, threshold: int, expected: tuple[str, int, int]
) -> None:
    stranded = alarm(stage, name)
    assert watched(stranded) == ("Celeriac", metric, {"service": "outbox", "stage": "celeriac-test"})
    assert (stranded["Threshold"], measured(stranded)) == (threshold, expected)


def test_a_sweeper_that_does_not_run_raises_the_alarm(stage: Stage) -> None:
    silent = alarm(stage, "outbox-silence")
    assert (measured(silent), silent["TreatMissingData"]) == (("SampleCount", 300, 3), "breaching")
    assert (silent["Threshold"], silent["ComparisonOperator"]) == (1, "LessThanThreshold")


def test_every_dead_letter_queue_has_its_alarms(stage: Stage, application: Stage) -> None:
    """The relay's has none: the rows themselves are in the outbox, whose alarms tell of them."""
    for each in (stage, application):
        names = {queue["QueueName"] for queue in each.state.resources("SQS::Queue")}
        found = [watched(one) for one in each.work.resources("CloudWatch::Alarm")]
        letters = {name for name in names if name.removesuffix(".fifo").endswith("-dlq")}
        letters = {name for name in letters if not name.endswith("--relay-dlq")}
        for metric in ("ApproximateNumberOfMessagesVisible", "ApproximateAgeOfOldestMessage"):
            watching = {dimensions["QueueName"] for _, named, dimensions in found if named == metric}
            # The outbox keeps the events that the bus couldn't send on, so it doesn't matter when SQS deletes them.
            kept = {name for name in letters if name.endswith("--bus-dlq") and "Age" in metric}
            assert letters - kept <= watching <= names


def test_an_idle_stage_raises_no_alarm_and_has_none_without_data(stage: Stage) -> None:
    found = stage.work.resources("CloudWatch::Alarm")

    on_silence = [one["AlarmName"] for one in found if one["TreatMissingData"] != "notBreaching"]
    assert on_silence == ["celeriac-test--outbox-silence"]  # measured each minute, even if nothing happens
    for one in found:
        if one["TreatMissingData"] == "notBreaching":
            assert one["ComparisonOperator"] == "GreaterThanOrEqualToThreshold"
            assert one["Threshold"] >= 1


def test_every_alarm_tells_one_topic_when_it_begins_and_ends_and_says_what_to_do(synth: Synth) -> None:
    stage = synth(stage="test", runbook="https://wiki.example.org/runbook", canary="true")
    released = stage.work.resources("CodeDeploy::DeploymentGroup")
    entries = anchors(RUNBOOK.read_text())

    found = stage.work.resources("CloudWatch::Alarm")
    assert len({text(one["AlarmName"]) for one in found}) == len(found)
    told = {topic for one in found for topic in topics(one)}
    assert told == {"celeriac-test--alarms", "celeriac-test--tickets"}
    # CodeDeploy acts on those of a release.
    assert sum(not topics(one) for one in found) == sum(len(each["AlarmConfiguration"]["Alarms"]) for each in released)
    for one in found:
        assert len(topics(one)) <= 1
        assert one.get("OKActions") == one.get("AlarmActions")
        advice, _, link = one["AlarmDescription"].rpartition(" ")
        assert len(one["AlarmDescription"]) <= MOST_CHARACTERS - 300  # the longest link that a team may set
        assert "It ends when" in advice
        assert "`celeriac --stage test " in advice or "Send each body" in advice, advice
        assert link.startswith("https://wiki.example.org/runbook#")
        assert link.partition("#")[2] in entries, text(one["AlarmName"])


def test_each_command_that_an_alarm_names_exists(synth: Synth) -> None:
    texts = [
        each["AlarmDescription"] for each in synth(stage="test", canary="true").work.resources("CloudWatch::Alarm")
    ]
    typed = {tuple(line.split()) for text in texts for line in re.findall(r"`celeriac --stage test ([^`]+)`", text)}
    assert len(typed) > 5
    for words in sorted(typed):
        group: Any = get_command(command)
        rest = list(words)
        while isinstance(group, Commands):  # the last one is the command
            group = group.commands[rest.pop(0)]
        group.make_context(" ".join(words), rest)  # raises for an argument that is missing or unknown


def test_an_ephemeral_stage_has_no_alarms_no_topics_and_no_dashboard() -> None:
    short = built(Project(stages={"pr-*": StageSettings(ephemeral=True)}), stage="pr-7")
    assert {"CloudWatch::Alarm", "CloudWatch::Dashboard"} & short.work.kinds() == set()
    assert {"SNS::Topic", "SNS::Subscription"} & short.state.kinds() == set()
    (schedule,) = [each for each in short.work.resources("Scheduler::Schedule") if "GroupName" not in each]
    assert schedule["ScheduleExpression"] == "rate(5 minutes)"
    assert {log["RetentionInDays"] for log in short.state.resources("Logs::LogGroup")} == {3}


def test_an_ephemeral_stage_has_no_canary_because_it_has_no_alarms() -> None:
    with pytest.raises(ConfigError, match="canary is true, and an ephemeral stage has no alarms"):
        built(Project(stages={"pr-*": StageSettings(ephemeral=True)}), stage="pr-7", canary="true")


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (StageSettings(alarm_emails=("a@b.org",)), {"alarms": ["a@b.org"], "tickets": ["a@b.org"]}),
        (
            StageSettings(alarm_emails=("a@b.org",), ticket_emails=("desk@b.org",)),
            {"alarms": ["a@b.org"], "tickets": ["desk@b.org"]},
        ),
        (StageSettings(alarm_topic=f"{TOPIC}:ops"), {}),
        (StageSettings(ticket_topic=f"{TOPIC}:desk", alarm_emails=("a@b.org",)), {"alarms": ["a@b.org"]}),
    ],
)
def test_pages_and_tickets_reach_whom_the_file_names(settings: StageSettings, expected: dict[str, list[str]]) -> None:
    made = built(Project(stages={"prod": settings}), stage="prod")
    names = {
        logical: each["Properties"]["TopicName"]
        for logical, each in made.state.json["Resources"].items()
        if each["Type"] == "AWS::SNS::Topic"
    }
    found: dict[str, list[str]] = {name.rpartition("--")[2]: [] for name in names.values()}
    for each in made.state.resources("SNS::Subscription"):
        found[names[each["TopicArn"]["Ref"]].rpartition("--")[2]].append(each["Endpoint"])
    assert found == expected
    told = {topic for one in made.work.resources("CloudWatch::Alarm") for topic in topics(one)}
    given = {topic.rpartition(":")[2] for topic in (settings.alarm_topic, settings.ticket_topic) if topic}
    assert told == given | {f"celeriac-prod--{name}" for name in expected}


def test_alarms_reach_the_configured_address(synth: Synth) -> None:
    subscribed = synth(stage="test", alarm_email="ops@example.org").state

    assert [each["Endpoint"] for each in subscribed.resources("SNS::Subscription")] == ["ops@example.org"] * 2
    assert not synth(stage="test").state.resources("SNS::Subscription")


def test_the_topics_policy_lets_cloudwatch_publish_alarms(stage: Stage) -> None:
    policies = stage.state.resources("SNS::TopicPolicy")
    assert len(policies) == len(stage.state.resources("SNS::Topic"))
    for policy in policies:
        effects = {statement["Effect"]: statement for statement in policy["PolicyDocument"]["Statement"]}
        assert effects["Allow"]["Principal"] == {"Service": "cloudwatch.amazonaws.com"}
        assert effects["Deny"]["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_one_dashboard_shows_every_queue_and_alarm(stage: Stage) -> None:
    (dashboard,) = stage.work.resources("CloudWatch::Dashboard")
    body = json.dumps(dashboard["DashboardBody"])

    assert text(dashboard["DashboardName"]) == "celeriac-test--${AWS::Region}"
    for queue in QUEUES:
        for name in (queue.physical_name("test"), queue.dead_letter_name("test"), queue.function_name("test")):
            assert f'\\"{name}\\"' in body
    for metric in ("AgeAtStart", "Retried", "DeadLettered", "WorkerLost", "Duration", "UnpublishedAge", "IteratorAge"):
        assert metric in body
    for metric in ("InvocationAttemptCount", "InvocationThrottleCount", "TargetErrorCount", "InvocationDroppedCount"):
        assert f'[\\"AWS/Scheduler\\",\\"{metric}\\",\\"ScheduleGroup\\",\\"celeriac-test\\"' in body
    assert '\\"Delayed\\",\\"service\\",\\"tasks\\",\\"stage\\",\\"celeriac-test\\"' in body
    assert all(logical in body for logical in stage.work.logical_ids("CloudWatch::Alarm"))


def test_the_saved_log_queries_cover_every_function(stage: Stage) -> None:
    logs = {log["LogGroupName"] for log in stage.state.resources("Logs::LogGroup")}
    saved = stage.work.resources("Logs::QueryDefinition")

    assert len(saved) >= 5
    for query in saved:
        assert query["Name"].startswith("celeriac-test/")
        assert set(query["LogGroupNames"]) == logs
