"""Moves messages from queues, streams and schedules to the handlers, as Lambda and Scheduler do. Moto doesn't."""

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Literal

from celeriac.aws import client as clients
from celeriac.aws import sqs
from celeriac.declare import registry
from celeriac.model import names
from celeriac.model.queue import Queue
from celeriac.relay import unpublished
from celeriac.testing import account, worker
from celeriac.testing.activity import Activity
from celeriac.testing.calls import Calls
from celeriac.testing.clock import Clock
from celeriac.testing.deliveries import Deliveries
from celeriac.testing.disturbances import will_recover
from celeriac.testing.endless import Invocations
from celeriac.testing.lambda_ import invoke_consumer, invoke_sweeper
from celeriac.testing.schedules import LINGERS, as_sent
from celeriac.testing.stream import Stream
from celeriac.worker import heartbeat

if TYPE_CHECKING:
    from mypy_boto3_sqs.type_defs import MessageTypeDef

# The interval of the stack's schedule.
SWEEP_EVERY = timedelta(minutes=1)
# The real sweeper tries for ever, each minute. If nothing else is due, the sandbox moves time by ever longer steps over
# sweeps that published nothing, and stops after so many. They take longer than a queue's usual patience of a day.
MOST_VAIN_STEPS = 35
LONGEST_STEP = timedelta(hours=1)


type Runner = Literal["lambda", "worker"]
"""What runs the tasks of queues that aren't on Fargate: Lambda, or processes of `celeriac worker`."""
default_runner: Runner = "lambda"
"""What runs the tasks of a sandbox that names no runner."""


