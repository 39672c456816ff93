"""Why a message is a dead letter: what travels with it to the dead-letter queue."""

import hashlib
import re
import traceback
from datetime import datetime

import msgspec

_VALUES = re.compile(r"""'[^']*'|"[^"]*"|`[^`]*`|\b[0-9a-fA-F-]*\d[0-9a-zA-Z_.:-]*""")
# A dead letter must fit into SQS beside its payload, and a person reads the end of a traceback first.
MESSAGE_CHARACTERS = 2_000
TRACEBACK_CHARACTERS = 8_000


class Failure(msgspec.Struct, frozen=True, omit_defaults=True):
    """The last error of a task, and the story before it. It holds the error's own text, which may quote the payload:
    it goes where the payload goes, and is never logged.
    """

    reason: str
    """A `Reason`; or the text of one that only a newer release knows."""
    type: str = ""
    """The error's class, with its module unless it is a builtin."""
    message: str = ""
    traceback: str = ""
    attempts: int = 0
    """Runs that were counted against it."""
    first_at: datetime | None = None
    """When it was enqueued."""
    last_at: datetime | None = None
    """When it failed for the last time."""
    function: str = ""
    """The Lambda function that gave up on it."""
    request_id: str = ""
    """That function's invocation: the way to its logs."""
    imported: str = ""
    """Which `celeriac dlq import` put the letter back: a death of its own, so that a redrive runs it also where its
    task has died again since it was exported."""


def fingerprint(task: str, failure: Failure) -> str:
    """Twelve characters that are the same for failures of one kind: the same task, error and wording.

    Numbers, ids and quoted values don't count as wording: "no order 7" and "no order 8" are one kind.
    """
    wording = _VALUES.sub("?", failure.message)
    return hashlib.sha256(f"{task}\n{failure.type}\n{wording}".encode()).hexdigest()[:12]


def error_type(error: BaseException) -> str:
    """The error's class as people write it: `ValueError`, `tasks.payments.ProviderError`, `celeriac.Reject`."""
    cls = type(error)
    # Where in the library it is defined is no user's business, and may change.
    home = "celeriac" if cls.__module__.startswith("celeriac.") else cls.__module__
    return cls.__qualname__ if home == "builtins" else f"{home}.{cls.__qualname__}"


def error_place(error: BaseException) -> str:
    """Where it was raised, as `file.py:12 function`: what a log may say of an error, whose text may hold a payload."""
    frames = traceback.extract_tb(error.__traceback__, limit=-1)
    return f"{frames[0].filename}:{frames[0].lineno} {frames[0].name}" if frames else ""


def error_message(error: BaseException) -> str:
    """The error's own text, cut to a readable length; an error that can't even be printed says so."""
    try:
        text = str(error)
    except Exception as broken:  # noqa: BLE001 - any __str__ of the user's
        text = f"<its text can't be had: {error_type(broken)}>"
    return _cut(text, MESSAGE_CHARACTERS)


def error_traceback(error: BaseException) -> str:
    """The end of the traceback."""
    try:
        text = "".join(traceback.format_exception(error))
    except Exception as broken:  # noqa: BLE001 - any __str__ of the user's
        text = f"<its traceback can't be had: {error_type(broken)}>"
    return _cut(text, TRACEBACK_CHARACTERS)


def _cut(text: str, limit: int) -> str:
    # Lone surrogates are legal in a Python string and not in UTF-8: what can't be encoded can't be sent.
    text = text.encode("utf-8", "backslashreplace").decode().translate({0xFFFE: "?", 0xFFFF: "?"})
    # The end of a traceback says most, and an error that wraps another quotes it last.
    return text if len(text) <= limit else f"({len(text) - limit} characters before) ...{text[-limit:]}"
