"""The subscribers of an event, as far as this process knows them.

The tasks are registered in a room above this one. The registry puts its look-up here.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple


class Subscriber(NamedTuple):
    """A task that subscribes to an event."""

    task: str
    fifo: bool
    """Whether its queue keeps an order."""


def _nobody(event: str) -> Sequence[Subscriber]:  # noqa: ARG001 - the form of the look-up
    return ()


look_up: Callable[[str], Sequence[Subscriber]] = _nobody
"""Returns the subscribers of an event by its type."""
