"""The admission of an invocation's messages, each when its lane is free.

In this order: an open breaker, places, starts, a half-open breaker's probe. A place can be given back, a start can't.
So starts are taken when all that came before them is held, and never for messages that only wait in this worker. What
is promised to a message that must wait is a slot in the line.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from threading import RLock
from typing import Any

from msgspec import Struct, field
from msgspec.structs import replace

from celeriac.aws import pause
from celeriac.consume.admission import asked as asking
from celeriac.consume.admission.asked import Asked, Beforehand
from celeriac.consume.admission.look import Look
from celeriac.consume.admission.waits import BEYOND, THROTTLED, between, bunched, waiting
from celeriac.consume.outcome import Dead, Waiting
from celeriac.consume.received import Received
from celeriac.consume.sqs_record import SqsRecord
from celeriac.consume.turn import turn
from celeriac.declare.task import Task
from celeriac.execute.call import TaskCalls, TaskTimeoutError
from celeriac.flow import breaker, overrides, places, rate, rows
from celeriac.flow.places import Place
from celeriac.flow.rate import Pace, Start
from celeriac.model.failure import error_type
from celeriac.model.limits import Breaker, Concurrent, Rate
from celeriac.model.message import Message
from celeriac.model.queue import Queue
from celeriac.model.retry import Reject, Retry, Throttled
from celeriac.observe.log import logger

_TICK = timedelta(microseconds=1)
_SOON = rate.SOON // _TICK

type Pair = tuple[SqsRecord, Queue]


class Admission(Struct):
    """What a message holds while it runs. Every way out of the run ends it, once."""

    flow: "Flow | None" = None
    asked: Asked = field(default_factory=Asked)
    is_certain: bool = True
    """False if the message seems to have nothing to start. Then it was admitted by nobody, and must not run."""
    held: list[tuple[Concurrent, str, Place]] = field(default_factory=list)
    probes: list[tuple[Breaker, str, str]] = field(default_factory=list)
    has_started: bool = False
    is_over: bool = False

    def ended(self, error: BaseException | None) -> None:
        """The task has run: its breakers hear how it ended, and its places are free."""
        if self.flow is not None and not self.is_over:
            self.is_over = True
            self.flow.ended(self, error)

    def give_back(self) -> None:
        """The task didn't run after all. A start that it took is lost."""
        if self.flow is not None and not self.is_over:
            self.is_over = True
            self.flow.give_back(self)


