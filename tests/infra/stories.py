"""A stage by the minute: the sandbox runs, its metrics reach CloudWatch, and the alarms of its template are evaluated.

The sandbox has no CloudWatch of its own, and moto's never evaluates.
"""

from collections.abc import Sequence
from contextlib import redirect_stdout
from datetime import timedelta
from io import StringIO
from typing import Any

from celeriac import Queue
from celeriac.aws import sqs
from celeriac.aws.client import client
from celeriac.model import names
from celeriac.relay import sweeper
from celeriac.testing import Sandbox, account
from celeriac.worker.event import Invocation
from tests.infra.cloudwatch import CloudWatch
from tests.infra.template import Stack

MINUTE = timedelta(minutes=1)
# SQS leaves messages out of its measure of age that were received more often:
# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-available-cloudwatch-metrics.html
_POISON = 3


class Story:
    """What happens to a stage, a minute at a time."""

    def __init__(self, sandbox: Sandbox, work: Stack, queues: Sequence[Queue]) -> None:
        self.sandbox, self.queues = sandbox, queues
        self.cloudwatch = CloudWatch(work.resources("CloudWatch::Alarm"))
        self._log = StringIO()
        self.healthy(20)  # the alarm on silence begins with the stage
        self.cloudwatch.changes.clear()

    def healthy(self, minutes: int) -> None:
        """All runs as it should."""
        for _ in range(minutes):
            with redirect_stdout(self._log):
                until = self.sandbox.now + MINUTE
                self.sandbox.run_once()
                self._sweep()
                while self.sandbox.now + timedelta(seconds=10) <= until:
                    self.sandbox.advance(timedelta(seconds=10))
                    self.sandbox.run_once()
            self._measure()

    def throttled(self, minutes: int) -> None:
        """Lambda refuses every invocation."""
        for _ in range(minutes):
            self.sandbox.throttle(MINUTE)
            self._measure()

    def throttled_queue(self, queue: Queue) -> None:
        """For a minute Lambda refuses the invocations of one consumer: its messages are received, and held."""
        url = sqs.url(queue.physical_name("test"))
        while client("sqs").receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
            pass
        self.stopped(1)

    def stopped(self, minutes: int) -> None:
        """The consumers are paused, relay and sweeper run."""
        for _ in range(minutes):
            with redirect_stdout(self._log):
                self._sweep()
            self.sandbox.advance(MINUTE)
            self._measure()

    def _sweep(self) -> None:
        context = Invocation(names.sweeper_function("test"), "r", self.sandbox.now + MINUTE)
        with self.sandbox.worker():
            sweeper.handler({}, context)

    def _measure(self) -> None:
        now = self.sandbox.now
        self.cloudwatch.read(self._log.getvalue(), now)
        self._log.seek(0)
        self._log.truncate()
        for queue in self.queues:
            for name in (queue.physical_name("test"), queue.dead_letter_name("test")):
                self._measure_queue(name)
        self.cloudwatch.evaluate(now)

    def _measure_queue(self, name: str) -> None:
        held: list[Any] = account.queue(sqs.url(name))._messages
        now, put = self.sandbox.now, self.cloudwatch.put
        visible = sum(each.visible and not each.delayed for each in held)
        put("AWS/SQS", "ApproximateNumberOfMessagesVisible", now, visible, QueueName=name)
        counted = [each.sent_timestamp for each in held if each.approximate_receive_count < _POISON]
        if counted:
            age = now.timestamp() - min(counted) / 1000
            put("AWS/SQS", "ApproximateAgeOfOldestMessage", now, age, QueueName=name)
