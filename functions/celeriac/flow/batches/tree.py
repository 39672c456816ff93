"""The tree that counts the members of a batch: pure arithmetic.

A leaf holds the numbers of up to 256 members as sets. A full node is a child that is done of the node above it. Sets
take a number twice without harm, so no duplicate can corrupt a count. The tree needs no plan: each node counts on 256
children, and only when the batch is sealed, the last node of each level is told how many it has.
"""

from collections.abc import Iterator
from typing import NamedTuple

WIDTH = 256
"""The most children of a node. Its sets fit into about 1 KB, the unit of a write."""


class Place(NamedTuple):
    """A child of a node."""

    level: int
    """0 for a leaf, whose children are members."""
    node: int
    child: int
    """Its number within the node, from 0 on."""


class Last(NamedTuple):
    """The last node of a level."""

    level: int
    node: int
    size: int
    """How many children it has."""
    is_top: bool
    """Whether it is the only node of its level: when it is full, all members are done."""


def of_member(index: int) -> Place:
    """Where a member is counted."""
    return Place(0, index // WIDTH, index % WIDTH)


def above(place: Place) -> Place:
    """Where a node is counted, once it is full."""
    return Place(place.level + 1, place.node // WIDTH, place.node % WIDTH)


def lasts(total: int) -> Iterator[Last]:
    """The last node of each level of a batch of so many members, from the leaves on. None for an empty batch."""
    level, children = 0, total
    while children:
        nodes = -(-children // WIDTH)
        yield Last(level, nodes - 1, children - (nodes - 1) * WIDTH, nodes == 1)
        if nodes == 1:
            return
        level, children = level + 1, nodes


def nodes_of(level: int, total: int) -> int:
    """How many nodes a level has in a batch of so many members."""
    each: int = WIDTH ** (level + 1)
    return -(-total // each)


def members_under(level: int, node: int, total: int) -> int:
    """How many members a node of a level stands for."""
    each: int = WIDTH ** (level + 1)
    return max(min(each, total - node * each), 0)
