"""When a failed task is tried again: the errors a task raises on purpose, and its policy.

Everything here is a pure decision over plain data; `celeriac.consume.settle` carries it out.
"""

import math
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Never

from celeriac.model import habits
from celeriac.model.errors import Signal
from celeriac.model.reason import Reason

LONGEST_DELAY = timedelta(days=365)
# The share of a `Retry(delay=...)` that is added at most.
LATER = 0.1
# What isn't charged may come again for days: without a wait it would do nothing but that.
SHORTEST_UNCHARGED = timedelta(seconds=1)

_random = random.SystemRandom()


class Retry(Signal):
    """Raise it in a task to be tried again, after `delay` if given, else after the policy's backoff.

    delay: the least wait. Up to a tenth of it is added at random, so that what failed together doesn't return
        together; nothing is taken off, so a provider's Retry-After is kept. SQS counts in whole seconds, rounded up.
        At most a year, the added part included; on a FIFO queue at most 11 h 45 min, which is how long SQS can hide a
        message.
    charge: with False it doesn't count as an attempt: for a task that can't go on yet and is not to blame, because a
        provider is closed or a file isn't there yet. Each such wait is a second at least. They end too, in a dead
        letter of the reason `expired`: at the age that the policy's `give_up_after` names; where it names none, after
        the queue's `retention` (4 days by default), counted from the first of them. On a FIFO queue they end at its
        `max_receives` too (1,000 by default): each wait is a receive, and waits of five minutes end after three and a
        half days. An `at_most_once` task runs once all the same.

    Raises ValueError for a delay below nothing or above a year, TypeError for one that is no timedelta, and for other
    keywords.
    """

    def __init__(
        self, reason: str = "", *, delay: timedelta | None = None, charge: bool = True, **unknown: Never
    ) -> None:
        super().__init__(reason)
        if unknown:
            cures = habits.cures(unknown, habits.RETRYING, "Retry")
            raise TypeError(f"Retry() has no {', '.join(unknown)}; {cures or 'it takes a reason, delay and charge'}")
        if delay is not None and not isinstance(delay, timedelta):
            raise TypeError(f"Retry(delay={delay!r}): a delay is a timedelta, write delay=timedelta(seconds={delay!r})")
        if delay is not None and not timedelta() <= delay <= LONGEST_DELAY:
            raise ValueError(f"Retry(delay={delay}): a delay lies between nothing and a year")
        self.delay = delay
        self.charge = charge


class Reject(Signal):
    """Raise it in a task for what no retry can mend: a refusal, bad data. The message is a dead letter at once."""


@dataclass(frozen=True, slots=True)
class Again:
    """Try again after `delay`."""

    delay: timedelta
    charged: bool = True
    """Whether what has failed counts as an attempt."""


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Dead-letter it, for `reason`: rejected, exhausted or expired."""

    reason: Reason


type Decision = Again | GiveUp


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential backoff: after attempt n wait base * factor^(n-1), at most `cap`, give or take `jitter`."""

    base: timedelta = timedelta(seconds=60)
    factor: float = 2.0
    jitter: float = 0.3
    """The share of the delay that is drawn at random, 0 to 1, so that what failed together doesn't return together."""
    cap: timedelta = timedelta(hours=1)
    attempts: int = 5
    """Attempts in all, the first one included."""
    give_up_after: timedelta | None = None
    """Age, counted from the enqueue, at which no further attempt is made."""
    retry_on: tuple[type[BaseException], ...] = (BaseException,)
    """Other errors than these are dead letters at once."""
    reject_on: tuple[type[BaseException], ...] = ()
    """These errors are dead letters at once, even where `retry_on` names a base class of theirs."""

    def problems(self) -> Iterator[str]:
        """Why it can't be kept: `@task` refuses it, naming the task."""
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
        """The wait after `attempt`; `share` in [-1, 1] says where in the jitter's band it falls."""
        try:
            wait = self.base * self.factor ** (attempt - 1)
        except OverflowError:  # a factor of 10 at the 400th attempt
            wait = self.cap
        return min(wait, self.cap) * (1 + self.jitter * share)

    def decide(self, error: BaseException, *, attempt: int, age: timedelta, left: timedelta) -> Decision:
        """What follows when `attempt` has failed with `error`, `age` after the enqueue.

        left: how much longer it may wait without being charged, where `give_up_after` doesn't say so.
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
    """`asked` and up to a tenth more, at most a year; `share` in [0, 1] says how much."""
    return min(asked * (1 + LATER * share), LONGEST_DELAY)


def _again(error: BaseException, backoff: timedelta, limit: timedelta | None) -> Decision:
    """Try again after what a Retry asks for, else after `backoff`; expired where even that ends beyond `limit`."""
    charged, asked = _is_charged(error), error.delay if isinstance(error, Retry) else None
    shortest = timedelta() if charged else SHORTEST_UNCHARGED
    least = max(backoff if asked is None else asked, shortest)
    if limit is not None and least > limit:
        return GiveUp(Reason.EXPIRED)
    delay = least if asked is None else later(least, _random.random())
    # What was asked for ends in time: what is added must not make it too late.
    return Again(delay if limit is None else min(delay, limit), charged)


def _is_charged(error: BaseException) -> bool:
    return error.charge if isinstance(error, Retry) else True


def _is_number(value: object, *, whole: bool) -> bool:
    return type(value) is int or (not whole and isinstance(value, float) and math.isfinite(value))


def _are_errors(value: object) -> bool:
    return isinstance(value, tuple) and all(isinstance(one, type) and issubclass(one, BaseException) for one in value)


type CustomPolicy = Callable[[BaseException, int], timedelta | None]
"""A policy of one's own: (the error, the attempt that failed) -> the delay, or None to give up."""


@dataclass(frozen=True, slots=True)
class Custom:
    """A callable as a policy."""

    policy: CustomPolicy = field(repr=False)

    def decide(self, error: BaseException, *, attempt: int, age: timedelta, left: timedelta) -> Decision:  # noqa: ARG002 - as Backoff's
        """Ask the callable; Reject and the delay of Retry(delay=...) mean what they always mean.

        It isn't asked about a Retry that names its delay and isn't charged: no attempt has failed. `left` is how much
        longer such a message may wait.
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
