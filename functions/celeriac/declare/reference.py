"""The reference of a task that was enqueued: one word that names task, id and key, for commands, URLs and databases.

The word is `<task>/<id>`, or `<task>/<id>/<key>` if the key isn't the id. At its end stands `@<seconds since 1970>`:
when the message is due. A reference that was made without sending has no such end. Each part is percent-encoded.
"""

from datetime import UTC, datetime
from urllib.parse import quote, unquote

from msgspec import Struct

from celeriac.model.errors import CeleriacError

_PARTS = (2, 3)


class InvalidReferenceError(CeleriacError, ValueError):
    """A text that isn't the reference of a task."""


class Reference(Struct, frozen=True):
    """The parts of a reference."""

    task: str
    id: str
    """Empty if only the key is known."""
    key: str
    """The key as the sender gave it, without the task's name."""
    due: datetime | None = None
    """When the message is due; None if nothing was sent for this reference."""

    def __str__(self) -> str:
        """The reference as one word."""
        parts = [self.task, self.id] + ([self.key] if self.key != self.id else [])
        due = f"@{int(self.due.timestamp())}" if self.due is not None else ""
        return "/".join(quote(part, safe="") for part in parts) + due


def parse(text: str) -> Reference:
    """The parts of a reference. Raises InvalidReferenceError."""
    if not isinstance(text, str):
        raise InvalidReferenceError(f"{text!r} is no reference of a task: one is a text, <task>/<id>")
    words, at, seconds = text.strip().partition("@")
    try:
        parts = [unquote(part, errors="strict") for part in words.split("/")]
    except UnicodeDecodeError:
        parts = []
    if len(parts) not in _PARTS or not parts[0] or not any(parts[1:]) or (at and not seconds.isdecimal()):
        raise InvalidReferenceError(f"{text!r} is no reference of a task: one is <task>/<id>, or <task>/<id>/<key>")
    try:
        due = datetime.fromtimestamp(int(seconds), UTC) if at else None
    except (OverflowError, OSError, ValueError) as error:
        raise InvalidReferenceError(f"{text!r} is no reference of a task: its time can't be read") from error
    return Reference(parts[0], parts[1], parts[-1], due)
