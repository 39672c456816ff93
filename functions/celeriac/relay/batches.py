"""How the entries for one queue are divided into batches."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from math import ceil

from celeriac.aws import sqs
from celeriac.enqueue.outbox_row import OutboxRow

GOLDEN = (5**0.5 - 1) / 2

type Ready = tuple[OutboxRow, sqs.Entry]
"""A row and its entry for SendMessageBatch."""


def in_batches(ready: Sequence[Ready], *, fifo: bool) -> Iterator[list[Ready]]:
    """The batches to send. On a FIFO queue, a batch has as few rows of an aggregate as ten calls for 100 allow."""
    if not ready:
        return  # every row was sent by a schedule, or failed
    groups = [row.pk for row, _ in ready]
    order = spread(groups) if fifo else range(len(ready))
    in_order = [ready[i] for i in order]
    most = max(Counter(groups).values()) if fifo else 1
    calls = max(ceil(len(ready) / sqs.BATCH_ENTRIES), min(most, sqs.BATCH_ENTRIES))
    size = ceil(len(ready) / calls)
    for start in range(0, len(ready), size):
        some = in_order[start : start + size]
        for positions in sqs.batches([made.size for _, made in some]):
            yield [some[i] for i in positions]


def spread(groups: Sequence[str]) -> list[int]:
    """Positions in a new order, which keeps the order in each group and puts its members as far apart as possible.

    If this order is cut into batches, few members of a group share a batch. So when SQS refuses a message of a batch,
    it has seldom taken a later message of the same group.

    >>> spread(["a", "a", "b", "b"])
    [0, 2, 1, 3]
    """
    # Each group's members are evenly spaced between 0 and 1. The golden ratio places the first member.
    members: dict[str, list[int]] = defaultdict(list)
    for position, group in enumerate(groups):
        members[group].append(position)
    rank = {
        position: (place + nth * GOLDEN % 1) / len(positions)
        for nth, positions in enumerate(members.values())
        for place, position in enumerate(positions)
    }
    return sorted(rank, key=lambda position: rank[position])
