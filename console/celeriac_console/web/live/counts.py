"""The messages of each queue, and of its dead-letter queue."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from celeriac.aws import sqs
from celeriac.aws.client import client
from celeriac.model import settings
from celeriac.model.queue import Queue

AT_ONCE = 32
"""So many queues are read at a time: a hundred take some tens of milliseconds each."""

type Counts = Mapping[str, int]
"""Messages by kind: waiting, in_flight, delayed, dead."""


def read(queues: Sequence[Queue]) -> dict[str, Counts | None]:
    """The counts of each queue, by its name; None for one that isn't deployed. Two calls of SQS for each queue."""
    with ThreadPoolExecutor(max(1, min(AT_ONCE, len(queues)))) as pool:
        return dict(zip((queue.name for queue in queues), pool.map(_of, queues), strict=True))


def calls(queues: int) -> int:
    """How many calls a read makes."""
    return 2 * queues


def _of(queue: Queue) -> Counts | None:
    names = queue.physical_name(settings.stage()), queue.dead_letter_name(settings.stage())
    try:
        there, dead = (sqs.counts(sqs.url(name)) for name in names)
    except sqs.NoSuchQueueError:
        return None
    except client("sqs").exceptions.QueueDoesNotExist:  # it was there before
        for name in names:
            sqs.urls.pop(name, None)
        return None
    return {
        "waiting": there["ApproximateNumberOfMessages"],
        "in_flight": there["ApproximateNumberOfMessagesNotVisible"],
        "delayed": there["ApproximateNumberOfMessagesDelayed"],
        "dead": sum(dead.values()),
    }
