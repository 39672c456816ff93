"""Two releases side by side: what only the newer one understands waits for it in the outbox."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from unittest.mock import patch

import pytest

import celeriac
from celeriac import Context, Outbox, Queue, Task, task
from celeriac.aws.client import client
from celeriac.declare import registry
from celeriac.enqueue.outbox_row import PARKED, new_row
from celeriac.relay import handler as relay
from celeriac.relay import sweeper, unpublished
from celeriac.testing import Call, Sandbox
from celeriac.worker.event import Invocation
from tests.application import tables

known = Queue("known-here", fifo=True, patience=timedelta(hours=6), batch_size=10)
plain = Queue("plain-here", patience=timedelta(hours=6), batch_size=10)
told: list[tuple[str, int]] = []


@pytest.fixture(autouse=True)
def _empty() -> None:
    told.clear()


@pytest.fixture
def put(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """The stage has a bus. The numbers of the events that are put on it."""
    monkeypatch.setattr(tables, "outbox", Outbox(bus=True), raising=False)
    client("events").create_event_bus(Name="celeriac-test")
    seen: list[int] = []

    def watch(call: Call) -> Any:
        if call.operation == "PutEvents":
            seen.extend(json.loads(entry["Detail"])["data"]["number"] for entry in call.arguments["Entries"])
        return call.make()

    with sandbox.fault(watch):
        yield seen


@contextmanager
def _without_a_bus() -> Iterator[None]:
    """Run the block with workers of a release whose outbox has no bus."""
    with patch.object(tables, "outbox", Outbox()):
        yield


@task(known, on="release.event")
def old(ctx: Context, number: int) -> None:
    told.append(("old", number))


@task(known)
def direct(ctx: Context, number: int) -> None:
    told.append(("direct", number))


def _newer() -> Task[..., Any, Any]:
    """A task of the newer release."""

    @task(known, on="release.event")
    def new(ctx: Context, number: int) -> None:
        told.append(("new", number))

    return new


@contextmanager
def _older_release(*newer: Task[..., Any, Any]) -> Iterator[None]:
    """Run the block with workers that don't know these tasks."""
    for each in newer:
        del registry.tasks[each.name]
    try:
        yield
    finally:
        registry.tasks.update({each.name: each for each in newer})


def _emit(number: int, event: str = "release.event", aggregate: str | None = "item") -> None:
    with celeriac.transaction() as tx:
        tx.emit(event, {"number": number}, aggregate=aggregate)


def _ran(name: str) -> list[int]:
    return [number for ran, number in told if ran == name]


def _rows() -> list[dict[str, Any]]:
    return client("dynamodb").scan(TableName="celeriac-test--outbox")["Items"]


