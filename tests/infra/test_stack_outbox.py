"""The outbox without its relay: the sweeper, its index, the bus, and recurring tasks."""

import json

import aws_cdk as cdk
import pytest

from celeriac import Outbox
from celeriac.enqueue.outbox_row import WAITING
from celeriac.model.errors import DeclarationError
from celeriac_cdk.constructs.crons import Crons, schedule_name
from tests.application import tables
from tests.infra import conftest
from tests.infra.conftest import QUEUES, TASKS, Synth, build, recurring
from tests.infra.template import Stage, queue_arn, table_arn, text


def test_unpublished_events_are_found_with_a_sparse_index(stage: Stage) -> None:
    outbox = stage.state.named("DynamoDB::Table", "TableName", "celeriac-test--outbox")
    (index,) = outbox["GlobalSecondaryIndexes"]
    assert [key["AttributeName"] for key in index["KeySchema"]] == [WAITING, "occurred_at"]
    assert index["Projection"] == {"ProjectionType": "KEYS_ONLY"}


def test_the_sweeper_runs_every_minute(stage: Stage) -> None:
    schedule = stage.work.named("Scheduler::Schedule", "Name", "celeriac-test--sweeper")
    assert schedule["ScheduleExpression"] == "rate(1 minute)"
    assert stage.work.name_of({"Fn::GetAtt": schedule["Target"]["Arn"]["Fn::GetAtt"]}, "FunctionName") == (
        "celeriac-test--sweeper"
    )


def test_the_sweeper_may_not_scan_and_may_send_like_the_relay(stage: Stage) -> None:
    relay, sweeper = (stage.work.granted(f"celeriac-test--{name}") for name in ("relay", "sweeper"))
    outbox = table_arn("celeriac-test--outbox")
    flow = table_arn("celeriac-test--flow")
    assert sweeper["dynamodb:Query"] == {f"{outbox}/index/waiting", f"{flow}/index/due"}
    # In the idempotency table only the notes about aggregates, see test_stack_permissions.
    written = {outbox, table_arn("celeriac-test--idempotency")}
    assert sweeper["dynamodb:BatchGetItem"] == sweeper["dynamodb:UpdateItem"] - {flow} == written
    assert "dynamodb:Scan" not in sweeper
    assert sweeper["sqs:SendMessage"] == relay["sqs:SendMessage"] - {queue_arn("celeriac-test--relay-dlq")}


def test_a_recurring_task_has_a_schedule_that_passes_its_time(stage: Stage) -> None:
    nightly = stage.work.named("Scheduler::Schedule", "Name", "cron-nightly")
    assert nightly["ScheduleExpression"] == "cron(0 3 * * ? *)"
    assert nightly["ScheduleExpressionTimezone"] == "Europe/Berlin"
    assert text(nightly["Target"]["Arn"]) == queue_arn("celeriac-test--mail")
    assert text(nightly["Target"]["DeadLetterConfig"]["Arn"]) == queue_arn("celeriac-test--schedules-dlq")
    message = json.loads(nightly["Target"]["Input"])
    assert message["id"] == message["key"] == "nightly@<aws.scheduler.scheduled-time>"
    assert len(stage.work.resources("Scheduler::Schedule")) == 3  # the sweeper's, and those of two tasks


def test_schedule_names_fit_and_are_different() -> None:
    (long,) = (task.name for task in TASKS if task.name.startswith("every five"))
    assert len(schedule_name(long)) <= 64
    assert schedule_name(long) != schedule_name(f"{long[:-1]}y")
    assert schedule_name("a b") != schedule_name("a_b")


def test_a_slash_in_a_tasks_name_makes_no_schedule_of_another_task(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conftest, "TASKS", tuple(recurring(name, "rate(1 day)") for name in ("a/b", "a--b", "a_b")))
    _, work = build(QUEUES, stage="test")
    assert len({each["Name"] for each in work.resources("Scheduler::Schedule")}) == 4  # and the sweeper's


def test_a_time_zone_that_does_not_exist_is_refused() -> None:
    stray = recurring("lost", "rate(1 day)", "Europe/Atlantis")
    with pytest.raises(DeclarationError, match="task 'lost' has the unknown time zone 'Europe/Atlantis'"):
        Crons(cdk.Stack(cdk.App()), "Crons", tasks=[stray], stage="test", key=None)


def test_a_schedule_that_has_ended_is_refused() -> None:
    stray = recurring("lost", "cron(0 3 * * ? 2010-2020)")
    with pytest.raises(DeclarationError, match="task 'lost': its schedule ended in 2020"):
        Crons(cdk.Stack(cdk.App()), "Crons", tasks=[stray], stage="test", key=None)


def test_a_stage_has_a_bus_only_if_it_is_declared(stage: Stage, synth: Synth, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not stage.state.resources("Events::EventBus")
    assert "events:PutEvents" not in stage.work.granted("celeriac-test--relay")

    monkeypatch.setattr(tables, "outbox", Outbox(bus=True), raising=False)
    wired = synth(stage="bus")
    (bus,) = wired.state.resources("Events::EventBus")
    assert bus["Name"] == "celeriac-bus"
    for function in ("relay", "sweeper"):
        (granted,) = wired.work.granted(f"celeriac-bus--{function}")["events:PutEvents"]
        assert granted.endswith(":event-bus/celeriac-bus")
