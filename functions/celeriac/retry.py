"""When a failed task is tried again: the errors a task raises on purpose, and its policy.

Everything here is a pure decision over plain data; `celeriac.settle` carries it out.
"""

import math
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import ClassVar

LONGEST_DELAY = timedelta(days=365)


class Retry(Exception):  # noqa: N818 - a signal to the queue, named as its users read it: `raise Retry(...)`
    """Raise it in a task to be tried again, after `delay` if given, else after the policy's backoff.

    It counts as an attempt: a task that asks for ever ends as a dead letter like any other.
    """

    def __init__(self, reason: str = "", *, delay: timedelta | None = None) -> None:
        super().__init__(reason)
        if delay is not None and not timedelta() <= delay <= LONGEST_DELAY:
            raise ValueError(f"Retry(delay={delay}): a delay lies between nothing and a year")
        self.delay = delay


class Reject(Exception):  # noqa: N818 - see Retry
    """Raise it in a task for what no retry can mend: a refusal, bad data. The message is a dead letter at once."""


@dataclass(frozen=True, slots=True)
class Again:
    """Try again after `delay`."""

    delay: timedelta


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Dead-letter it, for `reason`: rejected, exhausted or expired."""

    reason: str


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

    _random: ClassVar[random.Random] = random.SystemRandom()

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

    def decide(self, error: BaseException, *, attempt: int, age: timedelta) -> Decision:
        """What follows when `attempt` has failed with `error`, `age` after the enqueue."""
        if isinstance(error, Reject):
            return GiveUp("rejected")
        if not isinstance(error, Retry) and (isinstance(error, self.reject_on) or not isinstance(error, self.retry_on)):
            return GiveUp("rejected")
        if attempt >= self.attempts:
            return GiveUp("exhausted")
        asked = error.delay if isinstance(error, Retry) else None
        delay = self.delay(attempt, self._random.uniform(-1, 1)) if asked is None else asked
        if self.give_up_after is not None and age + delay > self.give_up_after:
            return GiveUp("expired")
        return Again(delay)


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

    def decide(self, error: BaseException, *, attempt: int, age: timedelta) -> Decision:  # noqa: ARG002 - as Backoff's
        """Ask the callable; Reject and the delay of Retry(delay=...) mean what they always mean."""
        if isinstance(error, Reject):
            return GiveUp("rejected")
        delay = self.policy(error, attempt)
        if delay is None:
            return GiveUp("exhausted")
        asked = error.delay if isinstance(error, Retry) else None
        return Again(asked if asked is not None else min(max(delay, timedelta()), LONGEST_DELAY))


type Policy = Backoff | Custom
