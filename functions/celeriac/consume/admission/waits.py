"""How long a message waits for a limit, and what becomes of one that has waited too long."""

import random
from datetime import UTC, datetime, timedelta

from msgspec.structs import replace

from celeriac.consume.outcome import Dead, Waiting
from celeriac.consume.received import Received, failure
from celeriac.consume.unrun import received_too_often, too_late, unrun
from celeriac.model.errors import CeleriacError
from celeriac.model.message import Message
from celeriac.model.queue import MAX_DELAY
from celeriac.model.reason import Reason

LONGEST = timedelta(days=14)
"""So long a message waits for limits in all."""
# A hot item: DynamoDB refuses some of the writes to a key that gets more than 1,000 a second.
THROTTLED = timedelta(seconds=1), timedelta(seconds=5)
LONGEST_THROTTLED = timedelta(seconds=90)
ITS_LIMITS = "its limits"
"""What a message waits for whose limits' items can't be written."""
# Beyond the line of slots nobody has an order.
BEYOND = timedelta(minutes=12), MAX_DELAY


type Waits = Waiting | Dead
"""What becomes of a message that can't start: it waits, or has waited too long."""


class WaitedTooLongError(CeleriacError):
    """A message has waited for limits for so long that waiting more makes no sense."""


def waiting(original: Message, received: Received, limit: str, wait: timedelta, *, slot: int | None = None) -> Waits:
    """The outcome of a message that waits for a limit. `original` is the message as it came.

    slot: the slot that it was promised, in microseconds since 1970.
    """
    wait = min(max(wait, timedelta(seconds=1)), MAX_DELAY)
    waited = received.facts.waited
    if waited > LONGEST:
        error = WaitedTooLongError(
            f"it has waited {waited} for the limit {limit!r}, {LONGEST} is the most: it wasn't run"
        )
        return Dead(original, failure(Reason.WAITED_TOO_LONG, error, unrun(original), received))
    queue = received.queue
    if queue.fifo:
        # The message stays in the queue, and keeps its place. Each wait is a receive, and SQS deletes it at the end.
        if received.sqs_record.receives >= queue.receive_limit:
            return Dead(original, received_too_often(limit, original, received))
        if datetime.now(UTC) + wait > received.must_end_by:
            return Dead(original, too_late(original, received))
    slots = dict(original.slots or {})
    if slot is not None:
        slots[limit] = slot // 1_000
    message = replace(original, slots=slots or None, waits_for=limit, waited=int(waited.total_seconds()))
    return Waiting(message, wait, limit)


def throttled(original: Message, received: Received, what: str = ITS_LIMITS) -> Waits:
    """The outcome of a message whose items DynamoDB refuses to read or write: too many want them at once.

    The waits grow while that lasts. `original` is the message as it came; `what` is what it waits for.
    """
    wait, sqs_record = between(*THROTTLED), received.sqs_record
    if received.queue.fifo:
        # The message doesn't say what it waits for, and its receives are counted: short waits would use them up.
        longest = min(timedelta(seconds=2 ** min(sqs_record.receives, 10)), LONGEST_THROTTLED)
        wait = max(wait, between(longest / 2, longest))
    elif original.waits_for == what:
        longest = min(2 * (datetime.now(UTC) - sqs_record.sent_at), LONGEST_THROTTLED)
        wait = max(wait, between(longest / 2, longest))
    return waiting(original, received, what, wait)


def between(shortest: timedelta, longest: timedelta) -> timedelta:
    """A random wait: messages that wait together must not come together."""
    return shortest + (longest - shortest) * random.random()  # noqa: S311 - no secret


def bunched(free_at: int, slot: int, now: int) -> timedelta:
    """The wait of a message whose slot has come while others still go before it.

    Late deliveries bunch. The later they are, the further their next try is spread.
    """
    lateness = timedelta(microseconds=max(now - slot, 0))
    spread = min(timedelta(minutes=1), timedelta(seconds=2) + lateness)
    return timedelta(microseconds=max(free_at - now, 0)) + between(timedelta(), spread)
