"""Checks of what a declaration says about waiting: for limits, Unique and Debounce, and until it expires."""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any

from celeriac.declare.task import Task
from celeriac.model.errors import TaskError
from celeriac.model.limits import Breaker, Concurrent, Limit, Rate
from celeriac.model.once import Debounce, Unique
from celeriac.model.retry import LONGEST_DELAY

# Each costs a write for each start, and one that is taken while another one refuses is lost.
MOST_LIMITS = 8


def check_flow(made: Task[..., Any, Any], fields: Sequence[str]) -> None:
    """Raise TaskError, naming the task and the cure. `fields` are the task's parameters."""
    for problem in _problems(made, fields):
        raise TaskError(f"task {made.name!r}: {problem}")


def clash(tasks: Iterable[Task[..., Any, Any]]) -> str | None:
    """How two limits of one name differ; None if no two do."""
    known: dict[str, tuple[Limit, str]] = {}
    for task in tasks:
        for limit in task.limits:
            other, of = known.setdefault(limit.name, (limit, task.name))
            if other != limit:
                return (
                    f"two limits are named {limit.name!r}: {other!r} of the task {of!r}, and {limit!r} of the task "
                    f"{task.name!r}. Rename one, or declare it once in limits.py and import it"
                )
    return None


def _problems(made: Task[..., Any, Any], fields: Sequence[str]) -> Iterable[str]:
    limits: object = made.limits
    if not isinstance(limits, (list, tuple)) or not all(isinstance(one, (Rate, Concurrent, Breaker)) for one in limits):
        yield f"limits is {limits!r}, write a list of Rate, Concurrent and Breaker: limits=[stripe]"
        return
    names = [limit.name for limit in made.limits]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        yield f"its limits name {twice[0]!r} twice: each limit has a name of its own"
    if len(names) > MOST_LIMITS:
        yield f"it has {len(names)} limits, {MOST_LIMITS} is the most: each is a write for each start"
    for limit in made.limits:
        yield from _unknown(f"the limit {limit.name!r}", limit.names, fields)
    yield from _problems_of_expiry(made.expires)
    if made.unique is not None:
        yield from _problems_of_unique(made, made.unique, fields)
    if made.debounce is not None:
        yield from _problems_of_debounce(made, made.debounce, fields)


def _problems_of_expiry(expires: object) -> Iterable[str]:
    if expires is None:
        return
    if not isinstance(expires, timedelta):
        yield (
            f"expires is {expires!r}, write timedelta(seconds={expires!r}); a date is of one message: "
            "options(expires=...)"
        )
    elif not timedelta() < expires <= LONGEST_DELAY:
        yield f"it expires after {expires}: that must be more than nothing, and a year at most"


def _problems_of_unique(made: Task[..., Any, Any], unique: object, fields: Sequence[str]) -> Iterable[str]:
    if not isinstance(unique, Unique):
        yield f'unique is {unique!r}, write Unique(by=..., until="finished")'
        return
    yield from _unknown("its Unique", unique.names, fields)
    if made.debounce is not None:
        yield "it has unique and debounce: a debounced task runs once for a burst anyway, leave unique out"
    if made.key is not None and unique.names == (made.key,):
        yield (
            f"key={made.key!r} makes it run once for each value, for as long as the key's record is kept, so unique "
            "by the same parameter would say nothing: leave one of them out"
        )


def _problems_of_debounce(made: Task[..., Any, Any], debounce: object, fields: Sequence[str]) -> Iterable[str]:
    if not isinstance(debounce, Debounce):
        yield f"debounce is {debounce!r}, write Debounce(timedelta(seconds=5), by=...)"
        return
    yield from _unknown("its Debounce", debounce.names, fields)
    if made.key is not None and debounce.names == (made.key,):
        yield (
            f"key={made.key!r} makes it run once for each value, so later messages of a burst would be duplicates: "
            "leave the key out"
        )
    if any(queue.fifo for queue in made.all_queues):
        yield "a FIFO queue runs every message, in order, and debounce skips some: put it on a standard queue"
    if made.cron is not None:
        yield "a schedule fires at its own times: leave debounce out, or enqueue a debounced task from this one"
    if made.expires is not None and made.expires <= debounce.period:
        yield f"it expires after {made.expires}, before its burst is over: {debounce.period} after its last message"


def _unknown(what: str, names: Sequence[str], fields: Sequence[str]) -> Iterable[str]:
    for name in names:
        if name not in fields:
            yield f"by={name!r} of {what} names no parameter of it; it has {', '.join(fields) or 'none'}"
