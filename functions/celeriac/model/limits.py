"""Limits that several tasks share: how often they start, how many run at once, and when they stop trying.

Declare them in `tasks/limits.py`, and name them in `@task(queue, limits=[...])`. This module is pure data.
"""

import math
import re
from collections.abc import Iterator
from datetime import timedelta

from msgspec import Struct

from celeriac.model.errors import DeclarationError

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,49}")
# A limit's items have one partition key for each value of `by`. DynamoDB takes 1,000 writes a second to one:
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/bp-partition-key-design.html
MOST_WRITES = 1_000
# The holders are a map in one item, which DynamoDB writes whole. With more, Lambda's own max_concurrency is free.
MOST_PLACES = 100
MOST_STARTS = 1_000_000
LONGEST_PER = timedelta(days=1)
LONGEST_PAUSE = timedelta(hours=12)
MOST_OUTCOMES = 1_000
# A batch of messages is admitted by one write, so a burst above this can't be had anyway.
MOST_BURST = 100_000

type By = str | tuple[str, ...]
"""The names of the parameters whose values have a limit of their own, each; empty: one limit for all."""


class LimitError(DeclarationError):
    """A limit was declared with numbers that can't be kept."""


class Rate(Struct, frozen=True):
    """At most `limit` starts in each `per`, counted over all workers of all tasks that name it.

    Any window of the length w holds at most `burst + w * limit / per` starts. A task that must wait is charged
    nothing. Retries count as starts.

    Raises LimitError for numbers that can't be kept.
    """

    name: str
    """1-50 of a-z, 0-9, `-` and `_`. No other limit of the application has it."""
    limit: int
    per: timedelta = timedelta(seconds=1)
    """At most a day."""
    burst: int | None = None
    """How many may start at once after a quiet time. The default is one second's worth, at least 1."""
    by: By = ()
    """The parameters that tell who is limited, such as `account_id`."""

    def __hash__(self) -> int:
        return hash(self.name)

    def __post_init__(self) -> None:
        _refuse(self.name, "Rate", self._problems())

    def _problems(self) -> Iterator[str]:
        yield from _problems_of_names(self.name, self.by)
        yield from _problems_of_times(per=self.per)
        if not _is_whole(self.limit) or not 1 <= self.limit <= MOST_STARTS:
            yield f"limit is {self.limit!r}, write a whole number from 1 to {MOST_STARTS:,}"
        elif not timedelta(milliseconds=1) <= self.per <= LONGEST_PER:
            yield f"per is {self.per}, it lies between a millisecond and a day"
        elif self.limit / self.per.total_seconds() > MOST_STARTS:
            yield f"{self.limit:,} in {self.per} is more than {MOST_STARTS:,} a second"
        if self.burst is not None and (not _is_whole(self.burst) or not 1 <= self.burst <= MOST_BURST):
            yield f"burst is {self.burst!r}, write a whole number from 1 to {MOST_BURST:,}, or leave it out"

    @property
    def names(self) -> tuple[str, ...]:
        """The parameters of `by`."""
        return names_of(self.by)

    @property
    def interval(self) -> int:
        """The microseconds between two starts, rounded up: then no window holds too many."""
        return max(1, math.ceil(self.per / timedelta(microseconds=1) / self.limit))

    @property
    def at_once(self) -> int:
        """How many may start at once after a quiet time."""
        return self.burst if self.burst is not None else max(1, 1_000_000 // self.interval)

    @property
    def text(self) -> str:
        """The rate as people write it: `100/s`, `50/min`, `10 in 0:05:00`."""
        return written(self.limit, self.per)


class Concurrent(Struct, frozen=True):
    """At most `places` tasks run at the same time, over all workers of all tasks that name it.

    A worker that dies keeps its place until its time would have ended. Use it for work that takes seconds: each place
    costs two writes. Without `by`, a queue's `max_concurrency` does the same for nothing.

    Raises LimitError for numbers that can't be kept.
    """

    name: str
    """1-50 of a-z, 0-9, `-` and `_`. No other limit of the application has it."""
    places: int
    """1-100. For more, `Queue(max_concurrency=...)` costs nothing."""
    by: By = ()
    """The parameters that tell who is limited, such as `tenant`."""

    def __hash__(self) -> int:
        return hash(self.name)

    def __post_init__(self) -> None:
        _refuse(self.name, "Concurrent", self._problems())

    def _problems(self) -> Iterator[str]:
        yield from _problems_of_names(self.name, self.by)
        if not _is_whole(self.places) or not 1 <= self.places <= MOST_PLACES:
            yield (
                f"places is {self.places!r}, write a whole number from 1 to {MOST_PLACES}; for more, "
                "Queue(max_concurrency=...) costs nothing"
            )

    @property
    def names(self) -> tuple[str, ...]:
        """The parameters of `by`."""
        return names_of(self.by)


class Breaker(Struct, frozen=True):
    """After `failures` failures among `of` outcomes, tasks wait for `pause`. Then one tries; the others follow it.

    A failure is an exception of `on`, or a task that overruns. It is an attempt of its task; waiting is none. As long
    as nothing fails, it costs one read for each batch.

    Raises LimitError for numbers that can't be kept.
    """

    name: str
    """1-50 of a-z, 0-9, `-` and `_`. No other limit of the application has it."""
    failures: int = 5
    of: int = 20
    """Among how many outcomes, counted from the first failure."""
    pause: timedelta = timedelta(seconds=30)
    """How long it stays open before one task tries, 1 s to 12 h."""
    on: tuple[type[BaseException], ...] = (Exception,)
    """The errors that count, such as those of a provider's library."""
    by: By = ()
    """The parameters that tell what is protected, such as `host`."""

    def __hash__(self) -> int:
        return hash(self.name)

    def __post_init__(self) -> None:
        _refuse(self.name, "Breaker", self._problems())

    def _problems(self) -> Iterator[str]:
        yield from _problems_of_names(self.name, self.by)
        yield from _problems_of_times(pause=self.pause)
        for name in ("failures", "of"):
            value = getattr(self, name)
            if not _is_whole(value) or not 1 <= value <= MOST_OUTCOMES:
                yield f"{name} is {value!r}, write a whole number from 1 to {MOST_OUTCOMES:,}"
                return
        if self.failures > self.of:
            yield f"failures is {self.failures} of {self.of}: it would never open"
        if not timedelta(seconds=1) <= self.pause <= LONGEST_PAUSE:
            yield f"pause is {self.pause}, it lies between a second and 12 hours"
        on: object = self.on
        if not (
            isinstance(on, tuple) and on and all(isinstance(one, type) and issubclass(one, BaseException) for one in on)
        ):
            yield f"on is {on!r}, write a tuple of exception classes, such as (ProviderError,)"

    @property
    def names(self) -> tuple[str, ...]:
        """The parameters of `by`."""
        return names_of(self.by)


type Limit = Rate | Concurrent | Breaker


def names_of(by: By) -> tuple[str, ...]:
    """The parameters that a `by` names."""
    return (by,) if isinstance(by, str) else by


def problem_of_by(by: object) -> str | None:
    """What is wrong with a `by`; None if nothing is."""
    if isinstance(by, str) and by:
        return None
    if isinstance(by, tuple) and all(isinstance(name, str) and name for name in by) and len(set(by)) == len(by):
        return None
    return (
        f'by is {by!r}, write a parameter\'s name, or a tuple of names, such as by="tenant" or by=("tenant", "region")'
    )


def written(limit: int, per: timedelta) -> str:
    """A rate as people write it."""
    units = {timedelta(seconds=1): "s", timedelta(minutes=1): "min", timedelta(hours=1): "h", timedelta(days=1): "d"}
    return f"{limit}/{units[per]}" if per in units else f"{limit} in {per}"


def _problems_of_names(name: object, by: object) -> Iterator[str]:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        yield "a name is 1-50 lower-case letters, digits, `-` and `_`, and starts with a letter"
    if by != () and (problem := problem_of_by(by)) is not None:
        yield problem


def _problems_of_times(**times: object) -> Iterator[str]:
    for name, value in times.items():
        if not isinstance(value, timedelta):
            yield f"{name} is {value!r}, write a timedelta, such as timedelta(seconds=30)"
            return


def _is_whole(value: object) -> bool:
    return type(value) is int


def _refuse(name: object, kind: str, problems: Iterator[str]) -> None:
    for problem in problems:
        raise LimitError(f"{kind} {name!r}: {problem}")
