"""Every failure, delay and standstill raises an alarm: each alarm's metric, and the text that it sends."""

import json
import re
from datetime import timedelta
from pathlib import Path

import pytest

from celeriac import Queue
from celeriac_cdk.monitoring.times import in_words
from tests.infra.conftest import QUEUES, Synth
from tests.infra.template import Resource, Stage, text

RUNBOOK = Path(__file__).parents[2] / "docs/runbook.md"
each_queue = pytest.mark.parametrize("queue", QUEUES, ids=lambda queue: queue.name)


def alarm(stage: Stage, name: str) -> Resource:
    return stage.work.named("CloudWatch::Alarm", "AlarmName", f"celeriac-test--{name}")


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
    assert measured(depth) == ("Maximum", 60, 1)
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
    assert "wait for 20 minutes or longer" in alarm(stage, "spiky-age")["AlarmDescription"]
    assert in_words(timedelta(days=1)) == "1 day"
    assert in_words(timedelta(seconds=90)) == "90 seconds"


@each_queue
def test_a_late_queue_raises_the_alarm(stage: Stage, queue: Queue) -> None:
    late = alarm(stage, f"{queue.name}-age")

    source = {"QueueName": queue.physical_name("test")}
    assert watched(late) == ("AWS/SQS", "ApproximateAgeOfOldestMessage", source)
    assert measured(late) == ("Maximum", 60, 3)
    assert late["Threshold"] == queue.oldest_age.total_seconds() > queue.visibility.total_seconds()


@pytest.mark.parametrize("function", [*(queue.name for queue in QUEUES), "relay", "sweeper"])
def test_a_failing_or_throttled_function_raises_the_alarm(stage: Stage, function: str) -> None:
    of_it = {"FunctionName": f"celeriac-test--{function}"}

    assert watched(alarm(stage, f"{function}-errors")) == ("AWS/Lambda", "Errors", of_it)
    assert measured(alarm(stage, f"{function}-errors")) == ("Sum", 300, 1)
    assert watched(alarm(stage, f"{function}-throttles")) == ("AWS/Lambda", "Throttles", of_it)
    assert measured(alarm(stage, f"{function}-throttles")) == ("Sum", 300, 3)


def test_a_relay_that_is_behind_raises_the_alarm(stage: Stage) -> None:
    behind = alarm(stage, "relay-iterator-age")
    assert watched(behind) == ("AWS/Lambda", "IteratorAge", {"FunctionName": "celeriac-test--relay"})
    assert (behind["Threshold"], measured(behind)) == (300_000, ("Maximum", 60, 3))


@pytest.mark.parametrize("table", ["idempotency", "outbox", "outbox-waiting"])
@pytest.mark.parametrize("kind", ["Read", "Write"])
def test_a_throttled_table_or_index_raises_the_alarm(stage: Stage, table: str, kind: str) -> None:
    throttled = alarm(stage, f"{table}-{kind.lower()}-throttles")
    name, _, index = table.partition("-")
    # A table's throttle count doesn't include those of its index.
    of_it = {"TableName": f"celeriac-test--{name}"} | ({"GlobalSecondaryIndexName": index} if index else {})
    assert watched(throttled) == ("AWS/DynamoDB", f"{kind}ThrottleEvents", of_it)
    assert measured(throttled) == ("Sum", 60, 2)


@pytest.mark.parametrize(("metric", "threshold"), [("UnpublishedAge", 300), ("ParkedEvents", 1)])
def test_unpublished_and_parked_events_raise_the_alarm(stage: Stage, metric: str, threshold: int) -> None:
    stranded = alarm(stage, f"outbox-{metric}")
    assert watched(stranded) == ("Celeriac", metric, {"service": "outbox", "stage": "celeriac-test"})
    assert (stranded["Threshold"], measured(stranded)) == (threshold, ("Maximum", 60, 1))


def test_a_sweeper_that_does_not_run_raises_the_alarm(stage: Stage) -> None:
    silent = alarm(stage, "outbox-silence")
    assert (measured(silent), silent["TreatMissingData"]) == (("SampleCount", 60, 5), "breaching")
    assert (silent["Threshold"], silent["ComparisonOperator"]) == (1, "LessThanThreshold")


def test_every_dead_letter_queue_has_its_two_alarms(stage: Stage, application: Stage) -> None:
    for each in (stage, application):
        names = {queue["QueueName"] for queue in each.state.resources("SQS::Queue")}
        found = [watched(one) for one in each.work.resources("CloudWatch::Alarm")]
        letters = {name for name in names if name.removesuffix(".fifo").endswith("-dlq")}
        for metric in ("ApproximateNumberOfMessagesVisible", "ApproximateAgeOfOldestMessage"):
            watching = {dimensions["QueueName"] for _, named, dimensions in found if named == metric}
            assert letters <= watching <= names


def test_an_idle_stage_raises_no_alarm_and_has_none_without_data(stage: Stage) -> None:
    found = stage.work.resources("CloudWatch::Alarm")

    on_silence = [one["AlarmName"] for one in found if one["TreatMissingData"] != "notBreaching"]
    assert on_silence == ["celeriac-test--outbox-silence"]  # measured each minute, even if nothing happens
    for one in found:
        if one["TreatMissingData"] == "notBreaching":
            assert one["ComparisonOperator"] == "GreaterThanOrEqualToThreshold"
            assert one["Threshold"] >= 1


def test_every_alarm_notifies_the_topic_and_says_what_to_do(synth: Synth) -> None:
    stage = synth(stage="test", runbook="https://wiki.example.org/runbook")
    (topic,) = stage.state.resources("SNS::Topic")
    headings = re.findall(r"^## (.+)$", RUNBOOK.read_text(), re.MULTILINE)
    entries = {re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-") for heading in headings}

    found = stage.work.resources("CloudWatch::Alarm")
    assert len({one["AlarmName"] for one in found}) == len(found)
    for one in found:
        assert [text(each).rpartition(":")[2] for each in one["AlarmActions"]] == [topic["TopicName"]]
        advice, _, link = one["AlarmDescription"].rpartition(" ")
        assert len(advice) > 80
        assert link.startswith("https://wiki.example.org/runbook#")
        assert link.partition("#")[2] in entries, one["AlarmName"]


def test_alarms_reach_the_configured_address(synth: Synth) -> None:
    subscribed = synth(stage="test", alarm_email="ops@example.org").state

    assert [each["Endpoint"] for each in subscribed.resources("SNS::Subscription")] == ["ops@example.org"]
    assert not synth(stage="test").state.resources("SNS::Subscription")


def test_the_topics_policy_lets_cloudwatch_publish_alarms(stage: Stage) -> None:
    (policy,) = stage.state.resources("SNS::TopicPolicy")
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
