"""A key that is used again with other arguments: nobody finds out later that work was dropped, it is seen at once."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from celeriac import Backoff, Context, Queue, Reject, Status, TaskFailedError, task
from celeriac.aws.client import client
from celeriac.aws.items import plain
from celeriac.declare import registry
from celeriac.leases import lease
from celeriac.leases.claim import Claim
from celeriac.model import names
from celeriac.model.errors import TaskError
from celeriac.testing import Sandbox, WorkerDied
from tests.support.redrive import redrive_as_aws_does

till = Queue("till", batch_size=10)
OTHER = 471_147_114_711
"""Cents that no time, thread or process id in a log line holds by chance."""
runs: list[object] = []
type Send = Callable[[Queue, object], None]


@pytest.fixture(autouse=True)
def _empty() -> None:
    runs.clear()


@task(till, key="order")
def charge(order: str, cents: float, note: str = "") -> str:
    runs.append((order, cents))
    return f"{cents:g}"


@task(till, key="order", on_mismatch="dead_letter")
def refund(order: str, cents: int) -> str:
    runs.append((order, cents))
    return f"{cents}"


@task(till, key="door", delivery="at_most_once")
def unlock(door: str, floor: int = 0, ending: str = "") -> None:
    runs.append((door, floor))
    if ending == "death":
        raise WorkerDied
    raise Reject("jammed")


@pytest.fixture
def seen(capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> Callable[[], list[dict[str, Any]]]:
    """The warnings about other arguments. As many are counted, and none quotes an argument."""

    def read() -> list[dict[str, Any]]:
        warnings = [vars(record) for record in caplog.records if record.getMessage() == "key used with other arguments"]
        metrics = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith('{"_aws"')]
        assert sum(sum(line.get("KeyMismatch", [])) for line in metrics) == len(warnings)
        assert str(OTHER) not in str(warnings)
        return warnings

    return read


type Seen = Callable[[], list[dict[str, Any]]]


def test_a_duplicate_with_other_arguments_is_skipped_and_seen(sandbox: Sandbox, seen: Seen) -> None:
    first = charge.enqueue("o-1", 500)
    sandbox.drain()
    second = charge.enqueue("o-1", OTHER)
    sandbox.drain()
    assert runs == [("o-1", 500)]
    assert sandbox.dead_letters(till) == []
    (warning,) = seen()
    assert (warning["levelname"], warning["task"], warning["id"]) == ("WARNING", "charge", second.id)
    assert warning["duplicate_of"] == first.id
    assert warning["arguments_hash"] != warning["its_arguments_hash"]
    # The handle says whose result it has.
    assert (second.status().state, second.duplicate_of, second.result()) == ("succeeded", first.id, "500")


def test_a_duplicate_with_the_same_arguments_is_not_seen(sandbox: Sandbox, send: Send, seen: Seen) -> None:
    charge.enqueue("o-1", 500)
    charge.enqueue("o-1", 500.0)
    charge.enqueue(order="o-1", cents=500, note="")  # the default, spelled out
    for cents in ("500", "500.0", "5e2"):
        send(till, f'{{"task": "charge", "args": {{"cents": {cents}, "order": "o-1"}}}}')
    sandbox.drain()
    assert runs == [("o-1", 500)]
    assert seen() == []


@dataclass(frozen=True)
class Item:
    tags: frozenset[str]


def test_arguments_in_another_order_or_of_another_type_are_the_same(sandbox: Sandbox, send: Send, seen: Seen) -> None:
    @task(till, key="order")
    def pack(order: str, items: set[Item], at: datetime, extra: Any) -> None:
        runs.append(order)

    pack.enqueue("o-1", {Item(frozenset("abc"))}, datetime(2026, 1, 1, tzinfo=UTC), {"b": 1, "a": [2.0]})
    pack.enqueue(order="o-1", items={Item(frozenset("cba"))}, at="2026-01-01T00:00:00+00:00", extra={"a": [2], "b": 1})  # type: ignore[arg-type]  # as another program sends it
    tags = '"items": [{"tags": ["c", "a", "b"]}], "at": "2026-01-01T00:00:00Z"'
    send(till, f'{{"task": "pack", "args": {{"extra": {{"b": 1.0, "a": [2]}}, "order": "o-1", {tags}}}}}')
    sandbox.drain()
    assert runs == ["o-1"]
    assert seen() == []


def test_a_task_can_have_such_a_duplicate_dead_lettered(sandbox: Sandbox, seen: Seen) -> None:
    first = refund.enqueue("o-1", 500)
    sandbox.drain()
    same, other = refund.enqueue("o-1", 500), refund.enqueue("o-1", OTHER)
    sandbox.drain()
    assert runs == [("o-1", 500)]
    (letter,) = sandbox.dead_letters(till)
    assert (letter.id, letter.args["cents"]) == (other.id, OTHER)
    assert letter.failure is not None
    assert (letter.failure.reason, letter.failure.attempts) == ("key mismatch", 0)
    assert first.id in letter.failure.message
    assert len(seen()) == 1
    assert same.status() == first.status()
    # The first message's success isn't the other's.
    assert (other.status().state, other.duplicate_of) == ("dead", first.id)
    with pytest.raises(TaskFailedError, match="key mismatch"):
        other.result()


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("call", range(1, 4))
def test_such_a_dead_letter_is_not_lost_by_a_crash(sandbox: Sandbox, call: int, *, after: bool) -> None:
    refund.enqueue("o-1", 500)
    sandbox.drain()
    other = refund.enqueue("o-1", OTHER)
    sandbox.crash_at(call, after=after)
    sandbox.drain()
    assert {letter.id for letter in sandbox.dead_letters(till)} == {other.id}
    assert runs == [("o-1", 500)]


def test_a_redrive_of_such_a_letter_is_judged_anew(sandbox: Sandbox, seen: Seen) -> None:
    first = refund.enqueue("o-1", 500)
    sandbox.drain()
    other = refund.enqueue("o-1", OTHER)
    sandbox.drain()
    redrive_as_aws_does(till)
    sandbox.drain()
    assert [letter.id for letter in sandbox.dead_letters(till)] == [other.id]

    record = lease.look_up("refund", first.key, till.record_retention)
    lease.forget("refund", first.key, till.record_retention, record)
    redrive_as_aws_does(till)
    sandbox.drain()
    assert runs == [("o-1", 500), ("o-1", OTHER)]
    assert (other.status().state, other.result()) == ("succeeded", str(OTHER))


def test_a_key_that_the_sender_chose_is_held_to_its_arguments_too(sandbox: Sandbox, seen: Seen) -> None:
    charge.options(key="k").enqueue("o-1", 500)
    charge.options(key="k").enqueue("o-2", 500)
    sandbox.drain()
    assert len(runs) == 1
    assert len(seen()) == 1


def test_an_id_that_a_program_uses_twice_is_seen(sandbox: Sandbox, send: Send, seen: Seen) -> None:
    @task(till)
    def note(text: str) -> None:
        runs.append(text)

    for text in ("one", "two"):
        send(till, {"task": "note", "id": "order-7", "args": {"text": text}})
        sandbox.drain()
    assert runs == ["one"]
    assert len(seen()) == 1


def test_a_message_whose_place_another_one_took_during_its_retries_is_seen(sandbox: Sandbox, seen: Seen) -> None:
    @task(till, key="order", retry=Backoff(base=timedelta(hours=1), jitter=0), on_mismatch="dead_letter")
    def pay(ctx: Context, order: str, cents: int) -> None:
        runs.append(cents)
        if cents == 500:
            raise ConnectionError

    first = pay.enqueue("o-1", 500)
    sandbox.run_once()
    second = pay.enqueue("o-1", 900)
    sandbox.drain()
    assert runs == [500, 900]
    assert [letter.id for letter in sandbox.dead_letters(till)] == [first.id]
    assert (first.status().state, second.status().state) == ("dead", "succeeded")


def _record() -> dict[str, Any]:
    (item,) = client("dynamodb").scan(TableName=names.idempotency_table("test"))["Items"]
    return plain(item) or {}


# Two releases.


def _declare(function: Callable[..., Any]) -> Any:
    registry.tasks.pop("bill", None)
    return task(till, key="order", name="bill", on_mismatch="dead_letter", retry=Backoff(jitter=0))(function)


@dataclass
class Line:
    name: str


@dataclass
class LineWithPrice:
    name: str
    price: int = 0


def test_a_parameter_of_a_newer_release_makes_no_mismatch(sandbox: Sandbox, send: Send, seen: Seen) -> None:
    """Neither of a copy of an old message, nor of a retry, nor of another program's message."""

    def bill(ctx: Context, order: str, cents: int, line: Line) -> None:
        runs.append(ctx.attempt)
        if ctx.attempt == 1:
            raise ConnectionError

    def newer(ctx: Context, order: str, cents: float, line: LineWithPrice, currency: str = "eur") -> None:
        runs.append(ctx.attempt)

    parcel = _declare(bill).parcel("o-1", 500, Line("a"))
    body = {"task": "bill", "id": parcel.message.id, "args": json.loads(bytes(parcel.message.args))}
    send(till, body)
    sandbox.run_once()
    again = _declare(newer)
    sandbox.drain()
    for copy in (body, {**body, "id": "another"}):
        send(till, copy)
    again.enqueue("o-1", 500, LineWithPrice("a"))
    sandbox.drain()
    assert runs == [1, 2]
    # A newer producer has written the new fields. Whether that is the same work, only the task knows.
    assert [letter.args["line"] for letter in sandbox.dead_letters(till)] == []
    again.enqueue("o-1", 500, LineWithPrice("a"), "usd")
    sandbox.drain()
    assert len(sandbox.dead_letters(till)) == len(seen()) == 1


