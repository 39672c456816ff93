"""The reports of a batch's members. Each is a write on a leaf, and one more on the node above for each node it fills.

Whoever fills a node goes on above it, until the top is full. Two may both see that they have filled it, and both go on:
a number in a set counts once. One that dies in between is followed by a copy of its message, which reports again.
"""

from typing import Literal

from celeriac.flow import rows
from celeriac.flow.batches import items, tree
from celeriac.flow.batches.tree import Last, Place
from celeriac.flow.rows import Item, Refused, Write
from celeriac.model.following import OfBatch

DONE, DEAD, SIZE, TOP, TOLD = "done", "dead", "size", "top", "told"
_NAMES = {"#done": DONE, "#dead": DEAD}
_OF_DEAD = {"#ref": "ref", "#queue": "queue"}

type News = Literal["", "all done", "first dead"]
"""What a report has found: nothing new; that all members are done; that the first member of a leaf is dead."""


def done(batch: OfBatch, place: Place) -> News:
    """Count a child that is done, and every node that is full by it. Raises AWS's errors."""
    while True:
        write = Write(
            "", {":child": frozenset({place.child})}, adds=["#done :child"], deletes=["#dead :child"], names=_NAMES
        )
        node = rows.update(items.node_of(batch, place), write, lives_until=items.long())
        above = _above(place, node) if not isinstance(node, Refused) else ""
        if not isinstance(above, Place):
            return above
        place = above


def dead(batch: OfBatch, place: Place) -> News:
    """Note that a member is dead, unless it was done before. Raises AWS's errors."""
    write = Write(
        "NOT contains(#done, :number)",
        {":child": frozenset({place.child}), ":number": place.child},
        adds=["#dead :child"],
        names=_NAMES,
    )
    node = rows.update(items.node_of(batch, place), write, lives_until=items.long())
    return "first dead" if not isinstance(node, Refused) and TOLD not in node else ""


def has_told(batch: OfBatch, place: Place) -> None:
    """Note that its batch knows of a leaf's dead member. Raises AWS's errors."""
    write = Write("", {":yes": 1}, ["#told = :yes"], names={"#told": TOLD})
    rows.update(items.node_of(batch, place), write, lives_until=items.long())


def close(batch: OfBatch, total: int) -> News:
    """Tell the last node of each level how many children it has. If it is full already, go on as who filled it.

    Raises AWS's errors.
    """
    news: News = "all done" if not total else ""
    for last in tree.lasts(total):
        place = Place(last.level, last.node, 0)
        node = _sized(batch, place, last)
        above = _above(place, node)
        came = done(batch, above) if isinstance(above, Place) else above
        news = came or news
    return news


def _sized(batch: OfBatch, place: Place, last: Last) -> Item:
    write = Write(
        "",
        {":size": last.size, ":top": int(last.is_top)},
        ["#size = :size", "#top = :top"],
        names={"#size": SIZE, "#top": TOP},
    )
    node = rows.update(items.node_of(batch, place), write, lives_until=items.long())
    return {} if isinstance(node, Refused) else node


def _above(place: Place, node: Item) -> Place | News:
    """Where to count a node that is full; the news if it is the top, or isn't full."""
    if len(node.get(DONE, ())) < int(node.get(SIZE, tree.WIDTH)):
        return ""
    return "all done" if int(node.get(TOP, 0)) else tree.above(place)


def name_dead(batch: OfBatch, index: int, *, ref: str, queue: str) -> None:
    """Note which task a dead member is, and where it came from. Raises AWS's errors."""
    write = Write("", {":ref": ref, ":queue": queue}, ["#ref = :ref", "#queue = :queue"], names=_OF_DEAD)
    rows.update(items.dead_of(batch, index), write, lives_until=items.long())
