"""Messages of debounced tasks: gathered as they come, and run by the tick that finds their burst over.

Three kinds of message come to a debounced task. A plain one, from whatever sender and of whatever attempt, is gathered.
A bare tick names a burst. What a tick runs keeps it: so do its retries, and its dead letter when it is redriven. They
run only as long as nothing newer has come.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from threading import RLock
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from celeriac.consume import expiry
from celeriac.consume.arguments import refuse_misplaced
from celeriac.consume.outcome import Gathered, HandedBack, Skipped
from celeriac.consume.received import Received, as_it_came
from celeriac.consume.sqs_record import SqsRecord
from celeriac.declare import registry
from celeriac.declare.task import Task
from celeriac.enqueue.send import fitted
from celeriac.flow import debounce, rows
from celeriac.flow.debounce import Newcomer, Pace
from celeriac.flow.rows import Item
from celeriac.model import settings
from celeriac.model.message import Message, decode
from celeriac.model.queue import Queue
from celeriac.observe import trace

MOST_BODY = 16_384
"""A larger message stores its arguments in S3: a write costs a unit for each KB, and a key takes 1,000 a second."""
_LONG = timedelta(days=1)

type Pair = tuple[SqsRecord, Queue]


def is_bare(message: Message) -> bool:
    """Whether a message is a tick, without a body of its own."""
    return message.id == message.tick and debounce.is_tick(message.tick)


def is_gathered(task: Task[..., Any, Any], message: Message) -> bool:
    """Whether a message is to be gathered: one that no tick has run yet.

    A message of a batch or a chain isn't gathered, because something waits for it. Its task was debounced later.
    """
    return task.debounce is not None and not debounce.is_tick(message.tick) and not message.is_composed


def dated(message: Message, sqs_record: SqsRecord) -> Message:
    """The message, with the date of its first send at SQS if its task is debounced: what came last is decided by that.

    The date stays with it: in its dead letter, when a redrive sends it anew.
    """
    task = registry.tasks.get(message.task)
    if task is None or not is_gathered(task, message) or message.failure is not None or message.turn != "1":
        return message
    return replace(message, enqueued_at=sqs_record.first_sent_at)


def pace_of(task: Task[..., Any, Any]) -> Pace:
    """The times of a task's Debounce."""
    return Pace(task.debounce.period, task.debounce.longest) if task.debounce is not None else Pace()


class Gathering:
    """The messages of one invocation that are to be gathered. Those with the same values share a write.

    Its lanes use it from several threads.
    """

    def __init__(self, pairs: Sequence[Pair]) -> None:
        self._last: dict[str, Newcomer] = {}
        """The last message of each item, of those that may be read ahead of their turn."""
        self._locks: defaultdict[str, RLock] = defaultdict(RLock)
        self._written: dict[str, tuple[str, Item]] = {}
        """The items as they were written, each with the order of what was written."""
        self._written_ids: set[str] = set()
        """The ids of the messages that were written."""
        self._refused: dict[str, Exception] = {}
        """The items that AWS refused to write: each message would ask once more, and keep a hot item hot."""
        if not any(task.debounce is not None for task in registry.tasks.values()):
            return
        for sqs_record, queue in pairs:
            if (found := _ahead(sqs_record, queue)) is not None:
                key, newcomer = found
                self._last[key] = max(self._last.get(key, newcomer), newcomer, key=lambda one: one.order)

    def has_written(self, message: Message) -> bool:
        """Whether a message of this invocation was written with an earlier one, and so can't be anything else now."""
        return message.id in self._written_ids

    def gather(
        self, task: Task[..., Any, Any], message: Message, arguments: Mapping[str, Any], received: Received
    ) -> Gathered:
        """Gather a message. `message` is as it came. Raises AWS's errors."""
        key, pace = _key(task, message, arguments, received.queue), pace_of(task)
        own = _newcomer(task, message, received.sqs_record, received.queue)
        with self._locks[key]:
            last = max(self._last.get(key, own), own, key=lambda one: one.order)
            order, item = self._written.get(key, ("", {}))
            if order < last.order:
                if (refused := self._refused.get(key)) is not None:
                    raise refused
                try:
                    item = debounce.gather(key, last, pace)
                except Exception as error:
                    self._refused[key] = error
                    raise
                self._written[key] = last.order, item
                self._written_ids.add(last.message.id)
        if not debounce.sends(item, key, message.id):
            return Gathered()
        tick = str(item["tick"])
        return Gathered(Message(id=tick, task=message.task, tick=tick), debounce.wait(item, pace))


def _ahead(sqs_record: SqsRecord, queue: Queue) -> tuple[str, Newcomer] | None:
    """A message that is to be gathered, read ahead of its turn. None if it isn't one, or must not be read now.

    Whatever is wrong with it is found again when its turn comes.
    """
    if not sqs_record.is_first_receive or sqs_record.deaths_alone is not None:
        return None
    try:
        message = dated(as_it_came(sqs_record), sqs_record)
        task = registry.tasks.get(message.task)
        if task is None or not task.runs_from(queue) or not is_gathered(task, message):
            return None
        if message.stored or not task.signature.is_plain or len(bytes(message.args)) > MOST_BODY // 2:
            return None
        if expiry.is_past(expiry.time_of(task, message)):
            return None
        arguments = task.signature.decode(message.args)
        refuse_misplaced(task, arguments, sqs_record.body)
        task.key_of(arguments, message, message.args)
        return _key(task, message, arguments, queue), _newcomer(task, message, sqs_record, queue)
    except Exception:  # noqa: BLE001 - see above
        return None