def test_a_copy_of_a_message_that_the_release_before_has_run_makes_no_mismatch(
    sandbox: Sandbox, send: Send, seen: Seen
) -> None:
    def bill(order: str, cents: int) -> None:
        runs.append(cents)

    def newer(order: str, cents: int, currency: str = "eur") -> None:
        runs.append(cents)

    body = {"task": "bill", "id": "1", "args": {"order": "o-1", "cents": 500}}
    _declare(bill)
    send(till, body)
    sandbox.drain()
    again = _declare(newer)
    send(till, body)
    again.enqueue("o-1", 500)
    sandbox.drain()
    assert (runs, seen(), sandbox.dead_letters(till)) == ([500], [], [])


def test_a_record_of_an_older_release_is_no_mismatch(sandbox: Sandbox, seen: Seen) -> None:
    until = datetime.now(UTC) + timedelta(seconds=30)
    lease.claim(Claim("refund", "refund:o-1", "older", 1, until, till.record_retention)).complete("1")
    handle = refund.enqueue("o-1", 500)
    sandbox.drain()
    assert (handle.status().state, seen(), sandbox.dead_letters(till)) == ("succeeded", [], [])


def test_the_hashes_of_another_messages_claim_are_not_compared(sandbox: Sandbox, seen: Seen) -> None:
    """A release that doesn't know the hashes updates the record of a FIFO message, and leaves them in it."""
    ledger = Queue("ledger-of-arguments", fifo=True, batch_size=10)

    @task(ledger, key="order", on_mismatch="dead_letter")
    def book(order: str, cents: int) -> None:
        runs.append(cents)

    book.options(group="g").enqueue("o-1", 500)
    sandbox.drain()
    record = _record()
    client("dynamodb").update_item(
        TableName=names.idempotency_table("test"),
        Key={"id": {"S": record["id"]}},
        UpdateExpression="SET #token = :token",
        ExpressionAttributeNames={"#token": "token"},
        ExpressionAttributeValues={":token": {"S": "of an older release"}},
    )
    book.options(group="g").enqueue("o-1", 900)
    sandbox.drain()
    assert (runs, seen(), sandbox.dead_letters(ledger)) == ([500], [], [])


