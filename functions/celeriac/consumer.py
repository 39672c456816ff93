"""The consumer: an SQS batch in, its partial failures out. Nothing raises out of it but the end of its process."""

import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol

from celeriac import registry, settings
from celeriac.failure import error_place, error_type
from celeriac.log import log_outcome, logger
from celeriac.queue import Queue
from celeriac.record import queue_of, read
from celeriac.run import Worker, run
from celeriac.settle import settle

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse


class LambdaContext(Protocol):
    """What the consumer uses of Lambda's context object."""

    @property
    def function_name(self) -> str:
        """The function's name."""

    @property
    def aws_request_id(self) -> str:
        """The invocation's id."""

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until Lambda stops the worker."""


def handle(event: Mapping[str, Any], context: LambdaContext) -> "PartialItemFailureResponse":
    """Run every message of the batch, each on its own, and name those that SQS is to deliver again."""
    left = timedelta(milliseconds=context.get_remaining_time_in_millis())
    worker = Worker(context.function_name, context.aws_request_id, datetime.now(UTC) + left)
    queues, stage = registry.queues(), settings.stage()
    held_groups: set[str] = set()
    return {
        "batchItemFailures": [
            {"itemIdentifier": raw["messageId"]}
            for raw in event.get("Records", [])
            if not _acknowledged(raw, worker, queues, stage, held_groups)
        ]
    }


def _acknowledged(
    raw: Mapping[str, Any], worker: Worker, queues: Mapping[str, Queue], stage: str, held_groups: set[str]
) -> bool:
    """Run and settle one record. Whatever can't be settled isn't acknowledged: SQS keeps it."""
    group: str | None = None
    try:
        record = read(raw)
        queue = queue_of(record, queues, stage)
        group = record.group if queue.fifo else None
        if group in held_groups:
            return False
        started = time.monotonic()
        message, outcome = run(record, queue, worker)
        acknowledged = settle(outcome, record, queue)
        log_outcome(outcome, message, record, queue, seconds=time.monotonic() - started)
    except Exception as error:  # noqa: BLE001 - AWS is out of reach, or we have a bug: either way it goes back to SQS
        # The text of an AWS error may quote a payload: its type and place must do.
        logger.error(
            "message not settled, SQS will deliver it again",
            extra={"message_id": raw.get("messageId"), "error": error_type(error), "where": error_place(error)},
        )
        acknowledged = False
    if group is not None and not acknowledged:
        held_groups.add(group)
    return acknowledged
