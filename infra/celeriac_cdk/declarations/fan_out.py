"""The limit of subscribers of an event: the relay must send to all of them before its timeout."""

from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from fnmatch import fnmatchcase
from typing import Any

from celeriac import Task
from celeriac.aws import sqs
from celeriac.model.errors import DeclarationError
from celeriac.relay.publish import PARALLEL

# The batch size of the stream mapping, and the relay's timeout.
RELAY_BATCH = 100
# A call to a queue that is out of reach takes 48 s. Then the rows that other queues got must still be marked.
RELAY_TIMEOUT = timedelta(minutes=3)
# A call to SQS takes 10 to 20 ms. This average includes retries and slow moments.
_SLOW_CALL = timedelta(milliseconds=100)
# The rest of the time is for slower calls, and for marking the rows.
_CALLS = timedelta(seconds=30) // _SLOW_CALL
MOST_ON_ONE_QUEUE = _CALLS * sqs.BATCH_ENTRIES // RELAY_BATCH
MOST_IN_ALL = MOST_ON_ONE_QUEUE * PARALLEL


def check_fan_out(tasks: Sequence[Task[..., Any, Any]]) -> None:
    """Raise DeclarationError if the relay couldn't send a batch of one event type to all its subscribers in time.

    The relay sends to several queues at once, with one call at a time to each queue. The checked names and patterns are
    those of subscriptions. If two patterns overlap only in a name without a subscription, the check doesn't notice it.
    """
    for event in sorted({task.on for task in tasks if task.on is not None}):
        subscribed = [task for task in tasks if task.on is not None and fnmatchcase(event, task.on)]
        queue, on_one = Counter(task.queue.name for task in subscribed).most_common(1)[0]
        cure = "subscribe one task that enqueues the others with `enqueue_many`"
        if on_one > MOST_ON_ONE_QUEUE:
            raise DeclarationError(
                f"the event {event!r} has {on_one} subscribers on the queue {queue!r}, but the relay can send to only "
                f"{MOST_ON_ONE_QUEUE} on one queue before its timeout: move some to other queues, or {cure}"
            )
        if len(subscribed) > MOST_IN_ALL:
            raise DeclarationError(
                f"the event {event!r} has {len(subscribed)} subscribers, most of them on the queue {queue!r}, but the "
                f"relay can send to only {MOST_IN_ALL} before its timeout: {cure}"
            )
