"""Sending to SQS. This is the only module that knows queue URLs, the limits of a send, and its partial failures."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from msgspec import Struct, field

from celeriac.aws.client import client, patient_client
from celeriac.aws.refusals import Refusal
from celeriac.model import settings
from celeriac.model.errors import CeleriacError
from celeriac.observe.trace import current

if TYPE_CHECKING:
    from mypy_boto3_sqs.type_defs import MessageAttributeValueTypeDef, MessageTypeDef

# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html
BATCH_ENTRIES = 10
BATCH_BYTES = 1_048_576

# SQS's codes for an entry that is itself wrong. `SenderFault` isn't enough: SQS may set it for a throttled entry too.
FINAL = frozenset({"InvalidMessageContents", "InvalidParameterValue", "InvalidAttributeValue", "UnsupportedOperation"})

# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html
_GROUP = re.compile(r"[!-~]{1,128}")

urls: dict[str, str] = {}
"""Queue URLs by physical name. A process asks SQS for each one once."""


class NoSuchQueueError(CeleriacError, LookupError):
    """The stage has no such queue in this account and region."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"there is no queue {name} in {client('sqs').meta.region_name}: is it deployed, and are "
            "application and stage (celeriac.configure, or CELERIAC_APPLICATION and CELERIAC_STAGE), AWS region and "
            "AWS account the right ones?"
        )


class Entry(Struct, frozen=True):
    """One message to send."""

    body: str
    delay_seconds: int = 0
    group: str | None = None
    """MessageGroupId: on a FIFO queue the group that is run in order, on a standard queue the tenant."""
    deduplication: str | None = None
    """MessageDeduplicationId, which every message of a FIFO queue needs."""
    attributes: "dict[str, MessageAttributeValueTypeDef]" = field(default_factory=dict)
    trace: str | None = field(default_factory=current)
    """The header of the message's X-Ray trace. By default it is the trace of the code that makes the entry. SQS doesn't
    count the header's size."""

    @property
    def size(self) -> int:
        """The bytes that SQS counts: those of the body, and of the attributes' names, types and values."""
        attributes = (
            len(name) + len(value["DataType"]) + len(value.get("StringValue", "").encode() or _bytes(value))
            for name, value in self.attributes.items()
        )
        return len(self.body.encode()) + sum(attributes)


def is_group(text: str) -> bool:
    """Whether SQS accepts the text as a MessageGroupId."""
    return _GROUP.fullmatch(text) is not None


def url(name: str) -> str:
    """Return the URL of the queue `name`. Raises NoSuchQueueError."""
    found = urls.get(name)
    if found is None:
        sqs = client("sqs")
        owner: Any = {"QueueOwnerAWSAccountId": account} if (account := settings.owner()) is not None else {}
        try:
            found = urls[name] = sqs.get_queue_url(QueueName=name, **owner)["QueueUrl"]
        except sqs.exceptions.QueueDoesNotExist as error:
            raise NoSuchQueueError(name) from error
    return found


def account(name: str) -> str:
    """Return the AWS account that owns the queue `name`. The queue's URL contains it."""
    return url(name).split("/")[-2]


def arn(name: str) -> str:
    """Return the ARN of the queue `name`."""
    meta = client("sqs").meta
    return f"arn:{meta.partition}:sqs:{meta.region_name}:{account(name)}:{name}"


def counts(url: str) -> dict[str, int]:
    """Return SQS's counts of a queue's messages: visible, in flight and delayed. They are right within a minute."""
    names = [f"ApproximateNumberOfMessages{kind}" for kind in ("", "NotVisible", "Delayed")]
    answer = client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=names)  # type: ignore[arg-type]  # literals
    return {name: int(answer["Attributes"].get(name, 0)) for name in names}  # type: ignore[call-overload]  # literals


def send(name: str, entry: Entry) -> None:
    """Send one message. Raises NoSuchQueueError."""
    with _of_queue(name):
        client("sqs").send_message(QueueUrl=url(name), **_fields(entry))


def receive(name: str, *, most: int, seconds: int, invisible: timedelta) -> "list[MessageTypeDef]":
    """Receive up to `most` messages, at most 10, with all of their attributes. Wait up to `seconds`, at most 20.

    invisible: how long no other worker gets them.

    Raises NoSuchQueueError, and AWS's errors.
    """
    with _of_queue(name):
        answer = patient_client("sqs", seconds).receive_message(
            QueueUrl=url(name),
            MaxNumberOfMessages=most,
            WaitTimeSeconds=seconds,
            VisibilityTimeout=int(invisible.total_seconds()),
            MessageSystemAttributeNames=["All"],
            MessageAttributeNames=["All"],
        )
    return answer.get("Messages", [])


def send_batch(name: str, entries: Sequence[Entry]) -> list[Refusal | None]:
    """Send up to 10 messages of together 1 MiB. Return, in their order, None or why a message wasn't accepted.

    Raises NoSuchQueueError.
    """
    batch: Any = [{"Id": str(i)} | _fields(entry) for i, entry in enumerate(entries)]
    with _of_queue(name):
        answer = client("sqs").send_message_batch(QueueUrl=url(name), Entries=batch)
    refusals: list[Refusal | None] = [None] * len(entries)
    for failed in answer.get("Failed", []):
        why = f"{failed['Code']}: {failed.get('Message', '')}"
        final = failed.get("SenderFault", False) and failed["Code"].rpartition(".")[2] in FINAL
        refusals[int(failed["Id"])] = Refusal(why, final=final)
    return refusals


def batches(sizes: Sequence[int]) -> Iterator[range]:
    """Yield the positions 0..n-1, in order, in batches that SQS accepts: at most 10 entries and 1 MiB.

    >>> list(batches([600_000, 600_000, 1]))
    [range(0, 1), range(1, 3)]
    """
    start, total = 0, 0
    for i, size in enumerate(sizes):
        if i - start == BATCH_ENTRIES or (i > start and total + size > BATCH_BYTES):
            yield range(start, i)
            start, total = i, 0
        total += size
    if start < len(sizes):
        yield range(start, len(sizes))


@contextmanager
def _of_queue(name: str) -> Iterator[None]:
    """Forget the URL of a queue that was deleted meanwhile. Raises NoSuchQueueError for it."""
    try:
        yield
    except client("sqs").exceptions.QueueDoesNotExist as error:
        urls.pop(name, None)
        raise NoSuchQueueError(name) from error


def _bytes(value: "MessageAttributeValueTypeDef") -> bytes:
    binary = value.get("BinaryValue", b"")
    return binary if isinstance(binary, bytes) else b""


def _fields(entry: Entry) -> Any:
    """Return the fields that a single send and an entry of a batch have in common."""
    fields: dict[str, Any] = {"MessageBody": entry.body}
    if entry.delay_seconds:
        fields["DelaySeconds"] = entry.delay_seconds
    if entry.group is not None:
        fields["MessageGroupId"] = entry.group
    if entry.deduplication is not None:
        fields["MessageDeduplicationId"] = entry.deduplication
    if entry.attributes:
        fields["MessageAttributes"] = entry.attributes
    if entry.trace is not None:
        fields["MessageSystemAttributes"] = {"AWSTraceHeader": {"DataType": "String", "StringValue": entry.trace}}
    return fields
