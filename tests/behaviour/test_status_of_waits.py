"""The status of a task that waits for a limit says for which one, and until when."""

from datetime import UTC, datetime, timedelta

import pytest
from botocore.client import BaseClient
from botocore.exceptions import ClientError

import celeriac
from celeriac import Backoff, Breaker, Concurrent, Queue, Rate, Throttled, task
from celeriac.flow import overrides, places, rows
from celeriac.flow.overrides import Override
from celeriac.testing import Sandbox

tills = Queue("tills", timeout=timedelta(minutes=1))
lines = Queue("lines", fifo=True, timeout=timedelta(minutes=1))
slow = Rate("slow", 6, per=timedelta(minutes=1))
of_shop = Rate("of-shop", 1, per=timedelta(minutes=1), by="shop")
seats = Concurrent("seats", 2)
acquirer = Breaker("acquirer", failures=1, pause=timedelta(minutes=2), on=(ConnectionError,))
refusals: list[Exception] = []


@pytest.fixture(autouse=True)
def _empty() -> None:
    refusals.clear()


@task(tills, limits=[slow])
def ring(number: int) -> None:
    if refusals:
        raise refusals.pop()


@task(tills, limits=[of_shop])
def close_shop(shop: str, day: int = 0) -> None: ...


@task(tills, limits=[seats])
def seat(guest: str) -> None: ...


@task(tills, limits=[slow, acquirer], retry=Backoff(base=timedelta(seconds=1), jitter=0))
def settle(number: int) -> None:
    if refusals:
        raise refusals.pop()


def test_a_task_in_the_line_of_a_rate_says_so(sandbox: Sandbox) -> None:
    handles = ring.enqueue_many({"number": number} for number in range(5))
    sandbox.run_once()
    [first, *_, last] = [handle.status() for handle in handles]
    assert (first.state, first.waits_for) == ("succeeded", None)
    assert (last.state, last.waits_for) == ("queued", "slow")
    assert last.due is not None
    assert timedelta(seconds=30) < last.due - sandbox.now <= timedelta(seconds=50)
    sandbox.drain()
    assert {(handle.status().state, handle.status().waits_for) for handle in handles} == {("succeeded", None)}


def test_only_the_handle_of_the_enqueue_knows_a_limit_of_some_values(sandbox: Sandbox) -> None:
    [_, waits] = close_shop.enqueue_many({"shop": "a", "day": day} for day in range(2))
    other = close_shop.enqueue("b")
    sandbox.run_once()
    assert waits.status().waits_for == "of-shop"
    assert celeriac.handle(waits.ref).status().waits_for is None
    assert celeriac.handle(waits.ref).status().state == "queued"
    assert other.status().state == "succeeded"
    assert "shop" not in repr(waits).removeprefix("Handle('close_shop/")


def test_a_refusal_of_the_provider_tells_its_end(sandbox: Sandbox) -> None:
    refusals.append(Throttled(retry_after=timedelta(minutes=3)))
    handle = ring.enqueue(1)
    sandbox.run_once()
    status = handle.status()
    assert (status.state, status.waits_for) == ("retrying", "slow")
    assert status.due is not None
    assert status.due >= sandbox.now + timedelta(minutes=2, seconds=59)


def test_an_ordinary_retry_waits_for_itself(sandbox: Sandbox) -> None:
    handles = settle.enqueue_many({"number": number} for number in range(3))
    refusals.append(ValueError("no"))
    sandbox.run_once()
    [retrying] = [handle.status() for handle in handles if handle.status().state == "retrying"]
    assert retrying.waits_for is None
    assert [handle.status().waits_for for handle in handles].count("slow") == 2


def test_no_place_is_free(sandbox: Sandbox) -> None:
    key, seen = rows.of_limit("seats", ""), {}  # type: ignore[var-annotated]
    for _ in range(2):
        assert places.take(key, 2, until=sandbox.now + timedelta(minutes=1), seen=seen)
    handle = seat.enqueue("ann")
    sandbox.run_once()
    assert handle.status().waits_for == "seats"
    overrides.put("seats", Override(limit=3))
    handle = seat.enqueue("bob")
    assert handle.status().waits_for == "seats"  # others wait in line
    sandbox.drain()
    assert handle.status().state == "succeeded"