def _pass(sandbox: Sandbox, time: timedelta, step: timedelta = timedelta(minutes=1)) -> None:
    for _ in range(time // step):
        sandbox.run_once()
        sandbox.advance(step)
    sandbox.run_once()


def test_an_event_waits_for_the_release_whose_task_subscribes_to_it(sandbox: Sandbox) -> None:
    new = _newer()
    for number in range(3):
        _emit(number)
    with _older_release(new):
        _pass(sandbox, timedelta(minutes=10))
        assert _ran("old") == [0, 1, 2]  # what this release understands doesn't wait
        assert all("published_at" not in row for row in _rows())
    _emit(3)  # the newer relay has it first
    sandbox.drain()
    assert _ran("old") == _ran("new") == [0, 1, 2, 3]
    assert all("published_at" in row and "waiting" not in row for row in _rows())


def test_the_old_subscribers_go_on_while_events_wait_for_a_new_one(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unpublished, "PAGE", 1)  # also if a page of the sweep ends between the events
    new = _newer()
    with _older_release(new):
        for number in range(5):
            registry.tasks[new.name] = new
            _emit(number)
            del registry.tasks[new.name]
            _pass(sandbox, timedelta(minutes=3))
            assert _ran("old") == list(range(number + 1))
    sandbox.drain()
    assert _ran("new") == [0, 1, 2, 3, 4]


def test_an_event_for_a_task_that_no_release_brings_is_parked_after_the_longest_patience(sandbox: Sandbox) -> None:
    new = _newer()
    _emit(0)
    with _older_release(new):
        _pass(sandbox, timedelta(hours=23, minutes=30), timedelta(minutes=30))
        assert [row["waiting"]["S"] == PARKED for row in _rows()] == [False]
        _pass(sandbox, timedelta(hours=1), timedelta(minutes=30))
        (row,) = _rows()
        assert row["waiting"]["S"] == PARKED
        assert "knows new as a subscriber of 'release.event'" in row["reason"]["S"]
        assert _ran("old") == [0]


def test_a_task_that_subscribes_only_in_the_newer_release_is_waited_for_too(sandbox: Sandbox) -> None:
    """Both releases know the task, and only one of them its subscription."""

    @task(known, name="both", on="late.event")
    def newer(ctx: Context, number: int) -> None:
        told.append(("both", number))

    _emit(0, "late.event")
    del registry.tasks["both"]

    @task(known, name="both")
    def older(ctx: Context, number: int) -> None: ...

    _pass(sandbox, timedelta(minutes=5))
    registry.tasks["both"] = newer
    sandbox.drain()
    assert _ran("both") == [0]


def test_an_event_that_nobody_subscribes_to_counts_as_published_and_is_counted(
    sandbox: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(3):
        _emit(number, "nobody.listens", None)
    capsys.readouterr()
    sandbox.drain()
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if '"Unclaimed"' in line]
    assert [line["Unclaimed"] for line in lines] == [[3]]
    assert all("published_at" in row and "expires_at" in row for row in _rows())
    assert sandbox.calls["dynamodb", "TransactWriteItems"] == 3 + 1  # one mark, as for any other event
    sandbox.calls.clear()
    sandbox.advance(timedelta(hours=1))
    assert sweeper.handler({}, Invocation("sweeper", "r", sandbox.now + timedelta(minutes=1)))["age_seconds"] == 0
    assert sandbox.calls["dynamodb", "BatchGetItem"] == 0  # no sweep reads them again


def test_an_event_whose_sender_knew_no_subscriber_is_published_to_a_release_that_has_one(sandbox: Sandbox) -> None:
    _emit(0, "late.event")
    _emit(1, "late.event")
    _emit(2, "never.event")
    _pass(sandbox, timedelta(minutes=5))
    assert all("published_at" in row for row in _rows())

    @task(known, on="late.event")
    def newcomer(ctx: Context, number: int) -> None:
        told.append(("newcomer", number))

    _emit(3, "late.event")
    sandbox.drain()
    assert sorted(_ran("newcomer")) == [0, 1, 3]


def test_an_unclaimed_event_whose_mark_fails_is_published_to_a_release_that_has_a_subscriber(sandbox: Sandbox) -> None:
    _emit(0, "late.event")
    sandbox.outage("dynamodb", "TransactWriteItems", for_=timedelta(seconds=90))
    _pass(sandbox, timedelta(minutes=5))

    @task(known, on="late.event")
    def newcomer(ctx: Context, number: int) -> None:
        told.append(("newcomer", number))

    _pass(sandbox, timedelta(minutes=5))
    sandbox.drain()
    assert _ran("newcomer") == [0]


def test_an_event_that_nobody_wanted_for_longer_than_the_patience_stays_published(sandbox: Sandbox) -> None:
    _emit(0, "late.event")
    sandbox.run_once()
    sandbox.advance(timedelta(hours=7))

    @task(known, on="late.event")
    def newcomer(ctx: Context, number: int) -> None:
        told.append(("newcomer", number))

    worker = Invocation("sweeper", "r", sandbox.now + timedelta(minutes=1))
    assert sweeper.handler({}, worker)["published"] == 0


def test_with_a_bus_an_event_without_a_subscriber_waits_for_nobody(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tables, "outbox", Outbox(bus=True), raising=False)
    client("events").create_event_bus(Name="celeriac-test")
    _emit(0, "nobody.listens")
    sandbox.drain()
    (row,) = _rows()
    assert "published_at" in row
    assert "waiting" not in row
    assert '"Unclaimed"' not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("content", "reason", "patience"),
    [
        (
            {"message": '{"task": "direct", "v": 99, "args": {"number": 1}}', "queue": "known-here"},
            "is of version 99",
            known.patience,
        ),
        (
            {"message": '{"task": "direct", "args": {"number": 1}}', "queue": "new-queue"},
            "no queue is named 'new-queue'",
            timedelta(days=1),
        ),
    ],
)
def test_a_task_that_only_a_newer_release_can_send_waits_for_the_patience_and_keeps_its_group(
    sandbox: Sandbox, content: dict[str, str], reason: str, patience: timedelta
) -> None:
    client("dynamodb").put_item(
        TableName="celeriac-test--outbox", Item=new_row("task:direct", "g", **content, group="g")
    )
    sandbox.advance(timedelta(seconds=1))
    with celeriac.transaction() as tx:
        tx.enqueue(direct.options(group="g"), number=2)
    _pass(sandbox, patience - timedelta(minutes=30), timedelta(minutes=30))
    if content["queue"] == known.name:
        assert told == []  # the second one of the group waits behind the first
    assert not any("reason" in row for row in _rows())
    _pass(sandbox, timedelta(hours=1), timedelta(minutes=30))
    assert _ran("direct") == [2]
    (parked,) = [row for row in _rows() if "reason" in row]
    assert parked["waiting"]["S"] == PARKED
    assert reason in parked["reason"]["S"]


