"""What one message asks its limits for. Pure data and pure decisions."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from msgspec import Struct

from celeriac.consume import expiry
from celeriac.consume.received import as_it_came
from celeriac.consume.sqs_record import SqsRecord
from celeriac.declare import registry
from celeriac.declare.task import Task
from celeriac.flow import rows
from celeriac.leases import states
from celeriac.model.limits import Breaker, Concurrent, Limit, Rate
from celeriac.model.message import Message
from celeriac.model.queue import Queue


class Asked(Struct, frozen=True):
    """The limits of one message, each with the key of its item, in the order in which they are asked."""

    breakers: tuple[tuple[Breaker, str], ...] = ()
    concurrents: tuple[tuple[Concurrent, str], ...] = ()
    rates: tuple[tuple[Rate, str], ...] = ()
    """The narrowest first: a limit for some values before one for all, then the slower one."""

    @property
    def keys(self) -> list[str]:
        """The keys of all items."""
        return [key for _, key in (*self.breakers, *self.concurrents, *self.rates)]

    @property
    def names_and_keys(self) -> list[tuple[str, str]]:
        """The names of all limits, with the keys of their items."""
        pairs: list[tuple[Limit, str]] = [*self.breakers, *self.concurrents, *self.rates]
        return [(limit.name, key) for limit, key in pairs]


class Beforehand(NamedTuple):
    """A message that was read before any of its batch runs."""

    asked: Asked
    slots: frozenset[str]
    """The limits in whose lines it has a slot."""
    record: tuple[str, str] | None
    """The task, and the idempotency key that the message will claim; None if it claims none."""
    unique: str | None = None
    """The key of its item, if its task is unique."""


def of(task: Task[..., Any, Any], arguments: Mapping[str, Any]) -> Asked:
    """What a message with these arguments asks for. Raises InvalidArgumentsError for a value without a JSON form."""
    found = [(limit, key_of(task, limit, arguments)) for limit in task.limits]
    rates = [(limit, key) for limit, key in found if isinstance(limit, Rate)]
    return Asked(
        tuple((limit, key) for limit, key in found if isinstance(limit, Breaker)),
        tuple((limit, key) for limit, key in found if isinstance(limit, Concurrent)),
        tuple(sorted(rates, key=lambda pair: (not pair[0].names, -pair[0].interval))),
    )


def key_of(task: Task[..., Any, Any], limit: Limit, arguments: Mapping[str, Any]) -> str:
    """The key of a limit's item for these arguments. Raises InvalidArgumentsError for a value without a JSON form."""
    return rows.of_limit(limit.name, task.text_of(limit.names, arguments) if limit.names else "")


def narrowest(task: Task[..., Any, Any]) -> Rate | None:
    """The rate that a provider's "too many requests" is about, if the task doesn't say which."""
    rates = [limit for limit in task.limits if isinstance(limit, Rate)]
    return min(rates, key=lambda rate: (not rate.names, -rate.interval), default=None)


def beforehand(sqs_record: SqsRecord, queue: Queue) -> Beforehand | None:
    """Read a message ahead of its turn. None if it has no limits, or if it must not be read now: it may be harmful.

    Whatever is wrong with it is found again when its turn comes.
    """
    if not sqs_record.is_first_receive or sqs_record.deaths_alone is not None:
        return None
    try:
        message = as_it_came(sqs_record)
        task = registry.tasks.get(message.task)
        if task is None or not task.limits or not task.runs_from(queue):
            return None
        if task.debounce is not None:
            return None  # most of its messages are only gathered, and a tick has no arguments
        if message.stored or not task.signature.is_plain or expiry.is_past(expiry.time_of(task, message)):
            return None
        arguments = task.signature.decode(message.args)
        record = None
        if task.guarantee != "at_least_once":
            record = task.name, task.key_of(arguments, message, message.args).full
        unique = None
        if task.unique is not None:
            unique = rows.of_unique(task.queue.name, task.name, task.text_of(task.unique.names, arguments))
        return Beforehand(of(task, arguments), frozenset(message.slots or ()), record, unique)
    except Exception:  # noqa: BLE001 - see above
        return None


def is_settled(record: Mapping[str, Any], message: Message, *, alone: bool, comes_back: bool) -> bool:
    """Whether a message has nothing to start now, as far as the record of its key tells: the claim then finds that out.

    Else a message that is done, or dead, or must run alone later, would use up a start. One that must run alone would
    even be refused by its limit for the start that it took before, each time.

    comes_back: whether the queue is FIFO, so that the record counts attempts.
    """
    now = datetime.now(UTC)
    if not record or int(record.get("expiration", 0)) < now.timestamp():
        return False
    is_own, this = record.get("task_id") == message.id, now.timestamp() * 1000
    ran = int(record.get("attempt", 0)), int(record.get("step", 0))
    match record.get("status"):
        case states.COMPLETED:
            return True
        case states.DEAD:
            return message.failure is None and is_own
        case states.RETRYING if comes_back:
            return int(record.get("retry_at", 0)) > this
        case states.RETRYING:
            return is_own and message.failure is None and ran >= (message.attempt, message.step)
        case states.INPROGRESS:
            is_left = is_own and not comes_back and ran < (message.attempt, message.step)
            is_running = int(record.get("in_progress_expiration", 0)) > this
            return "unsent" in record or is_running or not (alone or is_left)
        case _:
            return False


def kept_slots(message: Message, asked: Asked, items: Mapping[str, Mapping[str, Any]], now: int) -> dict[str, int]:
    """The slots of a message that are past, or lie in a line that still stands.

    A line reaches beyond each of its slots. If it doesn't, it was reset since, or somebody else wrote the slot.
    """
    lines = {name: int(items[key].get("promised", 0)) for name, key in asked.names_and_keys}
    slots = message.slots or {}
    return {name: slot for name, slot in slots.items() if slot * 1_000 <= max(now, lines.get(name, now))}


def slot_of(message: Message, limit: str) -> int | None:
    """The slot that a message has in a limit's line, in microseconds since 1970; None if it has none."""
    slot = (message.slots or {}).get(limit)
    return slot * 1_000 if slot is not None else None
