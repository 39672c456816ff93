"""A Rate: starts are exact, and who waits is charged nothing."""

import threading
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from celeriac import Backoff, Queue, Rate, task
from celeriac.testing import Sandbox

calls = Queue("calls", timeout=timedelta(minutes=1))
wide_calls = Queue("wide-calls", concurrency=10, timeout=timedelta(minutes=1))
two_a_second = Rate("two-a-second", 2)
ten_a_second = Rate("ten-a-second", 10)
of_account = Rate("of-account", 1, by="account")
NO_WAIT = Backoff(base=timedelta(seconds=1), jitter=0)
one_a_day = Rate("one-a-day", 1, per=timedelta(days=1), burst=10)
starts: list[datetime] = []
lock = threading.Lock()


@pytest.fixture(autouse=True)
def _empty() -> None:
    starts.clear()


def _note() -> None:
    with lock:
        starts.append(datetime.now(UTC))


@task(calls, limits=[two_a_second])
def call(number: int) -> None:
    _note()


@task(wide_calls, limits=[ten_a_second])
def call_wide(number: int) -> None:
    _note()


@task(calls, limits=[one_a_day])
def take_ten_days(number: int) -> None:
    _note()


@task(calls, limits=[of_account])
def call_account(account: str) -> None:
    _note()


def holds(rate: Rate, times: Sequence[datetime]) -> bool:
    """Whether no window holds more starts than the rate promises."""
    ordered = sorted(times)
    for i, first in enumerate(ordered):
        for j in range(i, len(ordered)):
            window = (ordered[j] - first) / timedelta(microseconds=1)
            if j - i + 1 > rate.at_once + window / rate.interval + 1e-9:
                return False
    return True


@pytest.mark.parametrize("count", [1, 2, 3, 20, 100])
def test_no_window_holds_more_starts_than_promised(sandbox: Sandbox, count: int) -> None:
    handles = call.enqueue_many({"number": number} for number in range(count))
    sandbox.drain()
    assert len(starts) == count
    assert holds(two_a_second, starts)
    assert {handle.status().attempts for handle in handles} == {1}


def test_it_is_as_fast_as_the_rate_allows(sandbox: Sandbox) -> None:
    call.enqueue_many({"number": number} for number in range(100))
    sandbox.drain()
    assert max(starts) - min(starts) < timedelta(seconds=60)  # 50 s, and waits in whole seconds


def test_lanes_of_one_invocation_share_a_write(sandbox: Sandbox) -> None:
    call_wide.enqueue_many({"number": number} for number in range(10))
    before = sandbox.calls.copy()
    sandbox.drain()
    made = sandbox.calls - before
    assert len(starts) == 10
    assert holds(ten_a_second, starts)
    assert made["dynamodb", "BatchGetItem"] == 1
    assert made["dynamodb", "UpdateItem"] == 10 + 1  # one success each, and all starts


def test_an_item_outlives_the_starts_that_it_remembers(sandbox: Sandbox) -> None:
    take_ten_days.enqueue_many({"number": number} for number in range(10))
    sandbox.run_once()
    assert len(starts) == 10  # the burst: the next start is a day away, and the last ten days
    take_ten_days.enqueue(number=10)
    sandbox.run_once()  # it takes a slot, or waits
    sandbox.advance(timedelta(days=5))
    take_ten_days.enqueue_many({"number": number} for number in range(11, 20))
    sandbox.run_once()
    assert len(starts) <= 16


def test_each_value_of_by_has_its_own_rate(sandbox: Sandbox) -> None:
    call_account.enqueue_many({"account": account} for account in "abcdefgh")
    begin = sandbox.now
    sandbox.drain()
    assert starts == [begin] * 8
