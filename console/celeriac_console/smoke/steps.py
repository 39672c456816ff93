"""The ways that a message takes through a stage, each tried with a probe task.

A step is begun, and then looked at until it has ended or its time is over. So one thread watches the steps of all
queues.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, override

from celeriac.aws import scheduler, sqs
from celeriac.declare import lookup, probe
from celeriac.declare.handle import Handle
from celeriac.enqueue.send import send
from celeriac.leases.status import Status, of_record
from celeriac.model import names
from celeriac.model.message import encode
from celeriac.model.queue import Queue
from celeriac.model.settings import stage
from celeriac_console.dlq.queue_reader import Pass, Taken, delete, depth
from celeriac_console.terminal.next_steps import command
from celeriac_console.terminal.plural import counted

LONGEST = timedelta(minutes=10)
"""How long a step may take at most."""
_BACKLOG = 20
"""More messages than this wait for a reason of their own; the probes are four."""


class StepFailedError(Exception):
    """The step can't end well any more. The text says what happened, and what to type."""


class NotTriedError(Exception):
    """The step can't tell anything now, because of what the queue holds. That is no fault of the release."""


class Step(ABC):
    """One way, for one queue."""

    what: ClassVar[str]
    """Its name in the report."""
    limit: ClassVar[timedelta]
    """How long it may take if the queue has no backlog. Most of a step's time is the cold start of a function."""

    def __init__(self, queue: Queue) -> None:
        self.queue = queue
        self.task = probe.of(queue)
        self.begun = datetime.now(UTC)
        self._is_due = self.begun + self.limit

    @abstractmethod
    def begin(self) -> None:
        """Send the probe. Raises AWS's errors."""

    @abstractmethod
    def has_ended(self) -> bool:
        """Whether the probe has arrived. Raises StepFailedError, and AWS's errors."""

    @abstractmethod
    def late(self) -> str:
        """What to say if it hasn't arrived in time."""

    @property
    def until(self) -> datetime:
        """When nobody waits for the probe any more."""
        return self.begun + LONGEST

    def is_over(self) -> bool:
        """Whether its time is over. A probe behind a backlog waits for its turn, which is no fault of the stage."""
        now = datetime.now(UTC)
        if now > self._is_due and self._has_backlog():
            self._is_due = now + self.limit
        return now > min(self._is_due, self.until)

    def given_up(self) -> Exception:
        """What to say when its time is over."""
        if self._has_backlog():
            return NotTriedError(f"its probe waits behind a backlog: {command('queues')}")
        took = (datetime.now(UTC) - self.begun).total_seconds()
        return StepFailedError(f"after {took:.0f} s {self.late()}")

    def clean(self) -> None:  # noqa: B027 - most steps leave nothing
        """Take back what a step has sent that hasn't ended well."""

    def _has_backlog(self) -> bool:
        waiting = sqs.counts(sqs.url(self.queue.physical_name(stage())))["ApproximateNumberOfMessages"]
        return waiting > _BACKLOG

    @staticmethod
    def _status(handle: Handle[str]) -> Status:
        """The probe's status by its record alone. `Handle.status` also looks through the dead letters."""
        record = lookup.record(handle.task, handle.key, handle.queue, handle.guarantee)
        return of_record(record, handle.id, handle.queue, once=False) or Status("queued")

    def _has_succeeded(self, handle: Handle[str]) -> bool:
        status = self._status(handle)
        if status.state == "dead":
            failure = status.failure
            why = (
                f"{failure.reason}: {failure.type}: {failure.message}" if failure is not None else "no reason is known"
            )
            remove_letter(self.queue, handle.id or status.id)
            raise StepFailedError(f"its probe became a dead letter, {why}")
        return status.state == "succeeded"


class ThroughQueue(Step):
    """The queue, its consumer, and the consumer's right to keep records."""

    what = "queue"
    limit = timedelta(seconds=60)

    @override
    def begin(self) -> None:
        self._handle: Handle[str] = self.task.enqueue("run", self.until)

    @override
    def has_ended(self) -> bool:
        return self._has_succeeded(self._handle)

    @override
    def late(self) -> str:
        state = self._status(self._handle).state
        return (
            f"its probe is {state}: the consumer doesn't run, or it lacks a right. {command('tail', '--since', '5m')} "
            f"shows what it logs; {command('doctor')} looks at the queue and its consumer"
        )


