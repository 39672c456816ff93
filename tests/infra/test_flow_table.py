"""The table of limits, unique and debounced tasks: what a stage has for it, and who may use which of its items."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import pytest

from celeriac import Breaker, Concurrent, Debounce, Queue, Rate, Task, Unique
from celeriac.flow import rows, steps
from celeriac.flow.batches import items
from celeriac.model.errors import DeclarationError
from celeriac.model.stages import Project, StageSettings
from celeriac_cdk.declarations.load import check_limits
from celeriac_cdk.rights import to_read_status
from tests.infra.conftest import assembly, build, recurring
from tests.infra.limits import of_stage
from tests.infra.simulator import KEYS, Statement, allowed, arn, of_function, of_managed
from tests.infra.template import Resource, Stack, Stage, table_arn, text

calls = Queue("calls")
seldom = Queue("seldom", urgent=False)
ledger = Queue("books", fifo=True)
plain = Queue("plain")
QUEUES = [calls, seldom, ledger, plain]
stripe, exports = Rate("stripe", 100), Concurrent("exports", 5, by="tenant")
bank, quiet = Breaker("bank", by="host"), Breaker("quiet")


def made(name: str, queue: Queue, **declared: Any) -> Task[..., Any, Any]:
    """A task that is not in the registry."""
    task = recurring(name, None, queue=queue)
    for what, value in declared.items():
        setattr(task, what, value)
    return task


TASKS = [
    made("charge", calls, limits=[stripe, bank]),
    made("sync", calls, unique=Unique(by="tenant"), former_queues=[seldom]),
    made("index", calls, debounce=Debounce(timedelta(seconds=5), by="document")),
    made("post", ledger, limits=[exports]),
    made("ask", seldom, limits=[quiet]),
    made("other", plain),
]
FLOW, RECORDS = arn("dynamodb", "table/celeriac-test--flow"), arn("dynamodb", "table/celeriac-test--idempotency")
KEY_OF = {
    "stripe": rows.of_limit("stripe", ""),
    "stripe2": rows.of_limit("stripe2", ""),
    "bank": rows.of_limit("bank", '{"host":"a"}'),
    "quiet": rows.of_limit("quiet", ""),
    "exports": rows.of_limit("exports", '{"tenant":1}'),
    "sync": rows.of_unique("calls", "sync", "1"),
    "sync where it was": rows.of_unique("seldom", "sync", "1"),
    "another unique of seldom": rows.of_unique("seldom", "sync2", "1"),
    "index": rows.of_debounce("calls", "index", "1"),
    "another debounced one": rows.of_debounce("calls", "index2", "1"),
    "waits in books": rows.of_wait("books", "m-1"),
    "waits in calls": rows.of_wait("calls", "m-1"),
    "overrides": rows.OVERRIDES,
}
READ, LOOK, WRITE = "dynamodb:GetItem", "dynamodb:BatchGetItem", "dynamodb:UpdateItem"


@pytest.fixture(scope="module", name="flowing")
def _flowing() -> Stage:
    return Stage(*build(QUEUES, TASKS, stage="test"))


def may(statements: Sequence[Statement], action: str) -> set[str]:
    """The items of the flow table on which the statements allow an action."""
    return {what for what, key in KEY_OF.items() if allowed([*statements], action, FLOW, **{KEYS: (key,)})}


def alarms(stack: Stack) -> Mapping[str, Resource]:
    return {each["AlarmName"].partition("--")[2]: each for each in stack.resources("CloudWatch::Alarm")}


def test_every_stage_has_the_table_with_an_index_of_open_breakers(stage: Stage) -> None:
    table = stage.state.named("DynamoDB::Table", "TableName", "celeriac-test--flow")

    assert table["KeySchema"] == [{"AttributeName": "pk", "KeyType": "HASH"}]
    assert table["TimeToLiveSpecification"] == {"AttributeName": "expires_at", "Enabled": True}
    assert table["BillingMode"] == "PAY_PER_REQUEST"
    assert table["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"]
    assert "StreamSpecification" not in table
    (index,) = table["GlobalSecondaryIndexes"]
    assert index["IndexName"] == "due"
    assert [each["AttributeName"] for each in index["KeySchema"]] == ["due", "due_at"]
    assert index["Projection"] == {"ProjectionType": "KEYS_ONLY"}


def test_it_is_kept_and_encrypted_as_the_other_tables() -> None:
    made_with = {"stage": "prod", "kms": "true"}
    state, _ = build(QUEUES, TASKS, **made_with)
    tables = [each for each in state.json["Resources"].values() if each["Type"] == "AWS::DynamoDB::Table"]
    alike = {
        text(each["Properties"]["TableName"]): (each["DeletionPolicy"], str(each["Properties"]["SSESpecification"]))
        for each in tables
    }
    assert alike["celeriac-prod--flow"] == alike["celeriac-prod--outbox"] == alike["celeriac-prod--idempotency"]
    assert alike["celeriac-prod--flow"][0] == "RetainExceptOnCreate"


def test_an_application_without_limits_has_no_alarm_or_graph_for_it_and_rights_for_batches(stage: Stage) -> None:
    statements = [each for stack in (stage.state, stage.work) for _, each in stack.statements()]
    keys = {
        key.partition("#")[0]
        for each in statements
        if "celeriac-test--flow" in str(each["Resource"]) and "Condition" in each
        for key in each["Condition"]["ForAllValues:StringLike"]["dynamodb:LeadingKeys"]
    }
    keys -= {"limit*", "limits", "limit"}  # the operators'
    assert keys == {"batch", "step"}
    assert [name for name in alarms(stage.work) if "flow" in name or "breaker" in name] == []
    assert "Waited" not in str(stage.work.resources("CloudWatch::Dashboard"))
    for policy in ("producer-mail", "emitter", "reader"):
        assert not may(of_managed(stage.state, f"celeriac-test--{policy}-${{AWS::Region}}"), READ)


def test_a_queue_whose_tasks_need_none_gets_no_item_but_those_of_the_unique_tasks_it_may_send(flowing: Stage) -> None:
    consumer = of_function(flowing.work, "celeriac-test--plain")
    assert may(consumer, LOOK) == set()
    assert may(consumer, READ) == may(consumer, WRITE)
    assert may(consumer, READ) == {"sync", "sync where it was", "another unique of seldom"}
    # Its own records, which tell whether tasks that run are cancelled.
    assert allowed(consumer, LOOK, RECORDS, **{KEYS: ("other#5f",)})
    assert not allowed(consumer, LOOK, RECORDS, **{KEYS: ("charge#5f",)})

    alone = Stage(*build([calls, plain], [made("charge", calls, limits=[stripe]), made("other", plain)], stage="test"))
    assert may(of_function(alone.work, "celeriac-test--plain"), READ) == set()


def test_a_consumer_uses_the_limits_that_its_tasks_name_and_no_others(flowing: Stage) -> None:
    consumer = of_function(flowing.work, "celeriac-test--calls")
    own = {"stripe", "bank", "sync", "sync where it was", "index"}
    assert may(consumer, LOOK) == own
    assert may(consumer, WRITE) == own | {"another unique of seldom"}  # it may send there
    assert may(consumer, READ) == own | {"another unique of seldom", "overrides"}
    for action in ("PutItem", "DeleteItem"):
        assert may(consumer, f"dynamodb:{action}") == set()
    assert may(of_function(flowing.work, "celeriac-test--books"), LOOK) == {"exports", "waits in books"}


def test_a_consumer_runs_a_moved_task_with_the_items_of_both_queues(flowing: Stage) -> None:
    assert may(of_function(flowing.work, "celeriac-test--seldom"), LOOK) == {"quiet", "sync", "sync where it was"}


def test_a_consumer_looks_at_the_records_of_its_own_tasks(flowing: Stage) -> None:
    consumer = of_function(flowing.work, "celeriac-test--calls")
    assert allowed(consumer, LOOK, RECORDS, **{KEYS: ("charge#5f", "sync#5f")})
    assert not allowed(consumer, LOOK, RECORDS, **{KEYS: ("charge#5f", "post#5f")})


@pytest.mark.parametrize(("queue", "found"), [("calls", {"sync"}), ("plain", set()), ("books", set())])
def test_a_producer_takes_the_place_of_unique_tasks_of_its_queue(flowing: Stage, queue: str, found: set[str]) -> None:
    producer = of_managed(flowing.state, f"celeriac-test--producer-{queue}-${{AWS::Region}}")
    assert may(producer, READ) == may(producer, WRITE) == found
    assert may(producer, LOOK) == set()
    assert allowed(producer, READ, RECORDS, **{KEYS: ("sync#5f",)}) == bool(found)
    assert not allowed(producer, READ, RECORDS, **{KEYS: ("charge#5f",)})
    assert not allowed(producer, WRITE, RECORDS, **{KEYS: ("sync#5f",)})


BATCH_OF_CALLS, STEP_OF_CALLS = items.root_of("calls#tell:1"), steps.key_of("calls", "c", 1)
BATCH_OF_PLAIN, STEP_OF_PLAIN = items.root_of("plain#tell:1"), steps.key_of("plain", "c", 1)
OF_CALLS, OF_PLAIN = {BATCH_OF_CALLS, STEP_OF_CALLS}, {BATCH_OF_PLAIN, STEP_OF_PLAIN}


def composes(statements: Sequence[Statement], action: str) -> set[str]:
    """The items of batches and chains on which the statements allow an action."""
    return {key for key in OF_CALLS | OF_PLAIN if allowed([*statements], action, FLOW, **{KEYS: (key,)})}


def test_a_producer_begins_batches_and_chains_of_its_queue_and_reads_none(flowing: Stage) -> None:
    producer = of_managed(flowing.state, "celeriac-test--producer-plain-${AWS::Region}")
    assert composes(producer, WRITE) == composes(producer, "dynamodb:BatchWriteItem") == OF_PLAIN
    assert not composes(producer, READ) | composes(producer, LOOK)


def test_a_consumer_composes_what_its_queue_may_send(flowing: Stage) -> None:
    assert composes(of_function(flowing.work, "celeriac-test--plain"), WRITE) == OF_CALLS | OF_PLAIN
    narrow, alone = Queue("narrow", sends_to=[plain]), Queue("alone", sends_to=[])
    strict = Stage(*build([plain, narrow, alone, calls], [made("one", narrow), made("two", alone)], stage="test"))
    for action in (READ, LOOK, WRITE, "dynamodb:BatchWriteItem"):
        assert composes(of_function(strict.work, "celeriac-test--narrow"), action) == OF_PLAIN
        assert composes(of_function(strict.work, "celeriac-test--alone"), action) == set()
    sends = strict.work.granted("celeriac-test--narrow")["sqs:SendMessage"]
    assert {each.rpartition("--")[2] for each in sends} == {"plain", "narrow", "narrow-dlq"}


def test_a_status_of_batches_needs_the_right_to_read_them(flowing: Stage) -> None:
    reader = of_managed(flowing.state, "celeriac-test--reader-${AWS::Region}")
    assert composes(reader, READ) == composes(reader, LOOK) == {BATCH_OF_CALLS, BATCH_OF_PLAIN}
    assert not composes(reader, WRITE)


def test_a_reader_sees_what_tasks_wait_for(flowing: Stage) -> None:
    reader = of_managed(flowing.state, "celeriac-test--reader-${AWS::Region}")
    limits = {"stripe", "stripe2", "bank", "quiet", "exports"}
    assert may(reader, READ) == {*limits, "waits in books", "waits in calls", "overrides"}
    assert may(reader, WRITE) == may(reader, LOOK) == set()
    asked = [each.to_statement_json() for each in to_read_status(["books"], TASKS, "test")]
    keys = [each["Condition"]["ForAllValues:StringLike"].popitem()[1] for each in asked if "flow" in str(each)]
    assert sorted(keys) == [["batch#books#*"], ["limit#exports#*", "wait#books#*", "limits"]]


def test_an_operator_reads_every_item_and_sets_limits_only(flowing: Stage) -> None:
    operator = of_managed(flowing.state, "celeriac-test--operator-${AWS::Region}")
    assert may(operator, READ) == may(operator, LOOK) == set(KEY_OF)
    assert may(operator, WRITE) == {"stripe", "stripe2", "bank", "quiet", "exports", "overrides"}
    assert allowed(operator, "dynamodb:Query", f"{FLOW}/index/due")
    assert allowed(operator, "dynamodb:DescribeTable", FLOW)
    assert not allowed(operator, "dynamodb:DeleteTable", FLOW)


def test_the_sweeper_finds_open_breakers_and_the_relay_has_no_right(flowing: Stage, stage: Stage) -> None:
    sweeper = of_function(flowing.work, "celeriac-test--sweeper")
    assert may(sweeper, WRITE) == {"stripe", "stripe2", "bank", "quiet", "exports"}
    assert may(sweeper, READ) == {"overrides"}
    assert allowed(sweeper, "dynamodb:Query", f"{FLOW}/index/due")
    assert not allowed(sweeper, "dynamodb:Query", FLOW)
    assert table_arn("celeriac-test--flow") not in str(of_function(flowing.work, "celeriac-test--relay"))
    without = [task for task in TASKS if not any(isinstance(limit, Breaker) for limit in task.limits)]
    assert may(of_function(build(QUEUES, without, stage="test")[1], "celeriac-test--sweeper"), READ) == set()


def test_each_breaker_has_a_ticket_and_a_page_for_late_tasks_of_urgent_queues(flowing: Stage) -> None:
    found = alarms(flowing.work)
    for breaker in ("bank", "quiet"):
        alarm = found[f"breaker_{breaker}"]
        dimensions = {each["Name"]: each["Value"] for each in alarm["Dimensions"]}
        assert dimensions == {"service": "tasks", "stage": "celeriac-test", "limit": breaker}
        assert (alarm["MetricName"], alarm["Statistic"]) == ("OpenBreakers", "Maximum")
        assert (alarm["Period"], alarm["EvaluationPeriods"], alarm["Threshold"]) == (300, 3, 1)
        assert text(alarm["AlarmActions"][0]).endswith("--tickets")
        assert text(alarm["OKActions"][0]).endswith("--tickets")
        for says in (f"breaker {breaker}", "no attempt is charged", "celeriac --stage test limits", "#open-breakers"):
            assert says in alarm["AlarmDescription"]
    assert {name for name in found if "late_breaker" in name} == {
        "late_breaker_bank"
    }  # the queue `seldom` isn't urgent
    late = found["late_breaker_bank"]
    assert late["Period"] * late["EvaluationPeriods"] == calls.oldest_age.total_seconds()
    assert text(late["AlarmActions"][0]).endswith("--alarms")


def test_a_late_breakers_page_stays_within_a_day() -> None:
    patient = Queue("patient", max_age=timedelta(days=2))
    _, work = build([patient], [made("call", patient, limits=[quiet])], stage="test")
    late = alarms(work)["late_breaker_quiet"]
    assert late["Period"] * late["EvaluationPeriods"] == 24 * 3600  # CloudWatch's limit


def test_names_of_limits_cant_clash_with_names_of_alarms() -> None:
    own = Queue("breaker-x")
    breakers = [Breaker(name) for name in ("x", "late_breaker_x", "x_long", "x-age", "x-errors")]
    _, work = build([own], [made(each.name, own, limits=[each]) for each in breakers], stage="test")
    names = [each["AlarmName"] for each in work.resources("CloudWatch::Alarm")]
    assert len(names) == len(set(names))


def test_throttled_writes_are_a_ticket(flowing: Stage) -> None:
    alarm = alarms(flowing.work)["flow-table-writes"]
    assert {each["Name"]: each["Value"] for each in alarm["Dimensions"]} == {"TableName": "celeriac-test--flow"}
    assert text(alarm["AlarmActions"][0]).endswith("--tickets")


def test_the_dashboard_shows_who_waits_and_which_breakers_are_open(flowing: Stage) -> None:
    (board,) = flowing.work.resources("CloudWatch::Dashboard")
    body = text(board["DashboardBody"])
    for limit in ("stripe", "exports", "bank", "quiet"):
        assert f'"Waited","limit","{limit}"' in body
    for limit, is_drawn in {"bank": True, "quiet": True, "stripe": False}.items():
        assert (f'"OpenBreakers","limit","{limit}"' in body) == is_drawn


def test_a_short_lived_stage_has_the_table_and_no_alarms() -> None:
    project = Project("celeriac", {"*": StageSettings(ephemeral=True)})
    stacks = {each.stack_name: each.template for each in assembly(project, QUEUES, TASKS, stage="pr-7").stacks}
    assert "celeriac-pr-7--flow" in str(stacks["celeriac-pr-7--state"])
    assert "AWS::CloudWatch::Alarm" not in str(stacks["celeriac-pr-7--work"])


def test_rules_and_limits_of_aws_are_kept() -> None:
    project = Project("celeriac", {"prod": StageSettings(producers={"calls": ("123456789012",)})})
    assembly(project, QUEUES, TASKS, stage="prod", kms="true", canary="true")  # raises for each finding of cdk-nag


def test_many_limits_and_unique_tasks_fit_into_the_policies() -> None:
    queues = [Queue(f"queue-{number:02}-{'x' * 20}") for number in range(10)]
    tasks = [
        made(
            f"task-{number:03}-{'y' * 30}",
            queues[number % 10],
            limits=[Rate(f"rate-{number:03}-{'z' * 30}", 1), Breaker(f"breaker-{number:03}-{'z' * 30}")],
            unique=Unique(by="tenant"),
        )
        for number in range(100)
    ]
    assert of_stage(*build(queues, tasks, stage="test")) == []


def test_two_limits_of_one_name_are_refused() -> None:
    tasks = [made("one", calls, limits=[Rate("stripe", 1)]), made("two", calls, limits=[Rate("stripe", 2)])]
    with pytest.raises(DeclarationError, match=r"two limits are named 'stripe'.*Rename one"):
        check_limits(tasks)
    check_limits([made("one", calls, limits=[stripe]), made("two", calls, limits=[stripe])])