def test_a_task_for_a_queue_of_the_newer_release_is_sent_by_that_release(sandbox: Sandbox) -> None:
    row = new_row("task:direct", None, message='{"task": "direct", "args": {"number": 1}}', queue="new-queue")
    client("dynamodb").put_item(TableName="celeriac-test--outbox", Item=row)
    _pass(sandbox, timedelta(minutes=5))

    fresh = Queue("new-queue", batch_size=10)

    @task(fresh, name="direct")
    def moved(number: int) -> None:
        told.append(("moved", number))

    sandbox.drain()
    assert told == [("moved", 1)]


def test_the_patience_begins_when_a_relay_sees_the_row_whatever_the_senders_clock_says(sandbox: Sandbox) -> None:
    row = new_row("task:direct", None, message='{"task": "direct", "args": {"number": 1}}', queue="new-queue")
    for days in (-30, 30):
        at = (sandbox.now + timedelta(days=days)).isoformat(timespec="microseconds")
        item = row | {"pk": {"S": f"celeriac#task#new-queue#{days}"}, "sk": {"S": f"{days}"}, "occurred_at": {"S": at}}
        client("dynamodb").put_item(TableName="celeriac-test--outbox", Item=item)
    _pass(sandbox, timedelta(hours=23, minutes=30), timedelta(minutes=30))
    assert not any("reason" in row for row in _rows())
    for _ in range(10):
        _pass(sandbox, timedelta(minutes=9), timedelta(minutes=1))  # the shard of the future is looked at in its turn
    assert all("reason" in row for row in _rows())


def test_an_older_release_reads_the_rows_of_this_one(sandbox: Sandbox) -> None:
    """The names of subscribers are an attribute that it doesn't look at. A new relay reads the rows of an older one."""
    _newer()
    _emit(0)
    (row,) = _rows()
    assert set(row["subscribers"]["SS"]) == {"new", "old"}
    bare = {name: row[name] for name in ("pk", "sk", "type", "occurred_at", "waiting", "data")}
    client("dynamodb").put_item(TableName="celeriac-test--outbox", Item=bare | {"sk": {"S": "by an older release"}})
    record = {"eventName": "INSERT", "dynamodb": {"NewImage": bare, "SequenceNumber": "1"}}
    assert relay.handler({"Records": [record]}, Invocation("relay", "r", sandbox.now + timedelta(minutes=3))) == {
        "batchItemFailures": []
    }
    sandbox.drain()
    assert sorted(set(told)) == [("new", 0), ("old", 0)]


def test_an_event_for_the_bus_waits_for_the_release_that_has_one(sandbox: Sandbox, put: list[int]) -> None:
    for number in range(3):
        _emit(number)
    with _without_a_bus():
        _pass(sandbox, timedelta(minutes=10))
        assert _ran("old") == [0, 1, 2]  # its subscriber doesn't wait
        assert all("published_at" not in row for row in _rows())
    assert put == []
    _emit(3)
    sandbox.drain()
    assert sorted(put) == [0, 1, 2, 3]
    assert _ran("old") == [0, 1, 2, 3]
    assert sandbox.calls["sqs", "SendMessageBatch"] <= 4  # nothing was sent to the subscriber's queue again


def test_an_event_for_a_bus_that_no_release_has_is_parked_after_the_longest_patience(
    sandbox: Sandbox, put: list[int]
) -> None:
    _emit(0, "nobody.listens", None)
    with _without_a_bus():
        _pass(sandbox, timedelta(hours=23, minutes=30), timedelta(minutes=30))
        assert [row["waiting"]["S"] == PARKED for row in _rows()] == [False]
        _pass(sandbox, timedelta(hours=1), timedelta(minutes=30))
    (row,) = _rows()
    assert row["waiting"]["S"] == PARKED
    assert "knows the bus as a subscriber of 'nobody.listens'" in row["reason"]["S"]


def test_an_event_that_waits_for_a_subscriber_is_on_the_bus_at_once(sandbox: Sandbox, put: list[int]) -> None:
    new = _newer()
    _emit(0)
    with _older_release(new):
        _pass(sandbox, timedelta(minutes=3))
        assert put == [0]
    sandbox.drain()
    assert (put, _ran("new")) == ([0], [0])


def test_events_that_wait_for_a_bus_hold_nothing_up_and_cost_no_call(sandbox: Sandbox, put: list[int]) -> None:
    """A bus keeps no order, so the aggregate isn't held; and this release's bus is no stranger to it."""

    @task(plain, on="plain.event")
    def hear(number: int) -> None: ...

    _emit(0, "plain.event")
    with _without_a_bus():
        sandbox.calls.clear()
        sandbox.run_once()
        assert sandbox.calls["dynamodb", "BatchGetItem"] == 0
        assert sandbox.calls["dynamodb", "TransactWriteItems"] == 1  # the row remembers who has it
    sandbox.drain()
    _emit(1, "plain.event")
    sandbox.calls.clear()
    sandbox.run_once()
    assert sandbox.calls["dynamodb", "BatchGetItem"] == 0
    assert sandbox.calls["dynamodb", "TransactWriteItems"] == 1
    assert all("published_at" in row for row in _rows())