class ToDeadLetters(Step):
    """The dead-letter queue, and the consumer's right to send to it. The letter is deleted.

    It isn't tried while other letters lie there: to find its own it would receive them, and SQS leaves letters that
    were received three times out of its measure of their age, which the last alarm before their end watches.
    """

    what = "dead letter"
    limit = timedelta(seconds=60)

    @override
    def begin(self) -> None:
        others = depth(self.queue)
        if others:
            listing = command("dlq", "list", self.queue.name)
            raise NotTriedError(f"there are {counted(others, 'dead letter')} already: {listing}")
        parcel = self.task.parcel("reject", self.until)
        self._message = parcel.message
        self._handle: Handle[str] = self.task.handle(id=parcel.message.id)
        send(parcel)

    @override
    def has_ended(self) -> bool:
        # The record is asked first: a look for the letter takes several calls.
        return self._status(self._handle).state == "dead" and remove_letter(self.queue, self._handle.id)

    @override
    def clean(self) -> None:
        self._handle.cancel("a probe that came too late")  # if it hasn't run yet
        remove_letter(self.queue, self._handle.id)

    @override
    def late(self) -> str:
        if remove_letter(self.queue, self._handle.id):
            return f"its letter came, and no record of it. {command('tail', '--since', '5m')} shows why"
        return (
            f"its probe was to become a dead letter and is {self._status(self._handle).state}: no letter of it is in "
            f"{self.queue.dead_letter_name(stage())}. {command('tail', '--since', '5m')} shows why"
        )


class BySchedule(Step):
    """A one-time schedule, its group, and the role with which Scheduler sends to the queue."""

    what = "schedule"
    # Scheduler is precise to a minute: https://docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html
    limit = timedelta(seconds=150)

    @override
    def begin(self) -> None:
        parcel = self.task.parcel("run", self.until)
        self._handle: Handle[str] = self.task.handle(id=parcel.message.id)
        entry = sqs.Entry(encode(parcel.message))
        scheduler.send_later(self.queue.physical_name(stage()), entry, delay=timedelta(seconds=1), of=parcel.message)

    @override
    def has_ended(self) -> bool:
        return self._has_succeeded(self._handle)

    @override
    def late(self) -> str:
        return (
            "Scheduler hasn't sent its probe, or the consumer hasn't run it. What Scheduler can't send is in "
            f"{names.schedule_dead_letters(stage())}, with the error in its attributes: the role "
            f"{names.scheduler_role(stage(), self.queue.name, 'REGION')} may be gone or changed. Deploy"
        )


class ByOutbox(Step):
    """A transaction of the consumer, the outbox, and the relay. What only the sweeper publishes is late."""

    what = "outbox"
    limit = timedelta(seconds=105)
    # The sweeper publishes what the relay has left for a minute.
    _relay_takes = timedelta(seconds=45)

    @override
    def begin(self) -> None:
        self._handle: Handle[str] = self.task.enqueue("publish", self.until)
        self._published: Handle[str] = self.task.handle(key=probe.published_key(self._handle.id))
        self._committed: datetime | None = None

    @override
    def has_ended(self) -> bool:
        if self._committed is None:
            if self._has_succeeded(self._handle):
                self._committed = datetime.now(UTC)
            return False
        if self._has_succeeded(self._published):
            return True
        if datetime.now(UTC) - self._committed > self._relay_takes and not self._has_backlog():
            raise StepFailedError(self.late())
        return False

    @override
    def late(self) -> str:
        if self._committed is None:
            return (
                f"the probe that was to commit to the outbox is {self._status(self._handle).state}. "
                f"{command('tail', '--since', '5m')} shows why"
            )
        return (
            f"the relay has published nothing for {self._relay_takes.total_seconds():.0f} s. The sweeper will. "
            f"{command('outbox', 'lag')} shows what waits, {command('tail', '--since', '5m')} what the relay logs"
        )


STEPS: Sequence[type[Step]] = (ThroughQueue, ToDeadLetters, BySchedule, ByOutbox)


def steps_of(queue: Queue) -> list[Step]:
    """The steps for a queue. A message for a FIFO queue is never scheduled."""
    return [step(queue) for step in STEPS if not (queue.fifo and step is BySchedule)]


def remove_letter(queue: Queue, id_: str) -> bool:
    """Delete the dead letter of a probe. Returns whether it was there. Without a dead-letter queue it isn't."""
    try:
        reading = Pass(queue, workers=1)
    except sqs.NoSuchQueueError:
        return False
    found: list[Any] = []

    def visit(taken: Sequence[Taken]) -> set[str]:
        mine = [one for one in taken if one.letter.id == id_]
        found.extend(mine)
        if mine:
            reading.stop()
        return delete(sqs.url(reading.name), mine) if mine else set()

    reading.run(visit)
    return bool(found)
