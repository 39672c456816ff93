"""The entries of a batch that AWS didn't accept: why, and how often they are sent again."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from celeriac.aws import pause

# If AWS accepts only part of a batch, the cause is mostly throttling, which passes in fractions of a second.
MOST_TRIES = 3
FIRST_WAIT_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why an entry wasn't accepted."""

    why: str
    final: bool = False
    """Whether every other try would fail in the same way."""


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
