"""When a failed task is tried again: the errors that a task raises on purpose, and its retry policy.

Everything here only decides, over plain data. `celeriac.consume.settle` carries the decisions out.
"""

import math
import random
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Never

from msgspec import Struct

from celeriac.model import celery_names
from celeriac.model.errors import Signal
from celeriac.model.limits import Rate
from celeriac.model.reason import Reason

LONGEST_DELAY = timedelta(days=365)
# Providers ask for seconds or minutes, or for the rest of a day's quota.
LONGEST_THROTTLE = timedelta(days=1)
# So often in a row a run that raises Throttled is charged to nobody.
MOST_THROTTLED = 20
# What a record says of such a run. It is no dead letter's reason.
ASKED_TO_WAIT = "asked to wait"
# The largest share of a `Retry(delay=...)` that is added to it.
LATER = 0.1
# An uncharged message may come again for days. Without a wait, its task would run all the time.
SHORTEST_UNCHARGED = timedelta(seconds=1)

_random = random.SystemRandom()


class Retry(Signal):
    """Raise this in a task to have the task tried again, after `delay` if given, else after the policy's backoff.

    delay: the shortest wait. Up to a tenth of it is added at random, so that tasks that failed together don't return
        together. Nothing is subtracted, so a provider's Retry-After is respected. SQS counts in whole seconds, rounded
        up. The longest wait is a year, the added part included. On a FIFO queue the message waits in its queue, so it
        becomes a dead letter with the reason `expired` if the wait ends too close to the queue's `retention`.
    charge: with False, the run doesn't count as an attempt. This is for a task that hasn't failed but can't go on yet,
        because a provider is closed or a file isn't there yet. Each such wait is at least a second.
        The waits end in a dead letter with the reason `expired`: at the age that the policy's `give_up_after` names;
        if it names none, after the queue's `retention` (4 days by default), counted from the first uncharged run. On a
        FIFO queue they also end at the queue's `max_receives` (1,000 by default): each wait is a receive, so waits of
        five minutes end after three and a half days. An `at_most_once` task still runs only once.

    Raises ValueError for a delay below zero or above a year. Raises TypeError for a delay that isn't a timedelta, and
    for other keywords.
    """

    def __init__(
        self, reason: str = "", *, delay: timedelta | None = None, charge: bool = True, **unknown: Never
    ) -> None:
        super().__init__(reason)
        if unknown:
            cures = celery_names.cures(unknown, celery_names.RETRYING, "Retry")
            raise TypeError(f"Retry() has no {', '.join(unknown)}; {cures or 'it takes a reason, delay and charge'}")
        if delay is not None and not isinstance(delay, timedelta):
            raise TypeError(f"Retry(delay={delay!r}): a delay is a timedelta, write delay=timedelta(seconds={delay!r})")
        if delay is not None and not timedelta() <= delay <= LONGEST_DELAY:
            raise ValueError(f"Retry(delay={delay}): a delay lies between nothing and a year")
        self.delay = delay
        self.charge = charge


class Reject(Signal):
    """Raise this in a task for an error that no retry can fix: a refusal, bad data.

    The message becomes a dead letter at once.
    """


class Throttled(Signal):
    """Raise this in a task when a provider says "too many requests": its limit waits, for every task that names it.

    The run doesn't count as an attempt, but from the 20th in a row on each does. All waits of a message together end
    after 14 days, in a dead letter with the reason `waited too long`. An `at_most_once` task isn't run again: it
    becomes a dead letter with the reason `throttled`.

    retry_after: how long the provider asks to wait, at most a day. Up to a tenth of it is added at random.
    limit: the `Rate` that waits. By default the task's own: of several, the one with a `by`, else the slowest. A task
        without a Rate waits alone.

    Raises TypeError for a value of another type, ValueError for a wait below zero or above a day.
    """

    def __init__(self, *, retry_after: timedelta, limit: Rate | None = None, reason: str = "") -> None:
        super().__init__(reason or f"throttled, again after {retry_after}")
        if not isinstance(retry_after, timedelta):
            raise TypeError(
                f"Throttled(retry_after={retry_after!r}): a wait is a timedelta, write "
                f"retry_after=timedelta(seconds={retry_after!r})"
            )
        if not timedelta() <= retry_after <= LONGEST_THROTTLE:
            raise ValueError(f"Throttled(retry_after={retry_after}): it lies between nothing and a day")
        if limit is not None and not isinstance(limit, Rate):
            raise TypeError(f"Throttled(limit={limit!r}): write a Rate of tasks/limits.py, or leave it out")
        self.retry_after = retry_after
        self.limit = limit


class Again(Struct, frozen=True):
    """Try again after `delay`."""

    delay: timedelta
    charged: bool = True
    """Whether the run that ended counts as an attempt."""


class GiveUp(Struct, frozen=True):
    """Dead-letter the message, for `reason`: rejected, exhausted or expired."""

    reason: Reason


type Decision = Again | GiveUp


