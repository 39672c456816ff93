"""`Sandbox`: a whole stage in memory, with the real handlers, and time that moves only when told to."""

import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from functools import cache
from types import TracebackType
from typing import TYPE_CHECKING, Any, Never, Self
from unittest.mock import patch

from moto import mock_aws
from moto import settings as moto_settings
from moto.core.models import DEFAULT_ACCOUNT_ID

from celeriac.aws import client as clients
from celeriac.aws import pause, sqs
from celeriac.aws.items import plain
from celeriac.consume import quarantine
from celeriac.dead_letters import dead_letter, search
from celeriac.dead_letters.dead_letter import DeadLetter
from celeriac.declare import registry
from celeriac.execute import ending, pace
from celeriac.flow import overrides
from celeriac.hooks import broken, registered
from celeriac.hooks.hook import Hooks
from celeriac.leases import watch
from celeriac.model import cron, given, names, settings
from celeriac.model.message import new_id
from celeriac.model.queue import Queue
from celeriac.model.table import Table
from celeriac.relay import memory
from celeriac.testing import account, aws_events, pollers, schedules, sqs_rules
from celeriac.testing.activity import Activity
from celeriac.testing.calls import Calls, WorkerDied
from celeriac.testing.clock import Clock
from celeriac.testing.elsewhere import SHUT, leads_elsewhere
from celeriac.testing.endless import NotQuietError
from celeriac.testing.faults import Faults
from celeriac.testing.limits import Limits
from celeriac.testing.moto_speed import faster
from celeriac.testing.schedules import as_sent
from celeriac.testing.scope import of_this_test
from celeriac.testing.ttl import Expiry
from celeriac.worker import heartbeat

if TYPE_CHECKING:
    from celeriac.declare.task import Task

START = datetime(2026, 1, 1, tzinfo=UTC)
ENVIRONMENT = SHUT | {
    "AWS_ACCESS_KEY_ID": "sandbox",
    "AWS_SECRET_ACCESS_KEY": "sandbox",
    "AWS_DEFAULT_REGION": "eu-west-1",
    "AWS_REGION": "eu-west-1",
    # Otherwise moto answers DynamoDB Streams with 404.
    "AWS_ACCOUNT_ID_ENDPOINT_MODE": "disabled",
    "CELERIAC_APPLICATION": "celeriac",
    "CELERIAC_STAGE": "test",
}
# A drain that needs more steps than this is endless.
MOST_STEPS = 100_000


# Making clients takes longer than a small test. So all sandboxes of a process share them; no other code uses them.
_client = cache(clients.make)


def _end_worker(_: int) -> Never:
    """Replaces the end of the process: the next invocation is a new worker's."""
    raise WorkerDied


