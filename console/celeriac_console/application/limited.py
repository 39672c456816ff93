"""The limits that tasks declare, each with the tasks that name it."""

from datetime import timedelta
from typing import Any, Literal, NamedTuple

from celeriac import Breaker, Concurrent, Rate, Task
from celeriac.declare import registry
from celeriac.model.limits import Limit, written
from celeriac_console.terminal.plural import counted
from celeriac_console.terminal.times import duration_text

type Kind = Literal["rate", "places", "breaker"]


class Limited(NamedTuple):
    """A limit, and the tasks that it limits."""

    limit: Limit
    tasks: tuple[Task[..., Any, Any], ...]

    @property
    def queues(self) -> list[str]:
        """The queues of its tasks."""
        return sorted({task.queue.name for task in self.tasks})


def limits() -> dict[str, Limited]:
    """All limits, by name. The tasks must be loaded."""
    found: dict[str, Limited] = {}
    for _, task in sorted(registry.tasks.items()):
        for limit in task.limits:
            known = found.get(limit.name, Limited(limit, ()))
            found[limit.name] = Limited(known.limit, (*known.tasks, task))
    return dict(sorted(found.items()))


def kind_of(limit: Limit) -> Kind:
    """What kind a limit is, in a word."""
    match limit:
        case Rate():
            return "rate"
        case Concurrent():
            return "places"
        case Breaker():
            return "breaker"


def text_of(limit: Limit) -> str:
    """What a limit declares.

    >>> text_of(Rate("stripe", 100, by="account"))
    '100/s by account'
    """
    match limit:
        case Rate():
            said = rate_text(limit.limit, limit.per, limit.burst)
        case Concurrent():
            said = counted(limit.places, "place")
        case Breaker():
            said = f"opens at {counted(limit.failures, 'failure')} of {limit.of}, for {duration_text(limit.pause)}"
    return f"{said} by {', '.join(limit.names)}" if limit.names else said


def rate_text(limit: int, per: timedelta, burst: int | None) -> str:
    """A rate as an operator types it: `50/min`, `10 in 5 min`, with the burst if one is given."""
    text = written(limit, per)
    if "/" not in text:
        whole = per.total_seconds() >= 1
        text = f"{limit} in {duration_text(per) if whole else f'{per // timedelta(milliseconds=1)} ms'}"
    return f"{text}, burst {burst}" if burst is not None else text