class Pollers:
    """Lambda's pollers, Scheduler, and the sweeper's schedule."""

    def __init__(
        self, stage: str, urls: account.Urls, clock: Clock, calls: Calls, activity: Activity, *, runner: Runner
    ) -> None:
        self._runner = runner
        self._stage, self._urls, self._clock, self._calls, self._activity = stage, urls, clock, calls, activity
        self.stream = Stream(names.outbox_table(stage), calls)
        self._next_relay = self._next_sweep = clock.now
        self._vain_steps = 0
        self._completed: dict[tuple[str, datetime], datetime] = {}
        """Schedules that have fired, by name and time, and when Scheduler deletes them."""
        self.deliveries = Deliveries(clock)
        self.invocations = Invocations(self._held, has_limits=self._has_limits)

    def run_due(self) -> int:
        """Run all that is due now, and all that this makes due at once. Returns how many invocations."""
        invocations = 0
        with self._calls.unobserved():
            while done := self._fire_schedules() + self._relay() + self._consume() + self._sweep():
                invocations += done
        return invocations

    def refuse_due(self) -> None:
        """Do what Lambda does while it throttles every function: messages are received, held, and not handed over.

        https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html
        """
        with self._calls.unobserved():
            self._fire_schedules()
            for queue in self._queues():
                while self._receive(sqs.url(queue.physical_name(self._stage)), min(queue.batch, 10)):
                    self._clock.remind_visible(queue.visibility)

    def next_due(self) -> timedelta | None:
        """How long it takes until something falls due; None when nothing waits any more."""
        with self._calls.unobserved():
            stranded_at = self._stranded_at()
            if stranded_at is not None and self._vain_steps < MOST_VAIN_STEPS:
                stranded_at += min(SWEEP_EVERY * 2**self._vain_steps, LONGEST_STEP) - SWEEP_EVERY
            else:
                stranded_at = None
            if not (self.stream.behind or self._schedules() or self._waiting_queues() or stranded_at):
                return None
        due = [instant for instant in (self._clock.next_due(), stranded_at) if instant is not None]
        if due and stranded_at == min(due):
            self._vain_steps += 1
        return min(due) - self._clock.now if due else timedelta(minutes=1)

    def _queues(self) -> list[Queue]:
        """The queues that may hold messages."""
        return [
            queue
            for queue in registry.queues().values()
            if self._urls.get(queue.physical_name(self._stage)) in self._activity.queues
        ]

    def _waiting_queues(self) -> bool:
        for queue in self._queues():
            url = sqs.url(queue.physical_name(self._stage))
            if not account.holds_messages(url):
                self._activity.queues.discard(url)
        return bool(self._queues())

    @staticmethod
    def _has_limits() -> bool:
        return any(task.limits for task in registry.tasks.values())

    def _held(self) -> dict[str, int]:
        """How many messages each queue holds that holds any."""
        held = {one.name: len(account.lying_in(sqs.url(one.physical_name(self._stage)))) for one in self._queues()}
        return {name: number for name, number in held.items() if number}

    def _consume(self) -> int:
        invocations = 0
        for queue in self._queues():
            while self.consume(queue, min(queue.batch, 10)):
                invocations += 1
        return invocations

    def consume(self, queue: Queue, most: int) -> bool:
        """Invoke a consumer on up to `most` visible messages. Returns whether there were any.

        Raises NotQuietError if there seems to be no end of them.
        """
        url = sqs.url(queue.physical_name(self._stage))
        if self._runner == "worker" or queue.is_on_fargate:
            return self._poll(queue, url, most)
        batch = self._receive(url, most)
        if batch:
            self._clock.remind_visible(queue.visibility)
            done = self._invoke(queue, batch)
            for message in batch:
                if message["MessageId"] in (done or ()):
                    clients.client("sqs").delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
            self.invocations.count()
        return bool(batch)

    def _poll(self, queue: Queue, url: str, most: int) -> bool:
        """Let a worker poll, unless it would find nothing. Returns whether it found messages, or has died."""
        if not self._has_visible(url):
            return False
        found: list[MessageTypeDef] = []

        def received(messages: "list[MessageTypeDef]") -> None:
            found.extend(messages)
            self._duplicate(url, messages)

        self._clock.remind_visible(heartbeat.length(queue))
        with self._calls.observed():
            has_died = worker.poll(self._calls, self._clock, queue, most, received)
        if has_died or found:
            self.invocations.count()
        return has_died or bool(found)

    def _duplicate(self, url: str, messages: "list[MessageTypeDef]") -> None:
        self.deliveries.duplicate(account.queue(url), {message["MessageId"] for message in messages})

    def _has_visible(self, url: str) -> bool:
        """Whether a receive finds a message. SQS then chooses one."""
        if not account.has_visible(url):
            return False
        account.lock_groups(url)
        self.deliveries.reorder(account.queue(url))
        return True

    def _receive(self, url: str, most: int) -> "list[MessageTypeDef]":
        if not self._has_visible(url):
            return []
        received = clients.client("sqs").receive_message(
            QueueUrl=url, MessageSystemAttributeNames=["All"], MessageAttributeNames=["All"], MaxNumberOfMessages=most
        )
        messages = received.get("Messages", [])
        self._duplicate(url, messages)
        return messages

    def _invoke(self, queue: Queue, batch: "list[MessageTypeDef]") -> set[str] | None:
        arn = sqs.arn(queue.physical_name(self._stage))
        with self._calls.observed():
            return invoke_consumer(self._calls, queue.function_name(self._stage), queue.timeout, batch, arn)

    def _relay(self) -> int:
        if not (self._activity.outbox or self.stream.behind) or self._clock.now < self._next_relay:
            return 0
        self._activity.outbox = False
        done = self.stream.pump(names.relay_function(self._stage))
        if self.stream.behind:
            # Lambda waits before it tries again.
            self._next_relay = self._clock.now + self.stream.backoff
            self._clock.remind(self.stream.backoff)
        return done

    def _stranded_at(self) -> datetime | None:
        """When the sweeper next finds something; None if nothing waits."""
        batch_due = account.batch_due(self._stage) if self._activity.batches else None
        found = [max(batch_due, self._next_sweep)] if batch_due is not None else []
        found += [due] if (due := self._unpublished_at()) is not None else []
        return min(found, default=None)

    def _unpublished_at(self) -> datetime | None:
        if not self._activity.unpublished:
            return None
        oldest = account.oldest_unpublished(self._stage)
        if oldest is None:
            self._activity.unpublished = account.has_unclaimed(self._stage)
            return None
        if oldest > self._clock.now:
            return self._next_sweep  # its sender's clock is ahead: one of the next sweeps finds it
        return max(oldest + unpublished.STRANDED_AFTER + timedelta(milliseconds=1), self._next_sweep)

    def _sweep(self) -> int:
        stranded_at = self._stranded_at()
        if stranded_at is None or stranded_at > self._clock.now:
            return 0
        self._next_sweep = self._clock.now + SWEEP_EVERY
        with self._calls.observed():
            published = invoke_sweeper(self._calls, names.sweeper_function(self._stage))
        # A sweep during an outage that ends says nothing about the sweeps after it.
        self._vain_steps = 0 if published or will_recover(self._calls) else self._vain_steps
        return 1

    def _schedules(self) -> bool:
        """Whether any schedule waits. One that has fired only keeps its name for a while."""
        there = account.schedules(self._stage) if self._activity.schedules else []
        self._activity.schedules = bool(there)
        return any((one.name, one.due) not in self._completed for one in there)

    def _fire_schedules(self) -> int:
        if not self._activity.schedules:
            return 0
        fired, now = 0, self._clock.now
        for schedule in account.schedules(self._stage):
            case = schedule.name, schedule.due
            if case not in self._completed and schedule.due <= now:
                body = as_sent(schedule.target["Input"], scheduled_time=schedule.due, arn=schedule.arn)
                queue_name = schedule.target["Arn"].rpartition(":")[2]
                sqs.send(queue_name, sqs.Entry(body))
                self._activity.queues.add(sqs.url(queue_name))
                self._completed[case] = now + LINGERS
                fired += 1
            elif case in self._completed and self._completed[case] <= now:
                group = names.schedule_group(self._stage)
                clients.client("scheduler").delete_schedule(Name=schedule.name, GroupName=group)
                del self._completed[case]
        return fired
