"""An action, with its line in the activity before and after."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from celeriac_console.explain import explanation
from celeriac_console.web.activity import store
from celeriac_console.web.activity.reason import failed
from celeriac_console.web.guard.operator import Operator

_BEGUN = "the action was begun"
"""A note on an error: a part of the action may be done."""


@dataclass(slots=True)
class Outcome:
    """What an action sets while it works."""

    count: int | None = None
    """How many it was done to."""
    said: str = "done"
    """How it ended, in a few words, without any argument of a task."""


@contextmanager
def noted(operator: Operator, what: str, where: Mapping[str, str]) -> Iterator[Outcome]:
    """Write a line, let the block act, and add how it ended. If the line can't be written, the block doesn't run.

    What is done is done, also if its end can't be written: then the operator is told, and no error is raised.
    """
    number = store.begin(operator.name, what, where)
    outcome = Outcome()
    try:
        yield outcome
    except BaseException as error:
        error.add_note(_BEGUN)
        _end(operator, number, outcome.count, failed(error))
        raise
    _end(operator, number, outcome.count, outcome.said)


def is_begun(error: BaseException) -> bool:
    """Whether an error came after an action's line was written, so that a part of it may be done."""
    return _BEGUN in getattr(error, "__notes__", ())


def _end(operator: Operator, number: int, count: int | None, said: str) -> None:
    try:
        store.end(number, count, said)
    except Exception as error:
        if explanation(error) is None:
            raise
        operator.session.said.append(f"How this ended isn't in the activity: {failed(error)}.")
