"""Letters grouped by failure, and counted over time."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from celeriac_console.dlq.letter import attempts_of, died_at, is_death_known, kind_of, reason_of
from celeriac_console.dlq.queue_reader import Taken

BARS = 60
_PLACE = re.compile(r'File "([^"\n]+)", line (\d+), in (\S+)')
_WORDING = 200


@dataclass(frozen=True, slots=True)
class Group:
    """Letters of a queue with the same failure."""

    queue: str
    kind: str
    task: str
    """Empty if no body tells it."""
    reason: str
    error: str
    """The class, and the start of the text of the newest letter's error; empty if SQS itself moved the letters."""
    place: str
    """Where the newest error was raised; empty if it isn't known."""
    count: int
    first: datetime
    last: datetime
    most_attempts: int
    over_time: tuple[int, ...]
    """Deaths from the first of all groups, and from an hour ago at least, until now: in `BARS` parts of one length."""
    is_of_sending: bool
    """Whether the times are those at which the messages were sent, because no letter tells when it died."""


def groups(letters: Iterable[tuple[str, Taken]]) -> list[Group]:
    """The groups of letters, given with their queues: those with the most letters first."""
    found: dict[tuple[str, str], list[Taken]] = {}
    for queue, one in letters:
        found.setdefault((queue, kind_of(one.letter)), []).append(one)
    times = [died_at(one.letter) for some in found.values() for one in some]
    start = min([*times, datetime.now(UTC) - timedelta(hours=1)])
    made = [_group(queue, kind, some, start) for (queue, kind), some in found.items()]
    return sorted(made, key=lambda group: (-group.count, group.queue, group.kind))


def place_of(traceback: str) -> str:
    """The innermost frame of a traceback, as `file.py:12 function`."""
    frames = _PLACE.findall(traceback)
    return f"{frames[-1][0].rpartition('/')[2]}:{frames[-1][1]} {frames[-1][2]}" if frames else ""


def wording(one: Taken) -> str:
    """The letter's error in one short line."""
    failure = one.letter.failure
    if failure is None or not failure.type:
        return ""
    text = " ".join(f"{failure.type}: {failure.message}".split())
    return text if len(text) <= _WORDING else f"{text[:_WORDING]}..."


def _group(queue: str, kind: str, some: Sequence[Taken], start: datetime) -> Group:
    newest = max(some, key=lambda one: died_at(one.letter))
    times = [died_at(one.letter) for one in some]
    failure = newest.letter.failure
    return Group(
        queue,
        kind,
        newest.letter.task,
        reason_of(newest.letter),
        wording(newest),
        place_of(failure.traceback) if failure is not None else "",
        len(some),
        min(times),
        max(times),
        max(attempts_of(one.letter) for one in some),
        _over_time(times, start),
        not any(is_death_known(one.letter) for one in some),
    )


def _over_time(times: Sequence[datetime], start: datetime) -> tuple[int, ...]:
    length = (datetime.now(UTC) - start) / BARS
    bars = [0] * BARS
    for at in times:
        bars[max(0, min(BARS - 1, int((at - start) / length)))] += 1
    return tuple(bars)
