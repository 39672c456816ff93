"""A task with its arguments, which isn't sent yet: the callback of a batch, or a step of a chain."""

from collections.abc import Mapping
from typing import Any, Protocol

from msgspec import Struct

from celeriac.declare.handle import Handle
from celeriac.declare.signature import Signature
from celeriac.enqueue.send import Parcel
from celeriac.model.following import THE_RESULT, OfBatch, OfChain, Result
from celeriac.model.once import Debounce, Unique
from celeriac.model.queue import Queue

RESULT: Any = THE_RESULT
"""As an argument of a chain's step: the result of the step before. `parse.bind(page=RESULT)`."""


class Composable[R](Protocol):
    """A task, as a batch and a chain know it."""

    name: str
    queue: Queue
    key: str | None
    unique: Unique | None
    debounce: Debounce | None

    @property
    def signature(self) -> Signature:
        """The schema of its payload."""

    @property
    def has_time(self) -> bool:
        """Whether its options name an instant."""

    @property
    def has_own_key(self) -> bool:
        """Whether its options name its key."""

    def composed(
        self,
        arguments: Mapping[str, Any],
        message_id: str,
        *,
        batch: OfBatch | None = None,
        chain: OfChain | None = None,
        has_gaps: bool = False,
    ) -> tuple[Parcel, Handle[R]]:
        """The parcel and the handle."""

    def handle_of(self, message_id: str, key: str) -> Handle[R]:
        """The handle of a message that isn't sent yet."""


class Bound[R](Struct, frozen=True):
    """A task with its arguments. `R` is the type of its result. Made by `task.bind(...)`."""

    task: Composable[R]
    """The task, with its options."""
    arguments: Mapping[str, Any]
    """The arguments by their names, without those that are the result of the step before."""
    results: tuple[str, ...] = ()
    """The names of those that are."""

    def __repr__(self) -> str:
        """The task's name: the arguments may be secret."""
        return f"<{self.task.name}.bind(...)>"


def split(arguments: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The arguments that are given, and the names of those that are RESULT."""
    given = {name: value for name, value in arguments.items() if value is not THE_RESULT}
    return given, tuple(name for name in arguments if name not in given)


def holds_result(value: object) -> bool:
    """Whether RESULT stands inside a value, where nothing fills it in."""
    if isinstance(value, Result):
        return True
    if isinstance(value, Mapping):
        return any(holds_result(one) for one in value.values())
    return isinstance(value, list | tuple | set | frozenset) and any(holds_result(one) for one in value)
