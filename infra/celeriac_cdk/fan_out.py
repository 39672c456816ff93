"""How many subscribers an event may have: as many as the relay can send to before its timeout."""

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
RELAY_TIMEOUT = timedelta(minutes=1)
# A call to SQS takes 10 to 20 ms. This average includes retries and slow moments.
_SLOW_CALL = timedelta(milliseconds=100)
# The other half of the time is for slower calls, and for marking the events.
_CALLS = RELAY_TIMEOUT / 2 // _SLOW_CALL
MOST_ON_ONE_QUEUE = _CALLS * sqs.BATCH_ENTRIES // RELAY_BATCH
MOST_IN_ALL = MOST_ON_ONE_QUEUE * PARALLEL


def check_fan_out(tasks: Sequence[Task[..., Any, Any]]) -> None:
    """Raise DeclarationError if a batch of one event's type couldn't be sent to all its subscribers in time.

    A queue is sent to one call after the other, several queues at once. Events are known by what is subscribed to:
    of two patterns that overlap in a third name nothing is known here.
    """
    for event in sorted({task.on for task in tasks if task.on is not None}):
        subscribed = [task for task in tasks if task.on is not None and fnmatchcase(event, task.on)]
        queue, on_one = Counter(task.queue.name for task in subscribed).most_common(1)[0]
        cure = "subscribe one task that enqueues the others with `enqueue_many`"
        if on_one > MOST_ON_ONE_QUEUE:
            raise DeclarationError(
                f"the event {event!r} has {on_one} subscribers on the queue {queue!r}, and the relay can send to "
                f"{MOST_ON_ONE_QUEUE} there in its time: put some on other queues, or {cure}"
            )
        if len(subscribed) > MOST_IN_ALL:
            raise DeclarationError(
                f"the event {event!r} has {len(subscribed)} subscribers, most on the queue {queue!r}, and the relay "
                f"can send to {MOST_IN_ALL} in its time: {cure}"
            )
