"""What is told of a hook that raises or overruns: a line in the log, once for each kind in a process, and a count."""

import logging
from contextlib import suppress

from celeriac.model.failure import error_place, error_type
from celeriac.model.forks import Lock, after_fork_in_child

# A producer has no other logger of ours: importing Powertools' would take it 60 ms. In a worker, the handler of the
# root logger writes these lines as all others, with the task, id and attempt.
_logger = logging.getLogger("celeriac.hooks")
_told: set[tuple[str, str, str]] = set()
_count = 0
_counting = Lock()


def report(hook: object, method: str, error: BaseException) -> None:
    """Log and count that `method` of a hook has failed. The error's text may quote a payload, so it isn't logged."""
    global _count  # noqa: PLW0603 - a process has one count
    name, kind = hook if isinstance(hook, str) else name_of(hook), error_type(error)
    with _counting:
        _count += 1
        is_new = (name, method, kind) not in _told
        _told.add((name, method, kind))
    if is_new:
        extra = {"hook": name, "method": method, "error": kind, "where": error_place(error)}
        with suppress(Exception):  # a logging filter of the team's may raise, too
            _logger.error("a hook failed and is left out, the message goes on", extra=extra)


def name_of(hook: object) -> str:
    """The hook's class, with its module."""
    cls = type(hook)
    return f"{cls.__module__}.{cls.__qualname__}"


def take_count() -> int:
    """Return how many calls of hooks have failed since this was last called."""
    global _count
    with _counting:
        taken, _count = _count, 0
    return taken


def forget() -> None:
    """Log each kind again, as in a new process."""
    with _counting:
        _told.clear()


def _renew_in_child() -> None:
    forget()
    take_count()


after_fork_in_child(_renew_in_child)
