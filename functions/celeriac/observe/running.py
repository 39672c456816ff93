"""Which run of a task the code that asks is part of: what a task prints and logs carries its name, id and attempt."""

from contextvars import ContextVar, Token
from dataclasses import dataclass, field
from typing import Any, Self


@dataclass(eq=False, slots=True)
class Run:
    """One attempt of a task: `with run:` makes this thread, and the async tasks that it begins, part of it.

    It names what a log may know: never the payload, never the key.
    """

    task: str
    id: str
    attempt: int
    request_id: str
    """The Lambda invocation."""
    unended: dict[tuple[Any, int], str] = field(default_factory=dict)
    """What was printed without the end of its line, by stream and thread."""
    _token: "Token[Run | None] | None" = None

    @property
    def fields(self) -> dict[str, str | int]:
        """What each line of this run carries, by the names that the line of its outcome uses."""
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


_current: ContextVar[Run | None] = ContextVar("run", default=None)
current = _current.get
"""The run that this thread or async task is part of; None outside of any. A thread that a task starts by itself is
outside, as it is for every context variable of Python 3.13; `asyncio.to_thread` is inside."""
