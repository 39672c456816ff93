"""Sending to SQS: the one place that knows queue URLs, limits of a send, and partial failures."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from celeriac.aws.batches import Refusal
from celeriac.aws.client import client
from celeriac.model.errors import CeleriacError
from celeriac.observe.trace import current

if TYPE_CHECKING:
    from mypy_boto3_sqs.type_defs import MessageAttributeValueTypeDef

# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html
BATCH_ENTRIES = 10
BATCH_BYTES = 1_048_576

# What SQS says of an entry that is wrong in itself; a throttle may be called the sender's fault too.
FINAL = frozenset({"InvalidMessageContents", "InvalidParameterValue", "InvalidAttributeValue", "UnsupportedOperation"})

# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html
_GROUP = re.compile(r"[!-~]{1,128}")

urls: dict[str, str] = {}
"""URLs by physical name, asked for once in each process."""


class NoSuchQueueError(CeleriacError, LookupError):
    """The stage has no such queue in this account and region."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"there is no queue {name} in {client('sqs').meta.region_name}: is it deployed, and do CELERIAC_STAGE and "
            "the AWS region and account name the right place?"
        )


@dataclass(frozen=True, slots=True)
class Entry:
    """One message to send."""

    body: str
    delay_seconds: int = 0
    group: str | None = None
    """MessageGroupId: the order of a FIFO queue, the tenant of a standard one."""
    deduplication: str | None = None
    """MessageDeduplicationId, which every message of a FIFO queue needs."""
    attributes: "dict[str, MessageAttributeValueTypeDef]" = field(default_factory=dict)
    trace: str | None = field(default_factory=current)
    """The header of the X-Ray trace that it belongs to, which SQS doesn't count: usually that of whoever makes it."""

    @property
    def size(self) -> int:
        """What SQS counts: the body and the attributes' names, types and values, in bytes."""
        attributes = (
            len(name) + len(value["DataType"]) + len(value.get("StringValue", "").encode() or _bytes(value))
            for name, value in self.attributes.items()
        )
        return len(self.body.encode()) + sum(attributes)


def is_group(text: str) -> bool:
    """Whether SQS takes it for a MessageGroupId."""
    return _GROUP.fullmatch(text) is not None


def url(name: str) -> str:
    """The URL of the queue `name`. Raises NoSuchQueueError."""
    found = urls.get(name)
    if found is None:
        sqs = client("sqs")
        try:
            found = urls[name] = sqs.get_queue_url(QueueName=name)["QueueUrl"]
        except sqs.exceptions.QueueDoesNotExist as error:
            raise NoSuchQueueError(name) from error
    return found


def account(name: str) -> str:
    """The AWS account that owns the queue `name`, as its URL tells."""
    return url(name).split("/")[-2]


def arn(name: str) -> str:
    """The ARN of the queue `name`."""
    meta = client("sqs").meta
    return f"arn:{meta.partition}:sqs:{meta.region_name}:{account(name)}:{name}"


def counts(url: str) -> dict[str, int]:
    """SQS's own counts of a queue: what is visible, what is in flight, what is delayed. It is right within a minute."""
    names = [f"ApproximateNumberOfMessages{kind}" for kind in ("", "NotVisible", "Delayed")]
    answer = client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=names)  # type: ignore[arg-type]  # literals
    return {name: int(answer["Attributes"].get(name, 0)) for name in names}  # type: ignore[call-overload]  # literals


def send(name: str, entry: Entry) -> None:
    """Send one message. Raises NoSuchQueueError."""
    with _of_queue(name):
        client("sqs").send_message(QueueUrl=url(name), **_fields(entry))


def send_batch(name: str, entries: Sequence[Entry]) -> list[Refusal | None]:
    """Send up to 10 messages of 1 MiB together; the answer holds, in their order, None or why one wasn't taken.

    Raises NoSuchQueueError.
    """
    batch: Any = [{"Id": str(i)} | _fields(entry) for i, entry in enumerate(entries)]
    with _of_queue(name):
        answer = client("sqs").send_message_batch(QueueUrl=url(name), Entries=batch)
    problems: list[Refusal | None] = [None] * len(entries)
    for failed in answer.get("Failed", []):
        why = f"{failed['Code']}: {failed.get('Message', '')}"
        final = failed.get("SenderFault", False) and failed["Code"].rpartition(".")[2] in FINAL
        problems[int(failed["Id"])] = Refusal(why, final=final)
    return problems


def batches(sizes: Sequence[int]) -> Iterator[range]:
    """Positions 0..n-1, in order, in batches that SQS takes: 10 entries and 1 MiB at most.

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
    """Forget the URL of a queue that was deleted meanwhile."""
    try:
        yield
    except client("sqs").exceptions.QueueDoesNotExist as error:
        urls.pop(name, None)
        raise NoSuchQueueError(name) from error


def _bytes(value: "MessageAttributeValueTypeDef") -> bytes:
    binary = value.get("BinaryValue", b"")
    return binary if isinstance(binary, bytes) else b""


def _fields(entry: Entry) -> Any:
    """What a single send and a batch's entry have in common."""
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
