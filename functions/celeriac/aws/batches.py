"""What AWS says of the entries of a batch that it didn't take, and how often it is asked again."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from celeriac.aws import pause

# A batch that was taken in part is mostly a throttle's doing, and those pass in fractions of a second.
MOST_TRIES = 3
FIRST_WAIT_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why something wasn't sent."""

    why: str
    final: bool = False
    """Whether it is the same at every try."""


def insist[T](entries: Sequence[T], send: Callable[[Sequence[T]], list[Refusal | None]]) -> list[Refusal | None]:
    """What became of each entry, after those that weren't taken were sent again up to twice."""
    problems: list[Refusal | None] = send(entries)
    for attempt in range(1, MOST_TRIES):
        again = [i for i, problem in enumerate(problems) if problem is not None and not problem.final]
        if not again:
            break
        wait(attempt)
        for i, problem in zip(again, send([entries[i] for i in again]), strict=True):
            problems[i] = problem
    return problems


def wait(attempt: int) -> None:
    """Wait before the try after the `attempt`-th, longer each time and never in step with anybody else."""
    pause.wait(random.uniform(0.5, 1) * FIRST_WAIT_SECONDS * 2 ** (attempt - 1))  # noqa: S311 - no secret
