"""Whether the calling code is in the block of a transaction."""

from contextvars import ContextVar
from typing import Protocol


class Openable(Protocol):
    """A transaction, as this module knows it."""

    @property
    def is_open(self) -> bool:
        """Whether its block runs."""


entered: ContextVar[Openable | None] = ContextVar("transaction", default=None)
"""The transaction that this thread or async task has entered last. It may be over."""


def is_in_transaction() -> bool:
    """Whether the block of a transaction runs."""
    last = entered.get()
    return last is not None and last.is_open
