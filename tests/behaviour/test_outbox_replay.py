"""`celeriac outbox replay`, after a long time too: no task runs a second time unless the operator asks for it."""

import json
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from typer.testing import CliRunner, Result

import celeriac
from celeriac import Outbox, Queue, task
from celeriac.aws import sqs
from celeriac.aws.client import client
from celeriac.declare import registry
from celeriac.testing import Sandbox
from celeriac_console.main import app
from tests.application import tables

queue = Queue("paid", batch_size=10)
runs: Counter[str] = Counter()
LONG = timedelta(days=19)
"""The records of the queue's tasks have expired."""


@pytest.fixture(autouse=True)
def _empty(monkeypatch: pytest.MonkeyPatch) -> None:
    runs.clear()
    # Published rows live longer than the records of their tasks.
    monkeypatch.setattr(tables, "outbox", Outbox(retention=timedelta(days=90)), raising=False)


@task(queue, on="paid.event")
def pay(number: int) -> None:
    runs["pay"] += 1


@task(queue, on="paid.event")
def book(number: int) -> None:
    runs["book"] += 1


@task(queue, on="told.event", delivery="at_least_once")
def tell(number: int) -> None:
    runs["tell"] += 1


@task(queue)
def direct(number: int) -> None:
    runs["direct"] += 1


def _emit(event: str = "paid.event") -> None:
    with celeriac.transaction() as tx:
        tx.emit(event, {"number": 1}, aggregate="item")


def _replay(sandbox: Sandbox, *arguments: str, type_: str = "*") -> tuple[Result, dict[str, int]]:
    told = CliRunner().invoke(
        app, ["--stage", "test", "outbox", "replay", "--type", type_, "--since", "90d", "--json", *arguments]
    )
    sandbox.drain()
    return told, json.loads(told.stdout)


def _row() -> dict[str, Any]:
    (row,) = client("dynamodb").scan(TableName="celeriac-test--outbox")["Items"]
    return row


def _park(sandbox: Sandbox, unknown: Sequence[str]) -> None:
    """Emit an event for a release that doesn't know a subscriber, and let the patience pass."""
    _emit()
    known = [each for each in registry.tasks.values() if each.name not in unknown]
    with sandbox.rollout(known, known):
        sandbox.drain()
        sandbox.advance(timedelta(days=2))
        sandbox.drain()
    assert _row()["waiting"]["S"] == "parked"


def test_a_parked_event_is_sent_only_to_those_that_have_not_got_it(sandbox: Sandbox) -> None:
    _park(sandbox, ["book"])
    assert runs == {"pay": 1}
    sandbox.advance(LONG)
    told, counts = _replay(sandbox)
    assert runs == {"pay": 1, "book": 1}
    assert (told.exit_code, counts["published"]) == (0, 1)
    assert not {"waiting", "reason", "sent_to", "parked_at"} & _row().keys()


def test_a_parked_event_that_reached_nobody_is_replayed_after_any_time(sandbox: Sandbox) -> None:
    _park(sandbox, ["book", "pay"])
    sandbox.advance(timedelta(days=60))
    _replay(sandbox)
    assert runs == {"pay": 1, "book": 1}


def test_a_row_that_is_parked_again_remembers_all_that_have_got_it(sandbox: Sandbox) -> None:
    """A queue is still gone when the operator tries for the first time."""
    gone = Queue("gone-for-now")

    @task(gone, on="paid.event")
    def late(number: int) -> None:
        runs["late"] += 1

    def delete_it() -> None:
        client("sqs").delete_queue(QueueUrl=sqs.url("celeriac-test--gone-for-now"))

    delete_it()
    _emit()
    sandbox.drain()
    assert set(_row()["sent_to"]["SS"]) == {"book", "pay"}
    delete_it()  # the sandbox makes a queue when its name is looked up
    told, counts = _replay(sandbox)
    assert (told.exit_code, counts["parked"]) == (1, 1)
    assert set(_row()["sent_to"]["SS"]) == {"book", "pay"}
    sandbox.advance(LONG)
    _replay(sandbox)
    assert runs == {"pay": 1, "book": 1, "late": 1}


def test_a_replay_that_fails_for_now_remembers_whom_it_reached(sandbox: Sandbox) -> None:
    other = Queue("paid-elsewhere")

    @task(other, on="paid.event")
    def late(number: int) -> None:
        runs["late"] += 1

    _park(sandbox, ["book", "late"])
    with sandbox.outage("sqs", queue=other), sandbox.worker():
        told, counts = _replay(sandbox)
    assert (told.exit_code, counts["failed"]) == (2, 1)
    assert set(_row()["sent_to"]["SS"]) == {"book", "pay"}
    assert _row()["waiting"]["S"] == "parked"
    sandbox.advance(LONG)
    _replay(sandbox)
    assert runs == {"pay": 1, "book": 1, "late": 1}


