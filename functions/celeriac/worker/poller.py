"""Polls one queue, and runs what it receives as the consumer does in Lambda."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from celeriac.aws import pause, sqs
from celeriac.aws.client import calls_end_by
from celeriac.consume.handler import Batch
from celeriac.leases import watch
from celeriac.model import notice, settings
from celeriac.model.message import new_id
from celeriac.model.queue import Queue
from celeriac.model.version import VERSION
from celeriac.worker.event import Invocation, record
from celeriac.worker.heartbeat import Heartbeat, beating, length
from celeriac.worker.protection import Protection

if TYPE_CHECKING:
    from mypy_boto3_sqs.type_defs import MessageTypeDef

POLL_SECONDS = 5
"""How long a poll waits for a message. A worker that is told to end waits for the end of its poll: SQS could hand a
message to a poll that was given up."""
DELETE_TRIES = 3
DELETE_WAIT_SECONDS = 0.5


class Poller:
    """One queue's poller. It runs one batch at a time, as a Lambda worker does.

    batch: the most messages at once; None: as the queue declares. around: what a batch runs in; by default a thread
    that beats for it.
    """

    def __init__(
        self,
        queue: Queue,
        *,
        batch: int | None = None,
        around: Callable[[Heartbeat], AbstractContextManager[None]] = beating,
    ) -> None:
        self._queue, self._around = queue, around
        self._most = batch if batch is not None else queue.batch
        self._protection = Protection()
        self._name = queue.physical_name(settings.stage())
        self._batch: Batch | None = None

    def poll(self, seconds: int = POLL_SECONDS, most: int = sqs.BATCH_ENTRIES) -> None:
        """Receive up to `most` messages, run them, and acknowledge those that are settled.

        seconds: how long to wait for a message.

        Raises AWS's errors of the receive.
        """
        messages = sqs.receive(
            self._name,
            most=min(self._most, most),
            seconds=seconds,
            invisible=length(self._queue),
        )
        if messages:
            self._run(messages)

    def give_back(self) -> None:
        """Let SQS deliver to others, at once, what has not begun. Another thread may call this."""
        batch = self._batch
        if batch is not None:
            batch.give_back()

    def _run(self, messages: "list[MessageTypeDef]") -> None:
        arn = sqs.arn(self._name)
        raws: list[dict[str, Any]] = [record(message, arn) for message in messages]
        context = Invocation(
            self._queue.function_name(settings.stage()),
            new_id(),
            datetime.now(UTC) + self._queue.timeout,
            version=VERSION,
        )
        batch = self._batch = Batch(raws, context, lease=length(self._queue))
        try:
            if notice.ends_at is not None:
                batch.give_back()  # the notice came during the poll, when nobody could give them back
            heartbeat = Heartbeat(batch, length(self._queue), self._protection)
            with calls_end_by(batch.ends_at), watch.running(batch.watch), self._around(heartbeat):
                batch.run()
                self._delete(batch)
                batch.end_worker_if_useless()
        finally:
            self._batch = None
            self._protection.end()

    @staticmethod
    def _delete(batch: Batch) -> None:
        """Acknowledge what is settled. A message that isn't deleted is delivered again, as a duplicate."""
        for number in range(DELETE_TRIES):
            if number:
                pause.wait(DELETE_WAIT_SECONDS)
            if batch.delete_done():
                return
