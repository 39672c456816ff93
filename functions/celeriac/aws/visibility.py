"""Deletes messages, or sets when they are delivered again, if Lambda's partial response is too late or can't say so."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import batched
from math import ceil
from typing import Any

from celeriac.aws import sqs
from celeriac.aws.client import client
from celeriac.model.failure import error_type
from celeriac.model.queue import MAX_VISIBILITY
from celeriac.observe.log import logger


def delete(queue_name: str, receipts: Sequence[str]) -> bool:
    """Acknowledge messages now. Return whether SQS deleted them all.

    A message that wasn't deleted is delivered again, and is then a duplicate.
    """
    taken = True
    for batch in batched(receipts, sqs.BATCH_ENTRIES):
        entries: Any = [{"Id": str(i), "ReceiptHandle": receipt} for i, receipt in enumerate(batch)]
        try:
            answer = client("sqs").delete_message_batch(QueueUrl=sqs.url(queue_name), Entries=entries)
        except Exception as error:  # noqa: BLE001 - nothing is lost
            logger.warning("messages not deleted", extra={"error": error_type(error)})
            return False
        taken = taken and not answer.get("Failed")
    return taken


def show_again(queue_name: str, handed_back: Sequence[tuple[str, datetime]]) -> bool:
    """Set when messages are delivered again, and return whether SQS has taken it for all.

    If that fails, this is later: at the end of their visibility timeout.
    """
    is_taken = True
    for batch in batched(handed_back, sqs.BATCH_ENTRIES):
        entries: Any = [
            {"Id": str(i), "ReceiptHandle": receipt, "VisibilityTimeout": seconds_until(instant)}
            for i, (receipt, instant) in enumerate(batch)
        ]
        try:
            answer = client("sqs").change_message_visibility_batch(QueueUrl=sqs.url(queue_name), Entries=entries)
            if answer.get("Failed"):
                logger.warning("visibility not changed", extra={"error": answer["Failed"][0]["Code"]})
                is_taken = False
        except Exception as error:  # noqa: BLE001 - only time is lost
            logger.warning("visibility not changed", extra={"error": error_type(error)})
            is_taken = False
    return is_taken


def seconds_until(instant: datetime) -> int:
    """Return the visibility timeout that makes a message visible at `instant`, within the 12 hours that SQS allows.

    https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ChangeMessageVisibility.html
    """
    return ceil(min(max(instant - datetime.now(UTC), timedelta()), MAX_VISIBILITY) / timedelta(seconds=1))
