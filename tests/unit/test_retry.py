from datetime import timedelta

import pytest

from celeriac import Queue, task
from celeriac.model.errors import TaskError
from celeriac.model.reason import Reason
from celeriac.model.retry import LONGEST_DELAY, Again, Backoff, Custom, Decision, GiveUp, Reject, Retry, later

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)


@pytest.mark.parametrize(
    ("attempt", "share", "expected"),
    [
        (1, 0, 60),
        (2, 0, 120),
        (5, 0, 960),
        (1, 1, 78),
        (1, -1, 42),
        (7, 0, 3600),  # 3840 s, capped
        (7, 1, 4680),  # the cap is jittered too, or capped retries would return at the same time
        (5000, 0, 3600),  # larger than any float
    ],
)
def test_the_default_backoff_doubles_up_to_its_cap(attempt: int, share: float, expected: float) -> None:
    assert Backoff().delay(attempt, share) == timedelta(seconds=expected)


def test_jitter_stays_within_its_band() -> None:
    for _ in range(200):
        decision = Backoff().decide(OSError(), attempt=1, age=MINUTE, left=DAY)
        assert isinstance(decision, Again)
        assert timedelta(seconds=42) <= decision.delay <= timedelta(seconds=78)


plain = Backoff(base=MINUTE, jitter=0, attempts=3, give_up_after=DAY)


@pytest.mark.parametrize(
    ("policy", "error", "attempt", "age", "expected"),
    [
        (plain, OSError(), 1, MINUTE, Again(MINUTE)),
        (plain, OSError(), 3, MINUTE, GiveUp(Reason.EXHAUSTED)),
        (plain, Reject(), 1, MINUTE, GiveUp(Reason.REJECTED)),
        (plain, Retry(), 2, MINUTE, Again(2 * MINUTE)),
        (plain, Retry(delay=MINUTE), 3, MINUTE, GiveUp(Reason.EXHAUSTED)),
        (plain, OSError(), 1, DAY, GiveUp(Reason.EXPIRED)),
        (plain, OSError(), 1, DAY - MINUTE, Again(MINUTE)),
        (plain, Retry(delay=DAY), 1, MINUTE, GiveUp(Reason.EXPIRED)),
        (Backoff(retry_on=(OSError,)), KeyError(), 1, MINUTE, GiveUp(Reason.REJECTED)),
        (Backoff(reject_on=(OSError,)), TimeoutError(), 1, MINUTE, GiveUp(Reason.REJECTED)),
        (Backoff(retry_on=(OSError,), jitter=0), Retry(), 1, MINUTE, Again(MINUTE)),
        (Custom(lambda _error, attempt: attempt * MINUTE), OSError(), 4, MINUTE, Again(4 * MINUTE)),
        (Custom(lambda _error, _attempt: None), OSError(), 1, MINUTE, GiveUp(Reason.EXHAUSTED)),
        (Custom(lambda _error, _attempt: MINUTE), Reject(), 1, MINUTE, GiveUp(Reason.REJECTED)),
        (Custom(lambda _error, _attempt: None), Retry(delay=MINUTE), 1, MINUTE, GiveUp(Reason.EXHAUSTED)),
        (Custom(lambda _error, _attempt: -MINUTE), OSError(), 1, MINUTE, Again(timedelta())),
        # An uncharged retry continues after the last attempt: until the policy's age, or else until no time is left.
        (plain, Retry(charge=False), 3, MINUTE, Again(4 * MINUTE, charged=False)),
        (plain, Retry(charge=False, delay=DAY), 1, MINUTE, GiveUp(Reason.EXPIRED)),
        (plain, Retry(charge=False), 3, DAY - MINUTE, GiveUp(Reason.EXPIRED)),
        (Backoff(jitter=0), Retry(charge=False), 9, 9 * DAY, Again(60 * MINUTE, charged=False)),
        (Backoff(jitter=0), Retry(charge=False, delay=2 * DAY), 1, MINUTE, GiveUp(Reason.EXPIRED)),
        (Backoff(base=timedelta(), jitter=0), Retry(charge=False), 1, MINUTE, Again(SECOND, charged=False)),
        (Custom(lambda _error, _attempt: MINUTE), Retry(charge=False), 1, 9 * DAY, Again(MINUTE, charged=False)),
        (Custom(lambda _error, _attempt: 2 * DAY), Retry(charge=False), 1, MINUTE, GiveUp(Reason.EXPIRED)),
        (Custom(lambda _error, _attempt: None), Retry(charge=False), 1, MINUTE, GiveUp(Reason.EXHAUSTED)),
        (Custom(lambda _error, _attempt: None), Retry(charge=False, delay=2 * DAY), 1, MINUTE, GiveUp(Reason.EXPIRED)),
    ],
)
def test_a_policy_decides_by_error_attempt_and_age(
    policy: Backoff | Custom, error: BaseException, attempt: int, age: timedelta, expected: Decision
) -> None:
    assert policy.decide(error, attempt=attempt, age=age, left=DAY) == expected


