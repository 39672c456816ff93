"""Why a message is a dead letter. The failure travels with the message to the dead-letter queue."""

import hashlib
import re
import traceback
from datetime import datetime

import msgspec

from celeriac.model.reason import Reason

_VALUES = re.compile(r"""'[^']*'|"[^"]*"|`[^`]*`|\b[0-9a-fA-F-]*\d[0-9a-zA-Z_.:-]*""")
# The failure must fit into one SQS message together with the payload. People read the end of a traceback first.
MESSAGE_CHARACTERS = 2_000
TRACEBACK_CHARACTERS = 8_000
# DynamoDB charges a write by the kibibyte of the whole item. So records keep this much of each text, as JSON in UTF-8:
# with it, the record of a failed attempt is smaller than 2 KiB.
RECORDED_BYTES = 450
# The longest text that `_cut` makes. A sender may write a longer one: the time to find its values is quadratic.
WORDING_CHARACTERS = MESSAGE_CHARACTERS + 50


class Failure(msgspec.Struct, frozen=True, omit_defaults=True):
    """The last error of a task, and the history before it.

    A failure contains the error's text, which may quote the payload. So it is stored only where the payload is stored,
    and is never logged.
    """

    reason: str
    """A `Reason`, or the text of a reason that only a newer release knows."""
    type: str = ""
    """The error's class, with its module unless the class is a builtin."""
    message: str = ""
    traceback: str = ""
    attempts: int = 0
    """How many runs were charged as attempts."""
    first_at: datetime | None = None
    """When the message was enqueued."""
    last_at: datetime | None = None
    """When the task failed for the last time."""
    function: str = ""
    """The Lambda function that gave up on the message."""
    request_id: str = ""
    """The request id of that function's invocation. It leads to the logs."""
    imported: str = ""
    """The mark of the `celeriac dlq import` that put the letter back. With its mark, an imported letter is a different
    dead letter than the exported one. So a redrive runs it even if the message became a dead letter again since the
    export."""

    @property
    def is_cancelled(self) -> bool:
        """Whether the message was cancelled, or expired before it started. It has no dead letter.

        No error ended it. A dead letter with the reason `expired` has the type of one.
        """
        return not self.type and self.reason in {Reason.CANCELLED, Reason.EXPIRED}


class RecordedFailure(Failure, frozen=True, omit_defaults=True):
    """The form of a failure that records and notes keep: of long texts only the ends."""

    fingerprint: str = ""
    """The fingerprint of the whole failure, if its message was too long."""


def fingerprint(task: str, failure: Failure) -> str:
    """Return twelve characters that are the same for failures of one kind: the same task, error class and wording.

    Numbers, ids and quoted values don't count as wording: "no order 7" and "no order 8" are one kind.
    """
    if isinstance(failure, RecordedFailure) and failure.fingerprint:
        return failure.fingerprint
    wording = _VALUES.sub("?", failure.message[:WORDING_CHARACTERS])
    return hashlib.sha256(f"{task}\n{failure.type}\n{wording}".encode()).hexdigest()[:12]


def recorded(task: str, failure: Failure) -> RecordedFailure:
    """Return a task's failure as records and notes keep it. Only the dead letter has long texts whole."""
    fields = msgspec.structs.asdict(failure)
    if (message := _end(failure.message)) != failure.message:
        fields |= {"message": message, "fingerprint": fingerprint(task, failure)}
    return RecordedFailure(**fields | {"traceback": _end(failure.traceback)})


def error_type(error: BaseException) -> str:
    """Return the error's class as people write it: `ValueError`, `tasks.payments.ProviderError`, `celeriac.Reject`."""
    cls = type(error)
    # The module inside the library is an internal detail, and may change.
    home = "celeriac" if cls.__module__.startswith("celeriac.") else cls.__module__
    return cls.__qualname__ if home == "builtins" else f"{home}.{cls.__qualname__}"


def error_place(error: BaseException) -> str:
    """Return where the error was raised, as `file.py:12 function`.

    A log may contain this place. It may not contain the error's text, which may quote the payload.
    """
    frames = traceback.extract_tb(error.__traceback__, limit=-1)
    return f"{frames[0].filename}:{frames[0].lineno} {frames[0].name}" if frames else ""


def error_message(error: BaseException) -> str:
    """Return the error's text, cut to a readable length. If `str(error)` fails, the returned text says so."""
    try:
        text = str(error)
    except Exception as broken:  # noqa: BLE001 - a user's __str__ may raise anything
        text = f"<its text can't be read: {error_type(broken)}>"
    return _cut(text, MESSAGE_CHARACTERS)


def error_traceback(error: BaseException) -> str:
    """Return the end of the error's traceback."""
    try:
        text = "".join(traceback.format_exception(error))
    except Exception as broken:  # noqa: BLE001 - a user's __str__ may raise anything
        text = f"<its traceback can't be read: {error_type(broken)}>"
    return _cut(text, TRACEBACK_CHARACTERS)


def _end(text: str) -> str:
    if len(msgspec.json.encode(text)) <= RECORDED_BYTES:
        return text
    start, size = len(text), 0
    while (size := size + len(msgspec.json.encode(text[start - 1])) - 2) <= RECORDED_BYTES - len('"..."'):
        start -= 1
    return f"...{text[start:]}"


def _cut(text: str, limit: int) -> str:
    # A Python string may contain lone surrogates. UTF-8 can't encode them, so the text couldn't be sent.
    text = text.encode("utf-8", "backslashreplace").decode().translate({0xFFFE: "?", 0xFFFF: "?"})
    # The end of a traceback is the most useful part. An error that wraps another one quotes it at the end.
    return text if len(text) <= limit else f"({len(text) - limit} characters before) ...{text[-limit:]}"
