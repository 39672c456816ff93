"""Makes moto's SQS keep SQS's rules where moto's own are kinder: retention, and the limit of visibility timeouts.

Retention, and what moves to a dead-letter queue:
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-dead-letter-queues.html
The 12 hours of visibility, from the receive on:
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-visibility-timeout.html
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from moto.sqs import models
from moto.sqs.exceptions import InvalidParameterValue, ReceiptHandleIsInvalid

from celeriac.testing.moto_speed import unix_time_millis

MOST_HIDDEN_SECONDS = 12 * 60 * 60

_get_queue = models.SQSBackend.get_queue
_add_message = models.Queue.add_message
_mark_received = models.Message.mark_received


@contextmanager
def kept() -> Iterator[None]:
    """Let moto's SQS keep these rules while the block runs."""
    with (
        patch.object(models.SQSBackend, "get_queue", _queue_without_the_expired),
        # Moto counts an expired message's receives, and moves it to the dead-letter queue at the last one.
        patch.object(models.SQSBackend, "is_message_valid_based_on_retention_period", lambda *_: True),
        patch.object(models.SQSBackend, "change_message_visibility", _change_visibility),
        patch.object(models.SQSBackend, "change_message_visibility_batch", _change_visibilities),
        patch.object(models.Message, "mark_received", _received),
        patch.object(models.Queue, "add_message", _add),
    ):
        yield


def expire(queue: Any) -> None:
    """Delete the messages that are older than their queue's retention: waiting, delayed and in flight."""
    oldest = unix_time_millis() - queue.message_retention_period * 1000
    expired = {message for message in queue._messages if message.sent_timestamp <= oldest}  # noqa: SLF001 - moto has no public way
    if expired:
        queue._messages = [message for message in queue._messages if message not in expired]  # noqa: SLF001
        queue.pending_messages.difference_update(expired)
        # SQS accepts it when a worker deletes such a message.
        queue.deleted_messages.update(handle for message in expired for handle in message.all_receipt_handles)


def _queue_without_the_expired(backend: models.SQSBackend, queue_name: str) -> models.Queue:
    queue = _get_queue(backend, queue_name)
    expire(queue)
    return queue


def _received(message: Any, *arguments: Any, **named: Any) -> None:
    message.received_at = unix_time_millis()
    _mark_received(message, *arguments, **named)


def _add(queue: Any, message: Any) -> None:
    # What has been received is moved here by the redrive policy. On a FIFO queue its retention then begins anew; on a
    # standard queue it goes on from the first send.
    if message.approximate_receive_count and queue.fifo_queue:
        message.sent_timestamp = int(unix_time_millis())
    _add_message(queue, message)


def _change_visibility(backend: Any, queue_name: str, receipt_handle: str, visibility_timeout: int) -> None:
    """As moto does, but the 12 hours begin with the receive."""
    queue = backend.get_queue(queue_name)
    for message in queue._messages:  # noqa: SLF001 - moto has no public way
        if message.had_receipt_handle(receipt_handle):
            until = unix_time_millis() + int(visibility_timeout) * 1000
            if until - message.received_at > MOST_HIDDEN_SECONDS * 1000:
                raise InvalidParameterValue(
                    f"Value {visibility_timeout} for parameter VisibilityTimeout is invalid. Reason: Total "
                    f"VisibilityTimeout for the message is beyond the limit [{MOST_HIDDEN_SECONDS} seconds]"
                )
            message.change_visibility(visibility_timeout)
            if message.visible:
                queue.pending_messages.discard(message)
            return
    raise ReceiptHandleIsInvalid


def _change_visibilities(
    backend: Any, queue_name: str, entries: Sequence[Mapping[str, Any]]
) -> tuple[list[str], list[dict[str, Any]]]:
    """One by one: moto refuses the whole batch for one entry that is beyond the limit."""
    done, failed = [], []
    for entry in entries:
        try:
            backend.change_message_visibility(queue_name, entry["ReceiptHandle"], entry["VisibilityTimeout"])
            done.append(entry["Id"])
        except (InvalidParameterValue, ReceiptHandleIsInvalid) as error:
            code = "InvalidParameterValue" if isinstance(error, InvalidParameterValue) else "ReceiptHandleIsInvalid"
            failed.append({"Id": entry["Id"], "SenderFault": True, "Code": code, "Message": error.message})
    return done, failed