class Flow:
    """The admission of one invocation. Its lanes ask it from several threads."""

    def __init__(self, pairs: Sequence[Pair]) -> None:
        self._concurrency = max((queue.concurrency for _, queue in pairs), default=1)
        self._rest: dict[str, Beforehand] = {}
        """Messages that were read beforehand, and haven't asked yet."""
        for sqs_record, queue in pairs:
            if (read := asking.beforehand(sqs_record, queue)) is not None:
                self._rest[sqs_record.message_id] = read
        self._look = Look(self._rest)
        self._locks: defaultdict[str, RLock] = defaultdict(RLock)
        self._starts: defaultdict[str, list[Start]] = defaultdict(list)
        self._slots: defaultdict[str, list[int]] = defaultdict(list)
        self._idle: defaultdict[str, list[Place]] = defaultdict(list)
        self._running = 0

    def lanes(self, pairs: Sequence[Pair]) -> list[list[Pair]]:
        """The messages, those that share places behind each other: as many lanes for a key as it may have places."""
        lanes: dict[object, list[Pair]] = {}
        counts: defaultdict[str, int] = defaultdict(int)
        for pair in pairs:
            read = self._rest.get(pair[0].message_id)
            shared = next(iter(read.asked.concurrents), None) if read is not None else None
            if shared is None:
                lanes[pair[0].message_id] = [pair]
            else:
                limit, key = shared
                lanes.setdefault((key, counts[key] % limit.places), []).append(pair)
                counts[key] += 1
        return list(lanes.values())

    def admit(  # noqa: PLR0917 - the arguments are those of its only caller
        self,
        task: Task[..., Any, Any],
        message: Message,
        original: Message,
        arguments: Mapping[str, Any],
        record_key: str,
        received: Received,
    ) -> TaskCalls[Admission | Waiting | Dead]:
        """Wait for the turn, then ask the limits of the task.

        original: the message as it came. record_key: the key that it will claim.

        Raises AWS's errors: no limit is passed while its item can't be reached.
        """
        if not task.limits:
            return Admission()
        yield from turn(received)
        self._rest.pop(received.sqs_record.message_id, None)
        admission = Admission(self, asking.of(task, arguments))
        record = (task.name, record_key) if task.guarantee != "at_least_once" else None
        try:
            found = self._look.at(self._keys(admission.asked, received), record)
            if asking.is_settled(found, message):
                admission.is_certain = False
                return admission
            original = self._with_waits(original, received)
            if (waits := self._ask(admission, original, received)) is None:
                self._running += 1
                admission.has_started = True
                return admission
        except Exception as error:
            admission.give_back()
            if rows.is_throttled(error):
                return waiting(original, received, "its limits", between(*THROTTLED))
            raise
        admission.give_back()
        return waits

    def looked_at(self, key: str) -> rows.Item:
        """Another item of a message that asks for limits, by the same look. Raises AWS's errors."""
        self._look.at([key], None)
        return self._look.items[key]

    def _keys(self, asked: Asked, received: Received) -> list[str]:
        record = received.sqs_record
        waits = (
            [rows.of_wait(received.queue.name, record.message_id)]
            if received.queue.fifo and record.receives > 1
            else []
        )
        return [*asked.keys, *waits]

    def _with_waits(self, original: Message, received: Received) -> Message:
        """On a FIFO queue the message stays as it is, so an item holds its slots and when it began to wait."""
        item = self._look.items.get(rows.of_wait(received.queue.name, received.sqs_record.message_id))
        if not received.queue.fifo or not item:
            return original
        received.facts.waited = max((rows.now() - int(item["since"])) * _TICK, timedelta())
        return _with_slots(original, {name: int(slot) for name, slot in (item.get("slots") or {}).items()})

    def _ask(self, admission: Admission, message: Message, received: Received) -> Waiting | Dead | None:
        asked, items = admission.asked, self._look.items
        now = rows.now()
        for limit, key in asked.breakers:
            if (override := overrides.of(limit.name)) is not None and override.is_open:
                return waiting(message, received, limit.name, between(timedelta(minutes=1), timedelta(minutes=2)))
            if breaker.state_of(items[key], now) == "open":
                return waiting(message, received, limit.name, breaker.wait(limit, items[key], now))
        for its_rate, key in asked.rates:
            if (waits := self._stand_in_line(its_rate, key, message, received)) is not None:
                return waits
        for concurrent, key in asked.concurrents:
            if (waits := self._take_place(admission, concurrent, key, message, received)) is not None:
                return waits
        for its_rate, key in asked.rates:
            if (waits := self._take_start(its_rate, key, message, received)) is not None:
                return waits
        for limit, key in asked.breakers:
            if breaker.state_of(items[key], rows.now()) == "half-open":
                token = breaker.take_probe(key, received.worker.deadline, items)
                if token is None and breaker.state_of(items[key], rows.now()) != "closed":
                    return waiting(message, received, limit.name, breaker.wait(limit, items[key], rows.now()))
                if token is not None:
                    admission.probes.append((limit, key, token))
        return None

    def _stand_in_line(self, limit: Rate, key: str, message: Message, received: Received) -> Waiting | Dead | None:
        """Let a message wait that has no business at the front yet; None if it may try to start."""
        pace, now, slot = overrides.pace_of(limit), rows.now(), asking.slot_of(message, limit)
        if slot is not None and slot > now + _SOON:
            return waiting(
                message, received, limit.name, (slot - now) * _TICK
            )  # it came early, or waits beyond SQS's delay
        line = rate.line_of(self._look.items[key])
        free = rate.free_at(line, pace, has_slot=slot is not None, now=now)
        if free <= now + _SOON and line.blocked <= now:
            return None
        if slot is not None:
            return waiting(message, received, limit.name, bunched(free, slot, now))
        return self._reserve(limit, key, pace, message, received)

    def _reserve(self, limit: Rate, key: str, pace: Pace, message: Message, received: Received) -> Waiting | Dead:
        line, now = rate.line_of(self._look.items[key]), rows.now()
        begin = rate.free_at(line, pace, has_slot=True, now=now)
        return self._wait_for_slot(limit, key, pace.interval, begin, message, received)

    def _wait_for_slot(  # noqa: PLR0917 - what its two callers know
        self, limit: Rate | Concurrent, key: str, interval: int, begin: int, message: Message, received: Received
    ) -> Waiting | Dead:
        with self._locks[key]:
            if not self._slots[key]:
                wanted = 1 + self._still_to_ask(key)
                self._slots[key] = rate.reserve(key, interval, wanted, free=begin, seen=self._look.items)
            slot = self._slots[key].pop(0) if self._slots[key] else None
        wait = (slot - rows.now()) * _TICK if slot is not None else between(*BEYOND)
        return waiting(message, received, limit.name, wait, slot=slot)

    def _take_start(self, limit: Rate, key: str, message: Message, received: Received) -> Waiting | Dead | None:
        """Take a start, and wait for its instant in this lane."""
        pace, slot = overrides.pace_of(limit), asking.slot_of(message, limit)
        has_slot = slot is not None
        if slot is not None and slot > rows.now():
            pause.until(rows.instant(slot))
        with self._locks[key]:
            start = self._pooled(key)
            if start is None:
                wanted = 1 if has_slot else 1 + min(self._still_to_ask(key), self._free_lanes() - 1)
                taken = rate.take(key, pace, wanted, has_slot=has_slot, seen=self._look.items)
                self._starts[key] = taken[1:]
                start = taken[0] if taken else None
        if start is not None:
            pause.until(rows.instant(start.at))
            return None
        if slot is not None:
            line = rate.line_of(self._look.items[key])
            free = rate.free_at(line, pace, has_slot=True, now=rows.now())
            return waiting(message, received, limit.name, bunched(free, slot, rows.now()))
        return self._reserve(limit, key, pace, message, received)

    def _pooled(self, key: str) -> Start | None:
        """A start that was taken for another lane of this worker, and that is still good."""
        now = rows.now()
        while self._starts[key]:
            start = self._starts[key].pop(0)
            if start.until >= now:
                return start
        return None

    def _take_place(
        self, admission: Admission, limit: Concurrent, key: str, message: Message, received: Received
    ) -> Waiting | Dead | None:
        items, override = self._look.items, overrides.of(limit.name)
        most = override.limit if override is not None and override.limit else limit.places
        slot, now = asking.slot_of(message, limit), rows.now()
        interval = places.interval(items[key], most)
        with self._locks[key]:
            place = self._idle_place(key)
            if place is None and slot is not None and slot > now + _SOON:
                return waiting(message, received, limit.name, (slot - now) * _TICK)
            has_line = int(items[key].get("promised", 0)) > now and slot is None
            if place is None and not has_line:
                place = places.take(key, most, until=received.worker.deadline, seen=items)
        if place is not None:
            admission.held.append((limit, key, place))
            return None
        if slot is not None:
            return waiting(message, received, limit.name, bunched(now + interval, slot, now))
        return self._wait_for_slot(limit, key, interval, now + interval, message, received)

    def _idle_place(self, key: str) -> Place | None:
        now = rows.now()
        while self._idle[key]:
            place = self._idle[key].pop()
            if place.until > now:
                return place
        return None

    def _still_to_ask(self, key: str) -> int:
        return sum(key in read.asked.keys for read in list(self._rest.values()))

    def _free_lanes(self) -> int:
        return max(1, self._concurrency - self._running)

    def ended(self, admission: Admission, error: BaseException | None) -> None:
        """See `Admission.ended`. What AWS refuses is logged: a place is free at its worker's end, a probe lapses."""
        failed = _judge(error)
        for limit, key, token in admission.probes:
            with _logged("probe"):
                breaker.probed(key, token, limit, failed=failed(limit))
        probed = {key for _, key, _ in admission.probes}
        for limit, key in admission.asked.breakers:
            outcome = failed(limit)
            if key not in probed and outcome is not None:
                with _logged("outcome"):
                    breaker.count(key, limit, self._look.items.get(key, {}), failed=outcome)
        admission.probes.clear()
        if isinstance(error, TaskTimeoutError) and error.runs_on:
            admission.held.clear()  # its thread goes on, and so does its work
        self.give_back(admission)

    def give_back(self, admission: Admission) -> None:
        """See `Admission.give_back`."""
        if admission.has_started:
            self._running -= 1
        for limit, key, token in admission.probes:
            with _logged("probe"):
                breaker.probed(key, token, limit, failed=None)
        for _, key, place in admission.held:
            if self._still_to_ask(key):
                with self._locks[key]:
                    self._idle[key].append(place)
            else:
                self._free(key, place)

    def close(self) -> None:
        """Give back the places that no message of this invocation holds."""
        for key in list(self._idle):
            while self._idle[key]:
                self._free(key, self._idle[key].pop())

    def _free(self, key: str, place: Place) -> None:
        with _logged("place"):
            places.give_back(key, place, self._look.items.get(key, {}))

    def throttled(self, task: Task[..., Any, Any], arguments: Mapping[str, Any], error: Throttled) -> str:
        """Let the limit wait that a provider's "too many requests" is about. Returns its name, or an empty text."""
        limit = error.limit if error.limit is not None else asking.narrowest(task)
        if limit is None:
            return ""
        if limit not in task.limits:
            logger.error(
                "throttled by a limit that its task doesn't name, only the task waits",
                extra={"task": task.name, "limit": limit.name},
            )
            return ""
        key = rows.of_limit(limit.name, task.text_of(limit.names, arguments) if limit.names else "")
        with _logged("block"):
            rate.block(key, rows.now() + error.retry_after // _TICK)
        return limit.name


def _judge(error: BaseException | None) -> Callable[[Breaker], bool | None]:
    """Whether a run that ended like this failed, for a breaker; None if that says nothing about what it protects."""

    def failed(limit: Breaker) -> bool | None:
        match error:
            case None | Reject():
                return False
            case Throttled() | Retry(charge=False):
                return None
            case TaskTimeoutError():
                return True
            case _:
                return True if isinstance(error, limit.on) else None

    return failed


def _with_slots(message: Message, slots: Mapping[str, int]) -> Message:
    """The message with these slots."""
    return replace(message, slots=dict(slots) or None)


@contextmanager
def _logged(what: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # noqa: BLE001 - see `Flow.ended`
        logger.warning("item of a limit not written", extra={"what": what, "error": error_type(error)})
