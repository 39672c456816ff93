"""How a run ends that goes on in the next invocation."""

from datetime import timedelta
from typing import Any

from celeriac.model.errors import CeleriacError
from celeriac.model.guarantee import Guarantee

MOST_CURSOR = 8 * 1024
"""Bytes of a cursor's JSON. DynamoDB counts the whole record at each of its writes."""
MOST_PARTS = 10_000
"""So often a task goes on in another invocation."""
CONTINUES = "continues"
"""What a record says of such a run. It is no dead letter's reason."""
EVERY = timedelta(seconds=1)
"""How long a new cursor waits for its write: one for each of a million rows would cost more than the work."""


class Continue(BaseException):
    """Ends a run at a checkpoint, because its time is almost over. The task goes on in the next invocation.

    It isn't an `Exception`, so that `except Exception` in a task doesn't swallow it.
    """


def goes_on(error: BaseException | None) -> bool:
    """Whether a run has ended at a checkpoint. One in a task group of asyncio raises a group of errors."""
    if isinstance(error, BaseExceptionGroup):
        return error.split(Continue)[1] is None
    return isinstance(error, Continue)


class NoProgressError(CeleriacError):
    """A run had no time left, and its cursor hadn't moved: the attempt has failed."""

    def __init__(self) -> None:
        super().__init__(
            "its time was over at a checkpoint, and its cursor hadn't moved in this run: make the steps between two "
            "checkpoints smaller, or raise the timeout of its queue"
        )


class TooManyPartsError(CeleriacError):
    """The task has gone on too often."""

    def __init__(self) -> None:
        super().__init__(
            f"it has gone on {MOST_PARTS:,} times, or to its queue's last receive: enqueue a task for each share"
        )


def refusal(task: str, guarantee: Guarantee) -> str:
    """Why a task of this guarantee can't save how far it is; empty if it can."""
    if guarantee == "effectively_once":
        return ""
    why = "there is no record of its runs" if guarantee == "at_least_once" else "it never runs again"
    return f"task {task!r} is {guarantee}, so {why}: only an effectively_once task can save how far it is"


def check_every(every: object) -> None:
    """Raise TypeError if the time between two checkpoints is none."""
    if not isinstance(every, timedelta):
        raise TypeError(f"checkpoint(): every is {every!r}, write a timedelta, such as timedelta(seconds=1)")


def cursor_text(cursor: Any) -> str:
    """A cursor as JSON. Raises ValueError if it has no JSON form, or is larger than 8 KB, and TypeError for None."""
    import json  # noqa: PLC0415 - a producer doesn't need it

    import msgspec  # noqa: PLC0415 - the same

    from celeriac.model.values import to_json  # noqa: PLC0415 - the same

    if cursor is None:
        raise TypeError("a checkpoint's cursor says how far the task is: None means that it hasn't begun")
    try:
        text = json.dumps(msgspec.to_builtins(cursor, str_keys=True, enc_hook=to_json), allow_nan=False)
        msgspec.json.decode(text)  # half of a surrogate pair can be written, and not read
    except Exception as error:  # a model's own code may raise anything
        raise ValueError(
            f"a checkpoint's cursor must be JSON, and this {type(cursor).__name__} has no form in it"
        ) from error
    if len(text) > MOST_CURSOR:
        raise ValueError(
            f"a checkpoint's cursor says how far the task is, such as the last row's key: {len(text):,} bytes are more "
            f"than {MOST_CURSOR:,}; keep what the task has made in S3 or in a table"
        )
    return text
