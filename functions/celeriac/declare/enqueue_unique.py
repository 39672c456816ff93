"""Sends messages of a `Unique` task: first a look at who holds their items, then the send, then the take.

Sent first, because a producer that dies between the two must not leave a holder that was never sent. Only programs that
enqueue unique tasks load this.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

from msgspec import Struct

from celeriac.declare import lookup
from celeriac.enqueue.send import PARALLEL_CALLS, Parcel, send, send_many
from celeriac.flow import rows, unique
from celeriac.flow.rows import Item
from celeriac.flow.unique import Holder
from celeriac.model.failure import error_type
from celeriac.model.guarantee import Guarantee
from celeriac.model.once import Unique
from celeriac.observe.log import logger


class Sending(Struct, frozen=True):
    """A message that is to be sent, if no other one holds its item."""

    parcel: Parcel
    key: str
    """Its whole idempotency key, `<task>:<value>`."""
    item: str
    """The item's key."""


class Seen(Struct, frozen=True):
    """An item as it was before the send."""

    item: Item
    instead_of: Holder | None = None
    """Its holder, if that is over, or is to be replaced."""
    held_by: Holder | None = None
    """Its holder, in whose place nothing is sent."""


class Sender:
    """Sends messages of one task."""

    def __init__(self, declared: Unique, guarantee: Guarantee) -> None:
        self._unique, self._guarantee = declared, guarantee

    def send(self, one: Sending) -> Holder | None:
        """Send a message, and take its item. Returns the message that holds the item in its place; None if it was sent.

        A message that loses the item after it was sent is dropped when it arrives. Raises what `send` raises, and AWS's
        errors if the item can't be read: nothing is sent then.
        """
        seen = self._look(one)
        if seen.held_by is not None:
            return seen.held_by
        send(one.parcel)
        return self._take(one, seen)

    def send_many(self, every: Sequence[Sending]) -> list[Holder | str | None]:
        """Send messages. For each: None, the message that holds its item in its place, or why it wasn't sent.

        Of messages for one item one is sent, and the others are its duplicates: the first, or to replace, the last. If
        all were sent to replace each other, SQS might deliver an earlier one when the last has run.

        Raises AWS's errors if an item can't be read: nothing is sent then.
        """
        chosen: dict[str, int] = {}
        for number, one in enumerate(every):
            chosen[one.item] = number if self._unique.on_conflict == "replace" else chosen.get(one.item, number)
        looks = _side_by_side(self._look, [every[number] for number in chosen.values()])
        seen = dict(zip(chosen, looks, strict=True))
        sent = sorted(number for item, number in chosen.items() if seen[item].held_by is None)
        refusals = dict(zip(sent, send_many([every[number].parcel for number in sent]), strict=True))
        answers: dict[int, Holder | str | None] = dict(refusals)
        taking = [number for number in sent if refusals[number] is None]
        takes = _side_by_side(lambda number: self._take(every[number], seen[every[number].item]), taking)
        answers |= dict(zip(taking, takes, strict=True))
        for number, one in enumerate(every):
            if number not in answers:
                held_by, its = seen[one.item].held_by, chosen[one.item]
                answers[number] = held_by or answers[its] or self._holder(every[its])
        return [answers[number] for number in range(len(every))]

    def _look(self, one: Sending) -> Seen:
        item = rows.read_as_is(one.item)
        holder = unique.holder_of(item)
        if holder is None or self._unique.on_conflict == "replace" or self._is_over(one, holder):
            return Seen(item, instead_of=holder)
        return Seen(item, held_by=holder)

    def _is_over(self, one: Sending, holder: Holder) -> bool:
        if isinstance(self._unique.until, timedelta):
            return False
        queue, task = one.parcel.queue, one.parcel.message.task
        try:
            record = lookup.record(task, holder.key, queue, self._guarantee)
        except Exception as error:
            if not lookup.is_denied(error):
                raise
            # It may send, and may not read records. The holder frees its item itself when it is over.
            logger.warning("record of a unique task not read", extra={"task": task, "error": error_type(error)})
            return False
        return unique.is_over(record, holder, self._unique.until, once=self._guarantee == "at_most_once")

    def _take(self, one: Sending, seen: Seen) -> Holder | None:
        mine = self._holder(one)
        try:
            replaces = self._unique.on_conflict == "replace"
            holder = unique.take_sent(one.item, mine, seen.item, instead_of=seen.instead_of, replaces=replaces)
        except Exception as error:  # noqa: BLE001 - the message is sent, and takes its item when it arrives
            logger.warning(
                "item of a unique task not taken", extra={"task": one.parcel.message.task, "error": error_type(error)}
            )
            return None
        return holder if holder is not None and holder.id != mine.id else None

    def _holder(self, one: Sending) -> Holder:
        parcel = one.parcel
        due = datetime.now(UTC) + parcel.delay
        return Holder(
            id=parcel.message.id,
            key=one.key,
            until=unique.lasting(self._unique.until, parcel.queue.retention, due),
            group=parcel.group or "",
            starts_at=rows.microseconds(due),
            enqueued_at=rows.microseconds(parcel.message.enqueued_at or due),
        )


def _side_by_side[A, B](function: Callable[[A], B], arguments: Sequence[A]) -> list[B]:
    """What the function returns for each, several calls at once. Raises the first error."""
    if len(arguments) <= 1:
        return [function(argument) for argument in arguments]
    with ThreadPoolExecutor(min(PARALLEL_CALLS, len(arguments))) as pool:
        return list(pool.map(function, arguments))
