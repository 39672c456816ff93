"""Whether a message of a `Unique` task may run: it holds its item, takes it, waits for it, or is a duplicate.

A message that has begun before, or that is a redriven letter, is never a duplicate: nobody else does its work.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from celeriac.consume.admission.admit import Flow
from celeriac.consume.admission.waits import THROTTLED, between, throttled, waiting
from celeriac.consume.outcome import Dead, Skipped, Waiting
from celeriac.consume.received import Received
from celeriac.consume.turn import turn
from celeriac.declare import lookup
from celeriac.declare.key import Key
from celeriac.declare.task import Task
from celeriac.execute.call import TaskCalls
from celeriac.flow import rows, unique
from celeriac.flow.unique import Holder, Mine
from celeriac.leases import states, tombstones
from celeriac.leases.claim import redrive_of
from celeriac.leases.lease import Lease
from celeriac.model.failure import Failure
from celeriac.model.message import Message

WAITS_FOR = "unique"
"""What the messages wait for that wait for another one to end: the name in logs, in metrics and in the message."""
# Another message may take over an item between a refusal and the next try.
_MOST_TRIES = 3
# The first wait for another message to end. Each further one is as long as all before it.
_SHORTEST_WAIT = timedelta(seconds=5)
# An item as a weak read found it may have lapsed since.
_SURELY = timedelta(minutes=1)


def mine_of(
    task: Task[..., Any, Any], message: Message, arguments: Mapping[str, Any], redriven_from: Failure | None
) -> Mine | None:
    """What a message is to its item; None if its task isn't unique.

    Raises InvalidArgumentsError for a value without a JSON form.
    """
    declared = task.unique
    if declared is None or message.is_composed:
        return None  # a batch or a chain waits for it: it was sent before its task was unique
    item = rows.of_unique(task.queue.name, task.name, task.text_of(declared.names, arguments))
    has_record = task.guarantee != "at_least_once"
    return Mine(
        item=item,
        id=message.id,
        until=declared.until,
        redriven=redrive_of(redriven_from),
        has_record=has_record,
    )


def asked(  # noqa: PLR0917 - the arguments are those of its only caller
    task: Task[..., Any, Any],
    message: Message,
    original: Message,
    key: Key,
    received: Received,
    flow: Flow,
) -> TaskCalls[Skipped | Waiting | Dead | None]:
    """Hold the item of a message that is about to be admitted. Returns its outcome if it must not run now.

    original: the message as it came. Raises AWS's errors: nothing unique runs while its item can't be reached.
    """
    mine = received.unique
    if mine is None:
        return None
    if task.limits:
        yield from turn(received)  # the look is taken for its limits too, and they are asked in its turn
    try:
        mine.has_begun = _may_have_begun(task, message, received, mine)
        outcome = None  # it has started, so others may wait for their start
        if not mine.has_begun or mine.until == "finished":
            outcome = _Arrival(task, message, original, key, received, mine).outcome(flow)
    except Exception as error:
        if not rows.is_throttled(error):
            raise
        outcome = throttled(original, received, WAITS_FOR)
    if isinstance(outcome, Skipped) or isinstance(mine.until, timedelta):
        received.unique = None  # it holds nothing that it would have to free
    return outcome


def _may_have_begun(task: Task[..., Any, Any], message: Message, received: Received, mine: Mine) -> bool:
    """Whether the message may have begun, as far as is known before its item and its record are read.

    Without a record, one that comes again may have begun, or it was only handed back. If another one has replaced it,
    it is taken not to have begun: newer arguments must not be overwritten. Raises AWS's errors.
    """
    if message.turn != "1":
        return True
    if mine.has_record or received.sqs_record.is_first_receive:
        return False
    is_replaceable = task.unique is not None and task.unique.on_conflict == "replace"
    return not (is_replaceable and mine.id in unique.replaced_in(rows.read(mine.item)))


def starts(received: Received, held: Lease | None) -> bool:
    """Free the item of a message that holds it until it starts. False if another message has taken its place.

    Raises AWS's errors.
    """
    mine = received.unique
    if mine is None or mine.until != "started":
        return True
    mine.ended = None
    has_held = unique.free(mine)
    received.unique = None
    return has_held or mine.has_begun or (held is not None and held.has_begun_before)


class _Arrival:
    """A message that has arrived, and what becomes of it."""

    def __init__(  # noqa: PLR0917 - what its only caller knows
        self,
        task: Task[..., Any, Any],
        message: Message,
        original: Message,
        key: Key,
        received: Received,
        mine: Mine,
    ) -> None:
        self._task, self._message, self._original, self._key = task, message, original, key
        self._received, self._mine = received, mine

    def outcome(self, flow: Flow) -> Skipped | Waiting | Dead | None:
        """The outcome; None if the message holds its item, or runs without it."""
        is_weak = bool(self._task.limits) and not self._mine.redriven
        item = flow.looked_at(self._mine.item) if is_weak else rows.read(self._mine.item)
        self._mine.keeps_until = int(item.get("keeps_until", 0))
        holder = unique.holder_of(item)
        if self._mine.id in unique.replaced_in(item) and not self._mine.redriven:
            return self._beside(holder)
        if holder is not None and self._is_me(holder) and (not is_weak or holder.until > _in(_SURELY)):
            self._renew(holder)
            return None
        if holder is None or is_weak or self._is_me(holder):
            holder = self._take()
        for _ in range(_MOST_TRIES):
            if holder is None:
                holder = self._take()
            if holder is not None and self._is_me(holder):
                return None
            if holder is not None and not self._may_replace(holder):
                break
            holder = self._take(instead_of=holder)
        return self._beside(holder)

    def _is_me(self, holder: Holder) -> bool:
        """Whether the message holds the item. A redriven letter doesn't hold what its first life held."""
        return holder.id == self._mine.id and self._mine.redriven in {"", holder.redriven}

    def _take(self, *, instead_of: Holder | None = None) -> Holder | None:
        mine = self._mine
        holder = unique.take(mine.item, self._as_holder(), instead_of=instead_of, keeps_until=mine.keeps_until)
        mine.has_taken = holder is not None and self._is_me(holder)
        return holder

    def _as_holder(self) -> Holder:
        received, now = self._received, datetime.now(UTC)
        return Holder(
            id=self._mine.id,
            key=self._key.full,
            until=unique.lasting(self._mine.until, received.queue.retention, now),
            redriven=self._mine.redriven,
            group=received.sqs_record.group or "",
            starts_at=rows.microseconds(now),
            enqueued_at=self._enqueued_at,
        )

    @property
    def _replaces(self) -> bool:
        return self._task.unique is not None and self._task.unique.on_conflict == "replace"

    @property
    def _enqueued_at(self) -> int:
        return rows.microseconds(self._message.enqueued_at or self._received.sqs_record.sent_at)

    def _renew(self, holder: Holder) -> None:
        """Hold the item for longer, if the message has waited for limits for so long that its time might end."""
        retention = self._received.queue.retention
        if not isinstance(self._mine.until, timedelta) and holder.until < _in(retention / 2):
            unique.extend(self._mine, datetime.now(UTC) + retention)

    def _may_replace(self, holder: Holder) -> bool:
        """Whether a message may take the item from another one, which is over, or lies behind this one in its group."""
        if isinstance(self._mine.until, timedelta):
            return False
        if (
            self._replaces
            and not self._mine.redriven
            and (holder.enqueued_at, holder.id) < (self._enqueued_at, self._mine.id)
        ):
            return True  # it came before its producer took the item, or its producer takes none
        its, is_once = self._record(holder.key), self._task.guarantee == "at_most_once"
        if unique.is_over(its, holder, self._mine.until, once=is_once):
            return True
        is_behind = self._received.queue.fifo and holder.group == (self._received.sqs_record.group or "")
        return is_behind and self._has_to_run(self._record(self._key.full))

    def _record(self, key: str) -> Mapping[str, Any]:
        record = lookup.record(self._task.name, key, self._task.queue, self._task.guarantee)
        return tombstones.living(record, datetime.now(UTC))

    def _has_to_run(self, own: Mapping[str, Any]) -> bool:
        """Whether nobody else does the message's work: it has begun before, or a person has redriven it."""
        return self._mine.has_begun or bool(self._mine.redriven) or states.has_begun(own, self._mine.id)

    def _beside(self, holder: Holder | None) -> Skipped | Waiting | Dead | None:
        """The outcome of a message while another one holds its item."""
        own = self._record(self._key.full)
        is_own = own.get("task_id") == self._mine.id
        if own.get("status") == states.COMPLETED:
            return Skipped("duplicate")
        if is_own and own.get("status") == states.DEAD and not self._mine.redriven:
            return Skipped("dead_copy")
        if self._has_to_run(own):
            is_begun = own.get("status") != states.DEAD and states.has_begun(own, self._mine.id)
            self._mine.has_begun = self._mine.has_begun or is_begun
            if self._mine.has_begun and self._mine.until != "finished":
                return None
            return waiting(self._original, self._received, WAITS_FOR, self._wait(holder))
        if self._was_late(holder):
            return None
        # Its producer may have seen the same holder, and taken it for one to be replaced, or whose time is over.
        is_seen_otherwise = self._replaces or isinstance(self._mine.until, timedelta)
        if is_seen_otherwise and not unique.refuse_late(self._mine, holder):
            return waiting(self._original, self._received, WAITS_FOR, between(*THROTTLED))
        return Skipped("duplicate")

    def _wait(self, holder: Holder | None) -> timedelta:
        """How long to wait for the end of another message: the longer, the longer it has taken."""
        if isinstance(self._mine.until, timedelta) and holder is not None:
            return (holder.until - rows.now()) * timedelta(microseconds=1)
        wait = max(self._received.facts.waited, _SHORTEST_WAIT)
        return between(wait, 1.5 * wait)

    def _was_late(self, holder: Holder | None) -> bool:
        """Whether the message was overtaken: its own time was over before it came, and the holder hasn't begun either.

        Else nothing would run while messages come later than a task is unique for.
        """
        due, until = self._message.due_at or self._message.enqueued_at, self._mine.until
        if due is None or not isinstance(until, timedelta) or due + until > datetime.now(UTC):
            return False
        if holder is None or holder.came:
            return False
        return self._record(holder.key).get("task_id") != holder.id


def _in(time: timedelta) -> int:
    """The instant after this time, in microseconds since 1970."""
    return rows.microseconds(datetime.now(UTC) + time)