def never(error: BaseException, attempt: int) -> timedelta | None:
    raise AssertionError("the policy must not be called")


@pytest.mark.parametrize(
    ("policy", "error"),
    [
        (plain, Retry(delay=10 * MINUTE)),
        (plain, Retry(delay=10 * MINUTE, charge=False)),
        (Custom(lambda _error, _attempt: MINUTE), Retry(delay=10 * MINUTE)),
        (Custom(never), Retry(delay=10 * MINUTE, charge=False)),
    ],
)
def test_the_delay_of_a_retry_is_never_shortened_and_differs_between_messages(
    policy: Backoff | Custom, error: Retry
) -> None:
    delays = set()
    for _ in range(100):
        decision = policy.decide(error, attempt=1, age=MINUTE, left=DAY)
        assert isinstance(decision, Again)
        assert decision.charged is error.charge
        delays.add(decision.delay)
    assert 10 * MINUTE <= min(delays) < max(delays) <= 11 * MINUTE
    assert len(delays) > 90


@pytest.mark.parametrize(
    ("asked", "share", "expected"),
    [
        (timedelta(), 1, timedelta()),
        (10 * MINUTE, 0, 10 * MINUTE),
        (10 * MINUTE, 0.5, 10.5 * MINUTE),
        (10 * MINUTE, 1, 11 * MINUTE),
        (LONGEST_DELAY, 1, LONGEST_DELAY),
        (LONGEST_DELAY - DAY, 1, LONGEST_DELAY),
    ],
)
def test_jitter_lengthens_a_retrys_delay_to_a_year_at_most(asked: timedelta, share: float, expected: timedelta) -> None:
    assert later(asked, share) == expected


def test_jitter_never_makes_a_retry_expire() -> None:
    for _ in range(20):
        assert plain.decide(Retry(delay=MINUTE), attempt=1, age=DAY - MINUTE, left=DAY) == Again(MINUTE)


@pytest.mark.parametrize(
    ("numbers", "problem"),
    [
        ({"attempts": 0}, "attempts is 0"),
        ({"base": -MINUTE}, "base is"),
        ({"base": 2 * DAY}, "between nothing and the cap"),
        ({"cap": 400 * DAY}, "at most a year"),
        ({"cap": 365 * DAY}, "at most a year, jitter included"),
        ({"base": 60}, "write a timedelta"),
        ({"give_up_after": 60}, "write a timedelta"),
        ({"attempts": 2.5}, "must be a whole number"),
        ({"attempts": "5"}, "must be a whole number"),
        ({"attempts": True}, "must be a whole number"),
        ({"factor": float("nan")}, "must be a number"),
        ({"factor": float("inf")}, "must be a number"),
        ({"retry_on": ("x",)}, "write a tuple of exception classes"),
        ({"reject_on": [KeyError]}, "write a tuple of exception classes"),
        ({"factor": 0.5}, "factor is 0.5"),
        ({"jitter": 2}, "jitter is 2"),
        ({"give_up_after": timedelta()}, "give_up_after"),
    ],
)
def test_a_backoff_that_cannot_be_kept_is_refused_by_its_task(numbers: dict[str, object], problem: str) -> None:
    with pytest.raises(TaskError, match=f"task 'pay': its Backoff can't be kept, .*{problem}"):
        task(Queue("jobs"), name="pay", retry=Backoff(**numbers))(print)  # type: ignore[arg-type]  # the test passes wrong types


@pytest.mark.parametrize("delay", [-MINUTE, 366 * DAY])
def test_a_retry_in_more_than_a_year_or_in_the_past_is_refused(delay: timedelta) -> None:
    with pytest.raises(ValueError, match="between nothing and a year"):
        Retry(delay=delay)


@pytest.mark.parametrize("delay", [60, 0, 1.5])
def test_a_delay_that_is_not_a_timedelta_is_refused_with_the_cure(delay: object) -> None:
    with pytest.raises(TypeError, match=rf"write delay=timedelta\(seconds={delay}\)"):
        Retry(delay=delay)  # type: ignore[arg-type]  # the test passes a wrong type
