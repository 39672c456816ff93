"""An action, with its line in the activity before and after."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from celeriac_console.web.activity import store
from celeriac_console.web.activity.reason import failed


@dataclass(slots=True)
class Outcome:
    """What an action sets while it works."""

    count: int | None = None
    """How many it was done to."""
    said: str = "done"
    """How it ended, in a few words, without any argument of a task."""


@contextmanager
def noted(who: str, what: str, where: Mapping[str, str]) -> Iterator[Outcome]:
    """Write a line, let the block act, and add how it ended. If the line can't be written, the block doesn't run."""
    number = store.begin(who, what, where)
    outcome = Outcome()
    try:
        yield outcome
    except BaseException as error:
        store.end(number, outcome.count, failed(error))
        raise
    store.end(number, outcome.count, outcome.said)
