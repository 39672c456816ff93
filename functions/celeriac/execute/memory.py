"""What a task still holds after it ran out of memory."""

import traceback
from collections.abc import Iterator


def give_back(error: BaseException) -> None:
    """Free the variables of the task that raised `error`, if memory ran out.

    The error's frames keep them. The end of the run needs memory too: without any it couldn't record the failure, and
    the worker would die.
    """
    if any(isinstance(each, MemoryError) for each in _chain(error)):
        for each in _chain(error):
            traceback.clear_frames(each.__traceback__)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error, and those during which it was raised."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        yield error
        seen.add(id(error))
        error = error.__cause__ or error.__context__