class Backoff(Struct, frozen=True):
    """Exponential backoff: after attempt n wait base * factor^(n-1), at most `cap`, plus or minus `jitter`."""

    base: timedelta = timedelta(seconds=60)
    factor: float = 2.0
    jitter: float = 0.3
    """The share of the delay that is random, 0 to 1, so that tasks that failed together don't return together."""
    cap: timedelta = timedelta(hours=1)
    attempts: int = 5
    """The number of attempts, including the first one."""
    give_up_after: timedelta | None = None
    """No attempt is started later than this after the first one was due: after the enqueue, or after the delay that
    the sender asked for. A redriven message starts anew."""
    retry_on: tuple[type[BaseException], ...] = (BaseException,)
    """An error of any other class makes the message a dead letter at once."""
    reject_on: tuple[type[BaseException], ...] = ()
    """An error of these classes makes the message a dead letter at once, even if `retry_on` names a base class."""

    def problems(self) -> Iterator[str]:
        """Yield what is wrong with the policy. `@task` then refuses the policy, and names the task."""
        for name in ("base", "cap", "give_up_after"):
            value = getattr(self, name)
            if not isinstance(value, timedelta) and (value is not None or name != "give_up_after"):
                yield f"{name} is {value!r}, write a timedelta, such as timedelta(minutes=5)"
                return
        for name in ("factor", "jitter", "attempts"):
            if not _is_number(getattr(self, name), whole=name == "attempts"):
                yield f"{name} is {getattr(self, name)!r}, it must be a {'whole ' * (name == 'attempts')}number"
                return
        for name in ("retry_on", "reject_on"):
            if not _are_errors(getattr(self, name)):
                yield f"{name} is {getattr(self, name)!r}, write a tuple of exception classes, such as (KeyError,)"
                return
        if not timedelta() <= self.base <= self.cap:
            yield f"base is {self.base}, it must lie between nothing and the cap"
        if self.cap * (1 + min(max(self.jitter, 0), 1)) > LONGEST_DELAY:
            yield f"cap is {self.cap} and jitter {self.jitter}, a delay is at most a year, jitter included"
        if self.factor < 1:
            yield f"factor is {self.factor}, it must be at least 1"
        if not 0 <= self.jitter <= 1:
            yield f"jitter is {self.jitter}, it is a share between 0 and 1"
        if self.attempts < 1:
            yield f"attempts is {self.attempts}, the first one counts: it must be at least 1"
        if self.give_up_after is not None and self.give_up_after <= timedelta():
            yield f"give_up_after is {self.give_up_after}, it must be more than nothing"

    def delay(self, attempt: int, share: float) -> timedelta:
        """Return the wait after `attempt`. `share` in [-1, 1] is the wait's place in the range of the jitter."""
        try:
            wait = self.base * self.factor ** (attempt - 1)
        except OverflowError:  # a factor of 10 at the 400th attempt
            wait = self.cap
        return min(wait, self.cap) * (1 + self.jitter * share)

    def longest(self, timeout: timedelta) -> timedelta:
        """Return how long all attempts may take, if each run takes `timeout` and each wait is the longest one."""
        return self.attempts * timeout + sum(
            (self.delay(attempt, 1) for attempt in range(1, self.attempts)), start=timedelta()
        )

    def decide(self, error: BaseException, *, attempt: int, age: timedelta, left: timedelta) -> Decision:
        """Decide what follows when `attempt` has failed with `error`, `age` after the first one was due.

        left: how much longer the message may wait without being charged, if `give_up_after` sets no limit.
        """
        if isinstance(error, Reject):
            return GiveUp(Reason.REJECTED)
        if not isinstance(error, Retry) and (isinstance(error, self.reject_on) or not isinstance(error, self.retry_on)):
            return GiveUp(Reason.REJECTED)
        charged = _is_charged(error)
        if charged and attempt >= self.attempts:
            return GiveUp(Reason.EXHAUSTED)
        limit = self.give_up_after - age if self.give_up_after is not None else None if charged else left
        return _again(error, self.delay(attempt, _random.uniform(-1, 1)), limit)


def later(asked: timedelta, share: float) -> timedelta:
    """Return `asked` plus up to a tenth of it, at most a year. `share` in [0, 1] is the part of the tenth."""
    return min(asked * (1 + LATER * share), LONGEST_DELAY)


def _again(error: BaseException, backoff: timedelta, limit: timedelta | None) -> Decision:
    """Try again after the delay that a Retry asks for, else after `backoff`.

    The message is expired if this wait would end after `limit`.
    """
    charged, asked = _is_charged(error), error.delay if isinstance(error, Retry) else None
    shortest = timedelta() if charged else SHORTEST_UNCHARGED
    least = max(backoff if asked is None else asked, shortest)
    if limit is not None and least > limit:
        return GiveUp(Reason.EXPIRED)
    delay = least if asked is None else later(least, _random.random())
    # The wait without the added part ends in time. The added part must not make it too late.
    return Again(delay if limit is None else min(delay, limit), charged)


def _is_charged(error: BaseException) -> bool:
    return error.charge if isinstance(error, Retry) else True


def _is_number(value: object, *, whole: bool) -> bool:
    return type(value) is int or (not whole and isinstance(value, float) and math.isfinite(value))


def _are_errors(value: object) -> bool:
    return isinstance(value, tuple) and all(isinstance(one, type) and issubclass(one, BaseException) for one in value)


type CustomPolicy = Callable[[BaseException, int], timedelta | None]
"""A policy that a user writes: (the error, the attempt that failed) -> the delay, or None to give up."""


class Custom(Struct, frozen=True):
    """A callable as a policy."""

    policy: CustomPolicy

    def __repr__(self) -> str:
        return "Custom()"  # a callable's text holds its address

    def decide(self, error: BaseException, *, attempt: int, age: timedelta, left: timedelta) -> Decision:  # noqa: ARG002 - Backoff's signature
        """Ask the callable. Reject and the delay of Retry(delay=...) keep their meaning.

        The callable isn't asked about an uncharged Retry with a delay, because no attempt has failed. `left` is how
        much longer an uncharged message may wait.
        """
        if isinstance(error, Reject):
            return GiveUp(Reason.REJECTED)
        charged = _is_charged(error)
        if not charged and isinstance(error, Retry) and error.delay is not None:
            return _again(error, error.delay, left)
        delay = self.policy(error, attempt)
        if delay is None:
            return GiveUp(Reason.EXHAUSTED)
        return _again(error, min(max(delay, timedelta()), LONGEST_DELAY), None if charged else left)


type Policy = Backoff | Custom