def test_an_open_breaker_comes_before_the_line(sandbox: Sandbox) -> None:
    refusals.append(ConnectionError("down"))
    settle.enqueue(1)
    sandbox.run_once()
    handle = settle.enqueue(2)
    status = handle.status()
    assert status.waits_for == "acquirer"
    assert status.due is not None
    assert timedelta(minutes=1) < status.due - sandbox.now <= timedelta(minutes=2)
    overrides.put("acquirer", Override(is_open=True))
    assert (handle.status().waits_for, handle.status().due) == ("acquirer", None)


@task(lines, limits=[slow])
def ring_in_order(number: int) -> None: ...


def test_a_group_on_a_fifo_queue_waits_too(sandbox: Sandbox) -> None:
    handles = [ring_in_order.options(group="a").enqueue(number) for number in range(3)]
    sandbox.run_once()
    assert [handle.status().waits_for for handle in handles] == [None, "slow", "slow"]
    assert [handle.status().state for handle in handles] == ["succeeded", "queued", "queued"]
    sandbox.drain()
    assert {handle.status().state for handle in handles} == {"succeeded"}


def test_waiting_for_a_result_reads_no_limit(sandbox: Sandbox) -> None:
    handles = ring.enqueue_many({"number": number} for number in range(2))
    sandbox.run_once()
    sandbox.calls.clear()
    with pytest.raises(TimeoutError, match="is queued"):
        handles[1].result(timeout=0)
    assert sandbox.calls["dynamodb", "GetItem"] == 2  # the record, and the note
    handles[1].status()
    assert sandbox.calls["dynamodb", "GetItem"] == 2 + 3


def test_a_delayed_task_asks_no_limit_yet(sandbox: Sandbox) -> None:
    overrides.put("acquirer", Override(is_open=True))
    handle = settle.options(delay=timedelta(minutes=5)).enqueue(1)
    before = sandbox.calls.copy()
    assert handle.status().waits_for is None
    assert handle.status().due is not None
    assert (sandbox.calls - before)["dynamodb", "GetItem"] == 2 * 2  # the record, and the note


@pytest.mark.parametrize("code", ["AccessDeniedException", "ResourceNotFoundException"])
def test_without_the_right_or_the_table_the_status_says_the_rest(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    handle = settle.enqueue(1)
    overrides.put("acquirer", Override(is_open=True))
    assert handle.status().waits_for == "acquirer"
    real = BaseClient._make_api_call  # type: ignore[attr-defined]

    def refuses(self: BaseClient, operation: str, arguments: dict[str, object]) -> object:
        if arguments.get("TableName") == rows.table():
            raise ClientError({"Error": {"Code": code, "Message": "no"}}, operation)
        return real(self, operation, arguments)

    monkeypatch.setattr(BaseClient, "_make_api_call", refuses)
    status = handle.status()
    assert (status.state, status.waits_for) == ("queued", None)


def test_without_the_right_to_see_what_is_set_the_items_tell(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    refusals.append(ConnectionError("down"))
    settle.enqueue(1)
    sandbox.run_once()
    handle = settle.enqueue(2)
    real = BaseClient._make_api_call  # type: ignore[attr-defined]

    def refuses(self: BaseClient, operation: str, arguments: dict[str, object]) -> object:
        if arguments.get("Key") == rows.key_of(rows.OVERRIDES):
            raise ClientError({"Error": {"Code": "AccessDeniedException", "Message": "no"}}, operation)
        return real(self, operation, arguments)

    monkeypatch.setattr(BaseClient, "_make_api_call", refuses)
    assert handle.status().waits_for == "acquirer"


def test_an_override_of_a_former_kind_counts_for_nothing(sandbox: Sandbox) -> None:
    overrides.put("seats", Override(limit=50, per_microseconds=60_000_000))
    assert overrides.places_of(seats) == 2
    overrides.forget()
    overrides.put("slow", Override(limit=7))
    assert overrides.pace_of(slow).interval == slow.interval


def test_of_two_operators_only_one_sets_an_override(sandbox: Sandbox) -> None:
    assert overrides.replace("slow", None, Override(limit=1, per_microseconds=1_000_000, by="ann"))
    assert not overrides.replace("slow", None, Override(limit=2, per_microseconds=1_000_000, by="bob"))
    seen = overrides.written()["slow"]
    assert overrides.replace(
        "slow", seen, Override(limit=2, per_microseconds=1_000_000, by="bob", at=datetime.now(UTC))
    )
    assert not overrides.replace("slow", seen, None)
    assert overrides.replace("slow", overrides.written()["slow"], None)
    assert overrides.written() == {}