def test_a_record_holds_hashes_and_the_version_of_the_form_and_no_argument(sandbox: Sandbox) -> None:
    charge.enqueue("o-1", OTHER)
    sandbox.drain()
    record = _record()
    assert record["form"] == 1
    assert len(record["argument_hashes"].split(" ")) == 3
    assert str(OTHER) not in str({name: value for name, value in record.items() if name != "data"})


# At most once.


def test_the_duplicate_of_a_dead_at_most_once_task_is_never_queued(sandbox: Sandbox, seen: Seen) -> None:
    first = unlock.enqueue("d-1", floor=1)
    sandbox.drain()
    second = unlock.enqueue("d-1", floor=2)
    assert (second.status().state, second.duplicate_of) == ("dead", first.id)
    sandbox.drain()
    assert (second.status().state, second.duplicate_of) == ("dead", first.id)
    assert len(seen()) == 1

    redrive_as_aws_does(till)
    runs.clear()
    sandbox.drain()
    assert runs == [("d-1", 1)]
    assert (second.status().state, second.duplicate_of) == ("dead", first.id)


@pytest.mark.parametrize("on_mismatch", ["skip", "dead_letter"])
def test_while_an_at_most_once_task_runs_its_duplicate_has_its_state(sandbox: Sandbox, on_mismatch: Any) -> None:
    states: list[Status] = []

    @task(till, key="door", delivery="at_most_once", on_mismatch=on_mismatch)
    def ring(door: str) -> None:
        second = ring.enqueue(door)
        states.append(second.status())

    first = ring.enqueue("d-1")
    sandbox.run_once()
    assert [(one.state, one.duplicate_of) for one in states] == [("running", first.id)]


def test_after_the_death_of_its_worker_the_duplicate_of_an_at_most_once_task_is_not_queued(sandbox: Sandbox) -> None:
    first = unlock.enqueue("d-1", ending="death")
    sandbox.run_once()
    sandbox.advance(till.timeout + timedelta(seconds=1))
    second = unlock.handle(key="d-1", id="second")
    status = second.status()
    assert (status.state, status.duplicate_of) == ("retrying", first.id)
    assert status.failure is not None
    assert status.failure.reason == "interrupted"


@pytest.mark.parametrize(
    ("declared", "cure"),
    [
        ({"on_mismatch": "drop"}, "on_mismatch 'drop' is none of skip, dead_letter"),
        ({"on_mismatch": "dead_letter", "delivery": "at_least_once"}, "keeps no record of keys, leave `on_mismatch`"),
    ],
)
def test_a_wrong_declaration_is_refused(declared: Any, cure: str) -> None:
    with pytest.raises(TaskError, match=cure):

        @task(till, **declared)
        def wrong() -> None: ...
