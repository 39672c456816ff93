"""What a batch's items say of its state."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Literal

from msgspec import Struct

from celeriac.flow import rows
from celeriac.flow.batches import items, nodes, tree
from celeriac.flow.batches.root import Batch
from celeriac.flow.batches.tree import Place
from celeriac.flow.rows import Item
from celeriac.model.shown import shown

type State = Literal["unknown", "open", "running", "succeeded", "dead"]
# Nodes whose items are read at once.
_AT_ONCE = 1_000


class BatchStatus(Struct, frozen=True):
    """What is known of a batch. The counts are those of a moment: members go on."""

    state: State
    """`open`: the block that fills it runs, or was left by an error. `running`: it is sealed, and members are to end.
    `dead`: all have ended, and some are dead letters. `succeeded`: all have succeeded. `unknown`: there is none."""
    total: int = 0
    """How many members it has; 0 while it is open."""
    succeeded: int = 0
    """How many of them have succeeded; 0 while it is open."""
    dead: int = 0
    """How many are dead letters, were cancelled or have expired; 0 while it is open. A redriven one is counted until it
    has succeeded."""
    has_fired: bool = False
    """Whether its `then` was sent, or there is none and all have succeeded."""
    has_told: bool = False
    """Whether its `dead` was sent."""
    opened_at: datetime | None = None
    sealed_at: datetime | None = None

    @property
    def missing(self) -> int:
        """How many members have neither succeeded nor are dead."""
        return self.total - self.succeeded - self.dead


class DeadMember(Struct, frozen=True):
    """A member of a batch that is a dead letter, was cancelled, or has expired."""

    index: int
    """Its number in the batch, from 0 on."""
    ref: str
    """Its reference, for `celeriac.handle(ref)` and the commands; empty if it isn't known."""
    queue: str
    """The queue that it came from; its letter is in that one's dead-letter queue. Empty if it isn't known."""

    def __repr__(self) -> str:
        return shown(self, "index", "ref", "queue")


def status_of(batch: Batch | None) -> BatchStatus:
    """The status of a batch. It reads the nodes that aren't full, a hundred in a call. Raises AWS's errors."""
    if batch is None:
        return BatchStatus("unknown")
    known: dict[str, Any] = {
        "has_fired": batch.fired,
        "has_told": batch.dead_told,
        "opened_at": batch.opened_at,
        "sealed_at": batch.sealed_at,
    }
    total = batch.total
    if total is None:
        return BatchStatus("open", **known)
    if batch.fired:
        return BatchStatus("succeeded", total, total, **known)
    succeeded = dead = 0
    for leaf, item in _leaves(batch, total):
        size = tree.members_under(0, leaf, total)
        succeeded += size if item is None else len(item.get(nodes.DONE, ()))
        dead += 0 if item is None else len(item.get(nodes.DEAD, ()))
    state: State = "running"
    if succeeded + dead >= total:
        state = "dead" if dead else "succeeded"
    return BatchStatus(state, total, succeeded, dead, **known)


def dead_members(batch: Batch | None, *, after: int = -1, most: int = 100) -> list[DeadMember]:
    """The dead members behind the one with the number `after`, at most so many. Raises AWS's errors."""
    if batch is None or batch.total is None or batch.fired:
        return []
    found: list[int] = []
    for leaf, item in _leaves(batch, batch.total, first=max(after + 1, 0) // tree.WIDTH):
        numbers = sorted(leaf * tree.WIDTH + int(child) for child in (item or {}).get(nodes.DEAD, ()))
        found += [number for number in numbers if number > after]
        if len(found) >= most:
            break
    member = batch.member()
    known = rows.read_many([items.dead_of(member, index) for index in found[:most]], strong=True)
    made = [(index, known.get(items.dead_of(member, index), {})) for index in found[:most]]
    return [DeadMember(index, str(item.get("ref", "")), str(item.get("queue", ""))) for index, item in made]


def _leaves(batch: Batch, total: int, *, first: int = 0) -> Iterator[tuple[int, Item | None]]:
    """The leaves from `first` on, in order: each with its item, or None if it is known to be full."""
    member, level = batch.member(), 0
    while tree.nodes_of(level, total) > 1:
        level += 1
    open_nodes = [0]
    for above in range(level, 0, -1):
        children: list[int] = []
        for number, item in _read(member, above, open_nodes):
            is_done = {int(child) for child in item.get(nodes.DONE, ())}
            there = range(number * tree.WIDTH, min((number + 1) * tree.WIDTH, tree.nodes_of(above - 1, total)))
            children += [child for child in there if child % tree.WIDTH not in is_done]
        open_nodes = children
    count = tree.nodes_of(0, total)
    left = [leaf for leaf in open_nodes if leaf >= first]
    by_number = _read(member, 0, left)
    unread = dict.fromkeys(left)
    for leaf in range(first, count):
        if leaf in unread:
            yield next(by_number)
        else:
            yield leaf, None


def _read(member: Any, level: int, numbers: Sequence[int]) -> Iterator[tuple[int, Item]]:
    for start in range(0, len(numbers), _AT_ONCE):
        some = numbers[start : start + _AT_ONCE]
        keys = {number: items.node_of(member, Place(level, number, 0)) for number in some}
        found = rows.read_many(list(keys.values()), strong=True)
        yield from ((number, found.get(keys[number], {})) for number in some)
