"""Throttled, Concurrent and Breaker: who waits, for how long, and at whose cost."""

import threading
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from celeriac import Backoff, Breaker, Concurrent, Queue, Rate, Reject, Retry, Throttled, task
from celeriac.consume.admission.admit import Admission, Flow
from celeriac.consume.admission.asked import Asked
from celeriac.execute.call import LoopBlockedError, TaskTimeoutError
from celeriac.flow import rows
from celeriac.leases.store import LeaseLostError
from celeriac.testing import Sandbox

hooks = Queue("hooks", timeout=timedelta(minutes=1))
pool = Queue("pool", concurrency=10, timeout=timedelta(minutes=1))
receiver = Rate("receiver", 2)
exports = Concurrent("exports", 2, by="tenant")
bank = Breaker("bank", failures=3, of=10, pause=timedelta(seconds=30), on=(ConnectionError,))
anything = Breaker("anything")
SOON = Backoff(base=timedelta(seconds=1), jitter=0, attempts=50)
log: list[tuple[datetime, object]] = []
inside: Counter[str] = Counter()
most: Counter[str] = Counter()
refuses: list[bool] = []
lock = threading.Lock()


@pytest.fixture(autouse=True)
def _empty() -> None:
    for state in (log, refuses, inside, most):
        state.clear()


@task(hooks)
def unlimited_webhook(number: int) -> None:
    _receive(number)


@task(hooks, limits=[receiver])
def webhook(number: int) -> None:
    _receive(number)


def _receive(number: int) -> None:
    """A receiver that takes two a second, and else says 429 with Retry-After 1."""
    now = datetime.now(UTC)
    if sum(taken > now - timedelta(seconds=1) for taken, what in log if what != "refused") >= 2:
        log.append((now, "refused"))
        raise Throttled(retry_after=timedelta(seconds=1))
    log.append((now, number))


@task(pool, limits=[exports])
def export(tenant: str) -> None:
    with lock:
        inside[tenant] += 1
        most[tenant] = max(most[tenant], inside[tenant])
    with lock:
        inside[tenant] -= 1
        log.append((datetime.now(UTC), tenant))


@task(hooks, limits=[bank], retry=SOON)
def pay(number: int) -> None:
    log.append((datetime.now(UTC), number))
    if refuses and refuses[0]:
        raise ConnectionError("the bank is down")


def test_twenty_webhooks_arrive(sandbox: Sandbox) -> None:
    webhook.enqueue_many({"number": number} for number in range(20))
    sandbox.drain()
    arrived = [what for _, what in log if what != "refused"]
    assert sorted(arrived) == list(range(20))  # type: ignore[type-var]
    assert len(log) - len(arrived) <= 2
    assert sandbox.dead_letters(hooks) == []


def test_throttled_without_a_limit_waits_alone(sandbox: Sandbox) -> None:
    handles = unlimited_webhook.enqueue_many({"number": number} for number in range(6))
    sandbox.drain()
    assert {handle.status().attempts for handle in handles} == {1}
    assert sandbox.dead_letters(hooks) == []


def test_no_more_run_at_once_than_there_are_places(sandbox: Sandbox) -> None:
    export.enqueue_many({"tenant": "a"} for _ in range(30))
    sandbox.drain()
    assert len(log) == 30
    assert most["a"] <= 2
    assert not rows.read(rows.of_limit("exports", export.text_of(("tenant",), {"tenant": "a"}))).get("holders")


def test_a_breaker_opens_pauses_and_lets_one_through(sandbox: Sandbox) -> None:
    refuses.append(True)
    pay.enqueue_many({"number": number} for number in range(10))
    sandbox.run_once()
    assert len(log) == 3
    sandbox.advance(timedelta(minutes=5))
    sandbox.run_once()
    assert len(log) == 4  # the probe
    refuses.clear()
    sandbox.drain()
    assert len({number for _, number in log}) == 10
    assert sandbox.dead_letters(hooks) == []


@pytest.mark.parametrize(
    ("limit", "error", "counts"),
    [
        (anything, ConnectionError(), True),
        (anything, TaskTimeoutError(timedelta(seconds=1)), True),
        (anything, None, False),
        (anything, Reject(), False),  # the provider has answered
        (bank, ValueError(), False),  # not of `on`
        (anything, Throttled(retry_after=timedelta()), False),
        (anything, Retry(charge=False), False),
        (anything, LoopBlockedError(has_begun=True), False),  # another task's fault
        (anything, LeaseLostError(), False),  # its worker's fault
    ],
)
@pytest.mark.usefixtures("sandbox")
def test_what_counts_as_a_failure(limit: Breaker, error: BaseException | None, counts: bool) -> None:  # noqa: FBT001 - a case's answer
    key = rows.of_limit(limit.name, "")
    Admission(Flow([]), Asked(breakers=((limit, key),))).ended(error)
    assert ("failed" in rows.read(key)) == counts
