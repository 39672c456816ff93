"""Which run the calling code is part of. Lines that a task prints and logs carry the run's task, id and attempt."""

from contextvars import Context, ContextVar, Token
from typing import Any, Self

from msgspec import Struct, field

from celeriac.model.queue import Queue


class RunInfo(Struct, eq=False):
    """One attempt of a task. `with run:` makes this thread, and the async tasks that it starts, part of the run.

    A run has only fields that a log may contain: never the payload, never the key.
    """

    task: str
    id: str
    attempt: int
    request_id: str
    """The request id of the Lambda invocation."""
    life: str = ""
    """Which redrive of the message it is; empty if there was none."""
    queue: Queue | None = None
    """The queue that the message came from; None if the run isn't that of a task's function."""
    sent_as: str = ""
    """The task's name in the message; `task` is another one if it was renamed since."""
    has_cursor: bool = False
    """Whether the run went on from a cursor, or has given one."""
    has_committed: bool = False
    """Whether it has recorded the success, in a transaction: nothing of it is done again."""
    batches: set[str] = field(default_factory=set)
    """The names of the batches without a key that the run has begun."""
    open_batches: int = 0
    """In how many blocks of batches it is."""
    unended: dict[tuple[Any, int], str] = field(default_factory=dict)
    """Printed text whose line hasn't ended, by stream and thread."""
    _token: "Token[RunInfo | None] | None" = None

    @property
    def fields(self) -> dict[str, str | int]:
        """The fields that each line of this run carries. The line of the run's outcome uses the same names."""
        return {"task": self.task, "id": self.id, "attempt": self.attempt, "request_id": self.request_id}

    def __enter__(self) -> Self:
        self._token = _current.set(self)
        return self

    def __exit__(self, *error: object) -> None:
        if self._token is not None:
            _current.reset(self._token)
        while self.unended:
            (stream, _), text = self.unended.popitem()
            stream.put(self, text)


_current: ContextVar[RunInfo | None] = ContextVar("run", default=None)
current = _current.get
"""The run that this thread or async task is part of; None outside of a run. A thread that a task starts itself is
outside, because Python 3.13 passes no context variable on to a new thread. `asyncio.to_thread` is inside."""


def of(context: Context) -> RunInfo | None:
    """Return the run that the code in `context` is part of."""
    return context.get(_current)