class Sandbox(Faults):
    """Every queue, table and outbox of the registered tasks, and of those in the package `tasks`.

    The sandbox moves messages out of queues, streams and schedules as Lambda and Scheduler do, because moto doesn't.

    claims_ahead: how many of the next tasks of its batch a worker claims while others run. At AWS this depends on how
    fast the tasks are (`celeriac.execute.pace`). With more than none, the order of AWS calls differs from run to run.
    hooks: the hooks that run; by default those of `tasks/hooks.py`.
    runner: `lambda`, or `worker`: then processes of `celeriac worker` run the tasks. Those of a queue with
        runner="fargate" are always run by such workers.
    """

    def __init__(
        self,
        *,
        start: datetime = START,
        claims_ahead: int = 0,
        hooks: Sequence[Hooks] | None = None,
        runner: pollers.Runner | None = None,
    ) -> None:
        self._runner = runner or pollers.default_runner
        self._hooks = hooks
        self._claims_ahead = claims_ahead
        self._clock = Clock(start)
        self._activity = Activity()
        self._calls = Calls(self._watch, self._clock)
        self._exit = ExitStack()

    def __enter__(self) -> Self:
        if type(sqs.urls) is account.Urls:
            raise RuntimeError("a Sandbox is open already: it is the whole AWS of its process, leave it first")
        with ExitStack() as entering:
            kept = {name: value for name, value in os.environ.items() if not leads_elsewhere(name)}
            environment = kept | ENVIRONMENT
            entering.enter_context(patch.dict(os.environ, environment, clear=True))
            entering.enter_context(given.environment_decides())
            entering.enter_context(patch.object(clients, "_client", _client))
            # Moto read TEST_SERVER_MODE at its import.
            entering.enter_context(patch.object(moto_settings, "TEST_SERVER_MODE", new=False))
            entering.enter_context(faster())
            entering.enter_context(sqs_rules.kept())
            entering.enter_context(schedules.kept())
            entering.enter_context(mock_aws())
            self._clock.start()
            entering.callback(self._clock.stop)
            broken.forget()
            expiry = Expiry()
            entering.enter_context(expiry.noted())
            self._calls.before_each = expiry.delete_expired
            registry.load()
            entering.enter_context(registry.only(of_this_test))
            if self._hooks is not None:
                entering.enter_context(registered.using(self._hooks))
            self._stage = settings.stage()
            self._urls = account.Urls(self._stage, self._calls)
            entering.enter_context(patch.object(sqs, "urls", self._urls))
            entering.enter_context(patch.object(search, "looked", {}))
            entering.enter_context(patch.object(memory, "worker", memory.Memory()))
            entering.enter_context(patch.object(pace, "ahead", lambda _: self._claims_ahead))
            entering.enter_context(patch.object(pause, "wait", self._pass))
            entering.enter_context(patch.object(pause, "until", self._until))
            entering.enter_context(patch.object(pause, "sleep", self._sleep))
            entering.enter_context(patch.object(ending, "exit_process", _end_worker))
            account.create(self._stage, self._urls)
            self._pollers = pollers.Pollers(
                self._stage, self._urls, self._clock, self._calls, self._activity, runner=self._runner
            )
            overrides.forget()
            quarantine.refresh()  # as a worker does when it starts
            entering.enter_context(self._calls.installed())
            self._exit = entering.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._exit.close()

    @property
    def calls(self) -> Counter[tuple[str, str]]:
        """AWS calls made since the start by the code under test, by (service, operation): `("sqs", "SendMessage")`."""
        return self._calls.counts

    @property
    def limits(self) -> Limits:
        """How limits stand, and what an operator would set: `sandbox.limits[stripe].waiting`; see `Limits`."""
        return Limits(self._calls.unobserved)

    @property
    def now(self) -> datetime:
        """The virtual time."""
        return self._clock.now

    def advance(self, by: timedelta) -> None:
        """Let time pass; nothing runs until `run_once` or `drain`.

        A task may call this as work that takes so long. If it takes longer than its worker has, the worker is killed.
        """
        if self._calls.in_worker:
            by = self._beat_meanwhile(by)
        self._clock.advance(by)
        if self._calls.in_worker and watch.current is not None:
            watch.current.look()  # a worker's own thread does so as time passes
        if self._activity.payloads:
            account.delete_expired(self._stage)

    def _beat_meanwhile(self, by: timedelta) -> timedelta:
        """Move time to each heartbeat that falls into `by`, and let the worker beat. Returns what is left of `by`."""
        until = self.now + by
        while (beating := heartbeat.current) is not None and beating.left <= until - self.now:
            self._clock.advance(beating.left)
            beating.beat()
        return until - self.now

    def throttle(self, during: timedelta) -> None:
        """Let time pass in which Lambda refuses every invocation, because the account's concurrency is used up.

        Lambda receives messages all the same. Each receive counts, and hides a message for its visibility timeout.
        """
        until = self.now + during
        while self.now < until:
            with self._clock.right():
                self._pollers.refuse_due()
                due = self._clock.next_due()
            self.advance(min(due or until, until) - self.now)

    def send(
        self, queue: Queue, body: object, *, attributes: Mapping[str, str] | None = None, group: str | None = None
    ) -> str:
        """Send a body as a program in another language would. Returns the message's id in SQS. Nothing runs yet.

        body: a text is sent as it is, anything else as JSON.
        attributes: the sender's message attributes, which are texts.
        group: the message's group, needed on a FIFO queue.
        """
        text = body if isinstance(body, str) else json.dumps(body)
        fifo: Any = {"MessageGroupId": group or "", "MessageDeduplicationId": new_id()} if queue.fifo else {}
        given: Any = {name: {"DataType": "String", "StringValue": value} for name, value in (attributes or {}).items()}
        sent = clients.client("sqs").send_message(
            QueueUrl=sqs.url(queue.physical_name(self._stage)), MessageBody=text, MessageAttributes=given, **fifo
        )
        return sent["MessageId"]

    def items(self, table: Table | str) -> list[dict[str, Any]]:
        """Every item of a table of `tasks/tables.py`, or of that logical name; numbers are Decimals."""
        name = table.physical_name(self._stage) if isinstance(table, Table) else names.table(self._stage, table)
        with self._calls.unobserved():
            pages = clients.client("dynamodb").get_paginator("scan").paginate(TableName=name)
            return [plain(item) or {} for page in pages for item in page["Items"]]

    def fire(self, task: "Task[..., Any, Any]") -> None:
        """Send what the schedule of a task with a `cron` sends, for the current instant. Nothing runs yet."""
        if task.cron is None:
            raise ValueError(f"task {task.name!r} has no `cron`")
        name = task.queue.physical_name(self._stage)
        with self._calls.unobserved():
            sqs.send(name, sqs.Entry(as_sent(cron.message(task.name), scheduled_time=self.now, arn="arn:of:the-cron")))
        self._activity.queues.add(sqs.url(name))

    def aws_event(self, event: Mapping[str, Any]) -> list[str]:
        """Send what EventBridge sends for an event on the default bus, to each task whose `on_aws` it matches.

        event: `source` and `detail-type`, and mostly `detail`. What else an event has, such as `id` and `time`, is
        added. Sent again with the same `id`, it is a second delivery. Returns the names of the tasks. Nothing runs yet.

        Raises ValueError for an event that no service would send, TypeError for one that isn't a dict.
        """
        with self._calls.unobserved():
            owner = {"account": DEFAULT_ACCOUNT_ID, "region": clients.client("sqs").meta.region_name}
            whole = aws_events.completed(event, now=self.now, **owner)
            called = {task.name: body for task, body in aws_events.messages(registry.tasks.values(), whole)}
            for task, body in sorted(called.items()):
                name = registry.tasks[task].queue.physical_name(self._stage)
                sqs.send(name, sqs.Entry(body))
                self._activity.queues.add(sqs.url(name))
        return sorted(called)

    def run_once(self) -> int:
        """Run each message that is due now once, and all that this makes due at once. Returns how many invocations.

        Raises NotQuietError if this doesn't end.
        """
        self._pollers.invocations.begin()
        return self._run_due()

    def drain(self) -> None:
        """Run everything, and move time forward over every delay and backoff, until nothing is left to run.

        Then messages are left only in dead-letter queues. Raises NotQuietError if this doesn't end: after 1,000
        invocations and 100 more for each message that waited at the same time, 10,000 at most; if there are tasks with
        limits, 1,500 more for each, 100,000 at most. Another drain goes on.
        """
        self._pollers.invocations.begin()
        for _ in range(MOST_STEPS):
            if not self._run_due() and not self._step():
                return
        raise NotQuietError(
            f"the sandbox isn't quiet after {MOST_STEPS} steps, {self._clock.now - START} of virtual time"
        )

    def _run_due(self) -> int:
        with self._clock.right():
            return self._pollers.run_due()

    def dead_letters(self, queue: Queue) -> list[DeadLetter]:
        """The dead letters of `queue`, oldest first. Reading doesn't remove them."""
        name = queue.dead_letter_name(self._stage)
        with self._calls.unobserved():
            letters = [dead_letter.read(name, message) for message in account.lying_in(sqs.url(name))]
        return sorted(letters, key=lambda letter: letter.sent_at)

    def _pass(self, seconds: float) -> None:
        """Replaces waiting: moves virtual time forward, and runs what is due unless a worker waits."""
        if self._calls.in_worker:
            self._clock.wait(timedelta(seconds=seconds), self._calls.begun)
        else:
            self.advance(timedelta(seconds=seconds))
            self.run_once()

    def _until(self, instant: datetime) -> None:
        """Replaces waiting for an instant."""
        if self._calls.in_worker:
            self._clock.advance_to(instant)
        elif instant > self.now:
            self._pass((instant - self.now).total_seconds())

    async def _sleep(self, seconds: float) -> None:
        """Replaces waiting in async code."""
        self._pass(seconds)

    def _watch(self, service: str, operation: str, arguments: Mapping[str, Any]) -> None:
        self._clock.watch(service, operation, arguments)
        self._activity.watch(service, operation, arguments)
        if operation.startswith("ChangeMessageVisibility") and not self._calls.in_worker:
            account.show_again(arguments["QueueUrl"])

    def _step(self) -> bool:
        """Move time to the next instant at which something falls due; False when nothing waits any more."""
        with self._clock.right():
            after = self._pollers.next_due()
        if after is not None:
            self.advance(after)
        return after is not None
