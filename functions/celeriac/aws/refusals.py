"""The entries of a batch that AWS didn't accept: why, and how often they are sent again."""

import random
from collections.abc import Callable, Sequence

from msgspec import Struct

from celeriac.aws import pause
from celeriac.aws.client import error_code
from celeriac.model.failure import error_type

# If AWS accepts only part of a batch, the cause is mostly throttling, which passes in fractions of a second.
MOST_TRIES = 3
FIRST_WAIT_SECONDS = 0.1


class Refusal(Struct, frozen=True):
    """Why an entry wasn't accepted."""

    why: str
    final: bool = False
    """Whether every other try would fail in the same way."""
    of_entry: bool = False
    """Whether the entry itself is wrong, as far as this release and AWS can tell. Other entries aren't concerned."""


# AWS's codes for a request that is itself wrong.
WRONG = frozenset({
    "InvalidMessageContents", "InvalidParameterValue", "InvalidAttributeValue", "InvalidParameter", "MissingParameter",
    "UnsupportedOperation", "ValidationError", "ValidationException",
})  # fmt: skip


def is_of_entry(error: Exception) -> bool:
    """Whether an entry is wrong: AWS says so, or it could not even be made. If not, AWS can't be reached."""
    from botocore.exceptions import BotoCoreError  # noqa: PLC0415 - a producer needs it only after an error

    code = error_code(error)
    return code.rpartition(".")[2] in WRONG if code else not isinstance(error, OSError | BotoCoreError)


def why(error: Exception) -> Refusal:
    """The refusal of an entry whose call ended with this error."""
    return Refusal(f"{error_code(error) or error_type(error)}: {error}", of_entry=is_of_entry(error))


def insist[T](entries: Sequence[T], send: Callable[[Sequence[T]], list[Refusal | None]]) -> list[Refusal | None]:
    """Send entries. Entries that weren't accepted are sent again up to twice.

    Returns, for each entry, None or why it wasn't accepted.
    """
    refusals: list[Refusal | None] = send(entries)
    for attempt in range(1, MOST_TRIES):
        again = [i for i, refusal in enumerate(refusals) if refusal is not None and not refusal.final]
        if not again:
            break
        wait(attempt)
        for i, refusal in zip(again, send([entries[i] for i in again]), strict=True):
            refusals[i] = refusal
    return refusals


def wait(attempt: int) -> None:
    """Wait after the `attempt`-th try. Each wait is longer, and partly random, so that workers don't try in step."""
    pause.wait(random.uniform(0.5, 1) * FIRST_WAIT_SECONDS * 2 ** (attempt - 1))  # noqa: S311 - no secret
