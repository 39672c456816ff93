"""The admission of an invocation's messages, each when its lane is free.

In this order: an open breaker, places, starts, a half-open breaker's probe. A place can be given back, a start can't.
So starts are taken when all that came before them is held, and never for messages that only wait in this worker. What
is promised to a message that must wait is a slot in the line.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from msgspec import Struct, field
from msgspec.structs import replace

from celeriac.consume.admission import asked as asking
from celeriac.consume.admission.asked import Asked
from celeriac.consume.admission.company import Company, Pair
from celeriac.consume.admission.look import Look, LookFailedError
from celeriac.consume.admission.places_held import PlacesHeld
from celeriac.consume.admission.starts import TICK, Starts
from celeriac.consume.admission.waits import Waits, between, throttled, waiting
from celeriac.consume.outcome import Dead, Waiting
from celeriac.consume.received import Received
from celeriac.consume.turn import turn
from celeriac.declare.task import Task
from celeriac.execute.call import CutOffError, TaskCalls, TaskTimeoutError
from celeriac.flow import breaker, overrides, rate, rows, wait_note
from celeriac.flow.places import Place
from celeriac.leases.store import LeaseLostError
from celeriac.model.failure import error_type
from celeriac.model.limits import Breaker
from celeriac.model.message import Message
from celeriac.model.retry import Reject, Retry, Throttled
from celeriac.model.stop import Cancelled
from celeriac.observe.log import logger

# A breaker that an operator holds open is looked at again after about the time for which a worker keeps overrides.
HELD_OPEN = timedelta(minutes=1), timedelta(minutes=2)


class Admission(Struct):
    """What a message holds while it runs. Every way out of the run ends it, once."""

    flow: "Flow | None" = None
    asked: Asked = field(default_factory=Asked)
    is_certain: bool = True
    """False if the message seems to have nothing to start. Then it was admitted by nobody, and must not run."""
    held: list[tuple[str, Place]] = field(default_factory=list)
    """Places, with the keys of their limits."""
    probes: list[tuple[Breaker, str, str]] = field(default_factory=list)
    """Breakers for which it is the one that tries, with their keys and its tokens."""
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
        self._company = Company(pairs)
        self.before_a_body: Callable[[], None] = lambda: None
        """Called before a task runs whose lane is the last that was free: nothing else happens until one ends."""
        self._look = Look(self._company.next_ones)
        self._starts = Starts(self._company, self._look)
        self._places = PlacesHeld(self._company, self._look, self._starts)

    def lanes(self, pairs: Sequence[Pair]) -> list[list[Pair]]:
        """The messages, those that share places behind each other."""
        return self._places.lanes(list(pairs))

    def admit(  # noqa: PLR0917 - the arguments are those of its only caller
        self,
        task: Task[..., Any, Any],
        message: Message,
        original: Message,
        arguments: Mapping[str, Any],
        record_key: str,
        received: Received,
    ) -> TaskCalls[Admission | Waits]:
        """Wait for the turn, then ask the limits of the task.

        original: the message as it came. record_key: the key of the record that it will claim; empty if it claims none.

        Raises AWS's errors: no limit is passed while its item can't be reached.
        """
        if not task.limits:
            return Admission()
        yield from turn(received)
        admission = Admission(self, asking.of(task, arguments))
        record = (task.name, record_key) if record_key else None
        with self._company.asking(received.sqs_record.message_id, admission.asked):
            try:
                found = self._look.at(self._keys(admission.asked, received), record)
                if asking.is_settled(found, message, alone=received.alone, comes_back=received.queue.fifo):
                    admission.is_certain = False
                    return admission
                self._starts.adopt(admission.asked.rates)
                waits = self._ask(admission, self._with_waits(original, received, admission.asked), received)
            except Exception as error:
                admission.give_back()
                if rows.is_throttled(error) or isinstance(error, LookFailedError):
                    return throttled(original, received)
                raise
        if waits is not None:
            admission.give_back()
            return waits
        admission.has_started = True
        self._company.begins()
        return admission

    def looked_at(self, key: str) -> rows.Item:
        """Another item of a message that asks for limits, by the same look. Raises AWS's errors."""
        self._look.at([key], None)
        return self._look.items[key]

    def _keys(self, asked: Asked, received: Received) -> list[str]:
        sqs_record = received.sqs_record
        has_waited = received.queue.fifo and sqs_record.receives > 1
        return [*asked.keys, *([rows.of_wait(received.queue.name, sqs_record.message_id)] if has_waited else [])]

    def _with_waits(self, original: Message, received: Received, asked: Asked) -> Message:
        """The message with the slots that it has. Those of a line that was reset since it has no more."""
        message = self._as_noted(original, received)
        if not message.slots:
            return message
        return replace(message, slots=asking.kept_slots(message, asked, self._look.items, rows.now()) or None)

    def _as_noted(self, original: Message, received: Received) -> Message:
        """On a FIFO queue the message stays as it is, so an item holds its slots and when it began to wait."""
        item = self._look.items.get(rows.of_wait(received.queue.name, received.sqs_record.message_id))
        if not received.queue.fifo or not item:
            return original
        received.facts.waited = wait_note.waited(item)
        return replace(original, slots={name: int(slot) for name, slot in (item.get("slots") or {}).items()} or None)

    def _ask(self, admission: Admission, message: Message, received: Received) -> Waits | None:
        """Ask in turn. What is held so far is in `admission`. Returns the wait for what has no room."""
        asked, items = admission.asked, self._look.items
        for limit, key in asked.breakers:
            if (override := overrides.of(limit.name)) is not None and override.is_open:
                return waiting(message, received, limit.name, between(*HELD_OPEN))
            if breaker.state_of(items[key], rows.now()) == "open":
                return waiting(message, received, limit.name, breaker.wait(limit, items[key], rows.now()))
        for each, key in asked.rates:
            if (waits := self._starts.stand_in_line(each, key, message, received)) is not None:
                return waits
        for concurrent, key in asked.concurrents:
            place = self._places.take(concurrent, key, message, received)
            if isinstance(place, Waiting | Dead):
                return place
            admission.held.append((key, place))
        if (waits := self._starts.take(asked.rates, message, received)) is not None:
            return waits
        for limit, key in asked.breakers:
            if breaker.state_of(items[key], rows.now()) == "half-open":
                token = breaker.take_probe(key, received.worker.deadline, items)
                if token is not None:
                    admission.probes.append((limit, key, token))
                elif breaker.state_of(items[key], rows.now()) != "closed":
                    return waiting(message, received, limit.name, breaker.wait(limit, items[key], rows.now()))
        return None

    def ended(self, admission: Admission, error: BaseException | None) -> None:
        """See `Admission.ended`. What AWS refuses is logged: a place is free at its worker's end, a probe lapses."""
        probed = {key for _, key, _ in admission.probes}
        for limit, key, token in admission.probes:
            with _logged("probe"):
                breaker.probed(key, token, limit, failed=_has_failed(error, limit))
        admission.probes.clear()
        for limit, key in admission.asked.breakers:
            failed = _has_failed(error, limit)
            if key not in probed and failed is not None:
                with _logged("outcome"):
                    breaker.count(key, limit, self._look.items, failed=failed)
        if isinstance(error, TaskTimeoutError) and error.runs_on:
            admission.held.clear()  # its thread goes on, and so does its work
        self.give_back(admission)

    def give_back(self, admission: Admission) -> None:
        """See `Admission.give_back`."""
        if admission.has_started:
            self._company.ends()
        for limit, key, token in admission.probes:
            with _logged("probe"):
                breaker.probed(key, token, limit, failed=None)
        for key, place in admission.held:
            with _logged("place"):
                self._places.give_back(key, place)

    def only_runs(self) -> bool:
        """Whether a task runs, and no message of this invocation will ask its limits any more."""
        return self._company.only_runs

    @contextmanager
    def body(self) -> Iterator[None]:
        """In the block, a task runs, with or without limits."""
        if not self._company.begins_a_body():
            self.before_a_body()
        try:
            yield
        finally:
            self._company.ends_a_body()

    def close(self) -> None:
        """Free the places that no message of this invocation holds."""
        with _logged("place"):
            self._places.free_idle()

    def throttled(self, task: Task[..., Any, Any], admission: Admission, error: Throttled) -> str:
        """Let the limit wait that a provider's "too many requests" is about. Returns its name, or an empty text.

        The task may have changed its arguments meanwhile: what counts is the limit that has admitted it.
        """
        limit = error.limit if error.limit is not None else asking.narrowest(task)
        if limit is None:
            return ""
        key = next((key for each, key in admission.asked.rates if each == limit), None)
        if key is None:
            logger.error(
                "throttled by a limit that its task doesn't name, only the task waits",
                extra={"task": task.name, "limit": limit.name},
            )
            return ""
        with _logged("block"):
            holds = rate.holds_until(rate.line_of(self._look.items.get(key, {})), overrides.pace_of(limit), rows.now())
            rate.block(key, rows.now() + error.retry_after // TICK, holds=holds)
        return limit.name


def _has_failed(error: BaseException | None, limit: Breaker) -> bool | None:
    """Whether a run has failed, for a breaker; None if its end says nothing about what the breaker protects."""
    match error:
        case None | Reject():
            return False
        case Throttled() | Retry(charge=False) | CutOffError() | LeaseLostError() | Cancelled():
            return None  # its provider asks to wait, it waits itself, or its worker is at fault
        case TaskTimeoutError():
            return True
        case _:
            return True if isinstance(error, limit.on) else None


@contextmanager
def _logged(what: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # noqa: BLE001 - see `Flow.ended`
        logger.warning("item of a limit not written", extra={"what": what, "error": error_type(error)})