def test_one_task_can_be_sent_a_parked_event_again_and_the_row_remembers_a_first_time(sandbox: Sandbox) -> None:
    _park(sandbox, ["book"])
    sandbox.advance(LONG)
    _replay(sandbox, "--to", "pay")
    assert runs == {"pay": 2}
    _replay(sandbox, "--to", "book")
    sandbox.advance(LONG)
    told, _ = _replay(sandbox)
    assert told.exit_code == 0
    assert runs == {"pay": 2, "book": 1}
    assert "waiting" not in _row()


def test_a_published_row_is_absorbed_while_the_records_live_and_left_out_after_that(sandbox: Sandbox) -> None:
    _emit()
    sandbox.drain()
    sandbox.advance(timedelta(days=5))
    told, counts = _replay(sandbox)
    assert (told.exit_code, counts["published"], counts["expired"]) == (0, 1, 0)
    sandbox.advance(timedelta(days=14))  # counted from the first time: what was absorbed has renewed no record
    for arguments in ([], ["--dry-run"], ["--to", "pay"]):
        told, counts = _replay(sandbox, *arguments)
        assert (told.exit_code, counts["found"], counts["published"], counts["expired"]) == (1, 1, 0, 1)
    assert runs == {"pay": 1, "book": 1}
    sandbox.advance(LONG)
    told, counts = _replay(sandbox, "--even-expired")
    assert (told.exit_code, counts["published"], counts["expired"]) == (0, 1, 0)
    assert runs == {"pay": 2, "book": 2}


def test_the_operator_is_told_why_rows_are_left_out_and_how_to_send_them(sandbox: Sandbox) -> None:
    _emit()
    sandbox.drain()
    sandbox.advance(LONG)
    told = CliRunner().invoke(app, ["--stage", "test", "outbox", "replay", "--type", "paid.event", "--since", "90d"])
    assert told.exit_code == 1
    assert "1 row left out" in told.output
    assert "--even-expired" in told.output


def test_a_task_that_keeps_no_record_and_an_event_that_reached_nobody_are_replayed_after_any_time(
    sandbox: Sandbox,
) -> None:
    _emit("told.event")
    _emit("late.event")
    sandbox.drain()
    sandbox.advance(LONG)

    @task(queue, on="late.*")
    def late(number: int) -> None:
        runs["late"] += 1

    told, counts = _replay(sandbox)
    assert (told.exit_code, counts["expired"]) == (0, 0)
    assert runs == {"tell": 2, "late": 1}


def test_the_record_of_a_task_begins_when_its_delay_ends(sandbox: Sandbox) -> None:
    with celeriac.transaction() as tx:
        tx.enqueue(direct.options(delay=timedelta(days=20)), number=1)
    sandbox.drain()
    assert runs == {"direct": 1}
    told, _ = _replay(sandbox)
    assert (told.exit_code, runs) == (0, {"direct": 1})
    sandbox.advance(LONG)
    told, counts = _replay(sandbox)
    assert (told.exit_code, counts["expired"], runs) == (1, 1, {"direct": 1})


def test_a_row_that_an_older_release_parked_may_have_arrived_anywhere(sandbox: Sandbox) -> None:
    _park(sandbox, ["book"])
    client("dynamodb").update_item(
        TableName="celeriac-test--outbox",
        Key={name: _row()[name] for name in ("pk", "sk")},
        UpdateExpression="REMOVE sent_to, parked_at",
    )
    sandbox.advance(LONG)
    told, counts = _replay(sandbox)
    assert (told.exit_code, counts["expired"], runs) == (1, 1, {"pay": 1})


def test_a_replay_keeps_its_rate(sandbox: Sandbox) -> None:
    for _ in range(4):
        _emit("told.event")
    sandbox.drain()
    start = sandbox.now
    told = CliRunner().invoke(
        app, ["--stage", "test", "outbox", "replay", "--type", "*", "--since", "1h", "--json", "--rate", "0.1"]
    )
    assert json.loads(told.stdout.splitlines()[-1])["published"] == 4  # tasks ran meanwhile, and logged
    assert sandbox.now - start >= timedelta(seconds=3 / 0.1)
