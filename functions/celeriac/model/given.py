"""What a program has given to `celeriac.configure`. Where Celeriac itself runs the tasks, the environment decides."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from celeriac.model.errors import CeleriacError
from celeriac.model.forks import Lock

if TYPE_CHECKING:
    from boto3.session import Session


class AlreadyConfiguredError(CeleriacError, RuntimeError):
    """`celeriac.configure` was called with other values after Celeriac had been used."""


class Given(NamedTuple):
    """The values that were given. None means that the environment has the value."""

    stage: str | None = None
    region: str | None = None
    application: str | None = None
    session: "Session | None" = None


_given = Given()
_is_used = False
"""Whether a client was made, so that other values would lead to another place."""
_environment_decides = False
_changing = Lock()


def values() -> Given:
    """What was given."""
    return _given if not _environment_decides else Given()


@contextmanager
def used() -> Iterator[Given]:
    """What was given, for a client that the block makes: from now on, other values are refused, unless it fails."""
    global _is_used  # noqa: PLW0603 - a process works in one place
    if _environment_decides:
        yield Given()
        return
    with _changing:
        before, _is_used, found = _is_used, True, _given
    try:
        yield found
    except BaseException:
        _is_used = before
        raise


def change(to: Given) -> None:
    """Take other values. Raises AlreadyConfiguredError if the process has used those it has."""
    global _given  # noqa: PLW0603 - see `used`
    with _changing:
        if _environment_decides or to == _given:
            return
        if _is_used:
            raise AlreadyConfiguredError(
                "celeriac.configure has other values than this process has worked with, and a process works in one "
                "place: call it once, before the first use, or use another process"
            )
        _given = to


def leave_to_environment() -> None:
    """From now on, nothing that is given counts: in workers, in the command `celeriac`, and while stacks are made.

    They import the tasks, and a module of tasks, or one that it imports, may call `configure`.
    """
    global _environment_decides  # noqa: PLW0603 - see `used`
    _environment_decides = True


@contextmanager
def environment_decides() -> Iterator[None]:
    """In the block, nothing that is given counts."""
    global _environment_decides  # noqa: PLW0603 - see `used`
    before, _environment_decides = _environment_decides, True
    try:
        yield
    finally:
        _environment_decides = before
