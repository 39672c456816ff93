"""Redrive as AWS's console does: send a dead letter's body, as a new message, to its source queue."""

from typing import TYPE_CHECKING

from celeriac import Queue
from celeriac.aws import sqs
from celeriac.aws.client import client

if TYPE_CHECKING:
    from mypy_boto3_sqs.type_defs import MessageTypeDef

STAGE = "test"


def redrive_as_aws_does(queue: Queue, *, copies: int = 1) -> None:
    """Move the single dead letter of a queue back. `copies` is how many copies at-least-once delivery makes of it."""
    dead, source = sqs.url(queue.dead_letter_name(STAGE)), sqs.url(queue.physical_name(STAGE))
    (message,) = client("sqs").receive_message(QueueUrl=dead, MessageSystemAttributeNames=["All"])["Messages"]
    group = message["Attributes"].get("MessageGroupId")
    for copy in range(copies):
        order = (
            {"MessageGroupId": group, "MessageDeduplicationId": f"{copy} {message['MessageId']}"}
            if group is not None
            else {}
        )
        client("sqs").send_message(QueueUrl=source, MessageBody=message["Body"], **order)  # type: ignore[arg-type]  # texts
    client("sqs").delete_message(QueueUrl=dead, ReceiptHandle=message["ReceiptHandle"])


def received(queue_name: str) -> "list[MessageTypeDef]":
    """Up to ten messages of the queue with that physical name, with all their attributes."""
    answer = client("sqs").receive_message(
        QueueUrl=sqs.url(queue_name),
        MaxNumberOfMessages=10,
        MessageSystemAttributeNames=["All"],
        MessageAttributeNames=["All"],
    )
    return answer.get("Messages", [])
