"""A message that AWS kept from being settled: how long it waits, and when it is given up."""

import random
from datetime import UTC, datetime, timedelta

from celeriac.consume.received import Received

# After an outage all messages are back within this time.
LONGEST_WAIT = timedelta(seconds=90)


def wait(received: Received, *, can_send: bool = True) -> timedelta:
    """How long the message waits. The waits double, and are partly random, so that messages don't return together.

    can_send: whether a fresh copy can replace the message when it has used up half of its receives. If not, it then
        waits longer, to save the other half.
    """
    sqs_record, queue = received.sqs_record, received.queue
    usual = growing(sqs_record.receives, LONGEST_WAIT) * random.uniform(0.5, 1)  # noqa: S311 - no secret
    return usual if can_send or 2 * sqs_record.receives < queue.receive_limit else max(usual, queue.visibility)


def growing(receives: int, longest: timedelta) -> timedelta:
    """A wait that doubles with each receive, from two seconds to `longest`."""
    return min(timedelta(seconds=2 ** min(receives, 10)), longest)


def is_over(received: Received) -> bool:
    """Whether the message must become a dead letter now: SQS would soon move it without a reason, or delete it."""
    return received.sqs_record.receives >= received.queue.receive_limit or datetime.now(UTC) > received.must_end_by
