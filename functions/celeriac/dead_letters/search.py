"""Finds one message in a dead-letter queue. SQS itself may have moved it there, without a reason."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from celeriac.aws import sqs
from celeriac.aws.client import client
from celeriac.dead_letters import dead_letter
from celeriac.dead_letters.dead_letter import DeadLetter
from celeriac.model import settings
from celeriac.model.queue import Queue

if TYPE_CHECKING:
    from mypy_boto3_sqs.type_defs import MessageTypeDef

# Receiving a letter hides it from others for a moment. So only a few letters are received, and not for every search.
MOST_LETTERS = 100
HIDDEN_SECONDS = 10
LOOK_EVERY = timedelta(seconds=30)

looked: dict[str, tuple[datetime, int, frozenset[str]]] = {}
"""By queue URL: when its letters were last received, how many there were, and the ids of the received letters."""


def find(queue: Queue, message_id: str) -> tuple[DeadLetter | None, bool]:
    """The dead letter with this id, the message's or SQS's; and whether every letter was seen. At most 100 are.

    If the letter isn't found, the same letters are not received again for 30 seconds.

    Raises what AWS raises, and NoSuchQueueError.
    """
    name = queue.dead_letter_name(settings.stage())
    url = sqs.url(name)
    depth = sum(sqs.counts(url).values())
    if depth == 0:
        return None, True
    if url in looked:
        at, number, ids = looked[url]
        if number == depth and datetime.now(UTC) - at < LOOK_EVERY and message_id not in ids:
            return None, depth <= MOST_LETTERS
    received = _peek(url, min(depth, MOST_LETTERS))
    looked[url] = (datetime.now(UTC), depth, frozenset(id_ for one in received for id_ in dead_letter.ids(one)))
    mine = next((one for one in received if message_id in dead_letter.ids(one)), None)
    return (dead_letter.read(name, mine, whole=False) if mine is not None else None), len(received) >= depth


def find_in(queues: Sequence[Queue], message_id: str) -> tuple[Queue | None, bool]:
    """The queue whose dead-letter queue has a letter with this id; and whether every letter of all of them was seen.

    Raises what `find` raises.
    """
    every = True
    for queue in queues:
        letter, seen = find(queue, message_id)
        if letter is not None:
            return queue, True
        every = every and seen
    return None, every


def _peek(url: str, most: int) -> "list[MessageTypeDef]":
    """Receive up to `most` letters, and make them visible to others again at once."""
    held: dict[str, MessageTypeDef] = {}
    try:
        while len(held) < most:
            answer = client("sqs").receive_message(
                QueueUrl=url,
                MaxNumberOfMessages=10,
                VisibilityTimeout=HIDDEN_SECONDS,
                MessageSystemAttributeNames=["All"],
                MessageAttributeNames=["All"],
            )
            if not answer.get("Messages"):
                break
            held |= {message["MessageId"]: message for message in answer["Messages"]}
    finally:
        _give_back(url, [message["ReceiptHandle"] for message in held.values()])
    return list(held.values())


def _give_back(url: str, receipts: list[str]) -> None:
    for start in range(0, len(receipts), sqs.BATCH_ENTRIES):
        some = receipts[start : start + sqs.BATCH_ENTRIES]
        client("sqs").change_message_visibility_batch(
            QueueUrl=url,
            Entries=[{"Id": str(i), "ReceiptHandle": h, "VisibilityTimeout": 0} for i, h in enumerate(some)],
        )