def _key(task: Task[..., Any, Any], message: Message, arguments: Mapping[str, Any], queue: Queue) -> str:
    names = task.debounce.names if task.debounce is not None else ()
    return rows.of_debounce(queue.name, message.task, task.text_of(names, arguments))


def _newcomer(task: Task[..., Any, Any], message: Message, sqs_record: SqsRecord, queue: Queue) -> Newcomer:
    long = pace_of(task).longest > _LONG
    body = fitted(queue.physical_name(settings.stage()), replace(message, tick=""), MOST_BODY, long=long)
    return Newcomer(message, body, sqs_record.trace, sqs_record.group)


class Burst(Struct):
    """The burst that a bare tick names, and the message that is to run for it."""

    key: str
    tick: Message
    """The tick, as it came."""
    pace: Pace
    item: Item
    body: Message
    """The last message that was gathered, which keeps the tick."""
    over_at: int
    """When it was over."""
    is_taken: bool = False
    """Whether nobody else can take it any more, and what comes now opens another one."""

    def take(self) -> Gathered | Skipped | None:
        """Take the burst, or find it taken by this tick. Else the tick's outcome. Raises AWS's errors."""
        if not self.is_taken:
            self.item = debounce.take(self.key, self.tick.tick, self.pace)
        else:
            self.item = rows.read(self.key)
        match debounce.state_of(self.item, self.tick.tick):
            case "open":
                return _sent_on(self.tick, self.item, self.pace)
            case "taken":
                self.is_taken, self.body = True, _body(self.item, self.tick)
                return None
            case "over":
                return Skipped("superseded" if self.is_taken else "tick")


def opened(message: Message, received: Received) -> Burst | Gathered | Skipped | None:
    """The burst of a bare tick if it is over, else the tick's outcome.

    None if the message is no bare tick, or of no task of this queue.

    Raises AWS's errors, and NewerVersionError for a message that only a newer release can read.
    """
    task = registry.tasks.get(message.task)
    if not is_bare(message) or task is None or not task.runs_from(received.queue):
        return None
    received.facts.task = task.name
    key = debounce.key_of(received.queue.name, task.name, message.tick)
    pace, item = pace_of(task), rows.read(key)
    state = debounce.state_of(item, message.tick)
    if state == "over":
        return Skipped("tick")
    over_at = debounce.due_at(item, pace) if state == "open" else int(item["taken_at"])
    if state == "open" and over_at > rows.now():
        return _sent_on(message, item, pace)
    burst = Burst(key, message, pace, item, _body(item, message), over_at, is_taken=state == "taken")
    _follow(burst, received)
    return burst


def _body(item: Item, tick: Message) -> Message:
    return replace(decode(str(item["body"])), tick=tick.tick)


def _sent_on(tick: Message, item: Item, pace: Pace) -> Gathered:
    # It keeps the slots that limits have promised it.
    return Gathered(replace(tick, waits_for="", failure=None), debounce.wait(item, pace), is_tick=True)


def _follow(burst: Burst, received: Received) -> None:
    """Let the message run in its own trace, and as its own tenant's."""
    its_trace = str(burst.item.get("trace", "")) or None
    received.sqs_record = replace(
        received.sqs_record, trace=its_trace, group=str(burst.item.get("tenant", "")) or None, attributes={}
    )
    trace.follow(trace.checked(its_trace))


def waited_for_quiet(burst: Burst) -> timedelta:
    """How long the message that is to run waited until it was quiet, by AWS's dates. That isn't its age."""
    at = burst.body.due_at or burst.body.enqueued_at
    return max(rows.instant(burst.over_at) - at, timedelta()) if at is not None else timedelta()


def is_superseded(task: Task[..., Any, Any], message: Message, received: Received) -> bool:
    """Whether newer arguments have come since a tick took this message: it is a retry, or a redriven letter.

    Raises AWS's errors.
    """
    if task.debounce is None or not debounce.is_tick(message.tick):
        return False
    item = rows.read(debounce.key_of(received.queue.name, task.name, message.tick))
    return bool(item) and debounce.state_of(item, message.tick) != "taken"


def is_overtaken(task: Task[..., Any, Any], message: Message, received: Received) -> bool:
    """Whether newer arguments have come since the message was found to be the last one, just before it starts.

    They are gathered for a second before they run. So the item is only asked again if more time has passed, because
    AWS answered the claim late. Raises AWS's errors.
    """
    if received.is_last_at is None or datetime.now(UTC) - received.is_last_at < debounce.SHORTEST / 2:
        return False
    return is_superseded(task, message, received)


def handed_back(burst: Burst) -> HandedBack:
    """The outcome of a tick that has taken another message than the one it had read."""
    return HandedBack("a newer message has come", datetime.now(UTC), burst.tick)
