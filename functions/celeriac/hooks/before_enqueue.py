"""Calls `before_enqueue` of each hook, for a message that is made."""

import inspect
from collections.abc import Callable
from contextvars import ContextVar
from typing import TYPE_CHECKING

from celeriac.execute.call import WorkerLost
from celeriac.hooks import broken
from celeriac.hooks.events import BeforeEnqueue
from celeriac.hooks.hook import Hooks
from celeriac.model import headers as rules
from celeriac.model.errors import CeleriacError
from celeriac.observe import running

if TYPE_CHECKING:
    from celeriac.hooks.registered import Registered


_at_work: ContextVar[tuple[Hooks, ...]] = ContextVar("hooks at work", default=())
"""The hooks whose `before_enqueue` runs now. What a hook enqueues there would else call it again, without an end."""


class HeaderError(CeleriacError, ValueError):
    """A hook has set a header that can't be sent. The headers of this hook are left out."""


def headers(registered: "Registered", event: Callable[[dict[str, str]], BeforeEnqueue]) -> dict[str, str] | None:
    """Return the headers that the hooks give a message; None if they give none. Never raises an Exception.

    event: makes the event of one hook, with the headers of the hooks before it. Each hook gets a dict of its own, so
    one that fails leaves nothing behind. A message that a hook enqueues meanwhile isn't told to that hook.
    """
    found: dict[str, str] = {}
    outer = _at_work.get()
    for hook in registered.before_enqueue:
        if any(hook is each for each in outer):
            continue
        token = _at_work.set((*outer, hook))
        try:
            made = event(dict(found))
            answer: object = hook.before_enqueue(made)  # type: ignore[func-returns-value]  # an async one returns something
            if inspect.iscoroutine(answer):
                answer.close()
                raise TypeError("before_enqueue is async: write a plain method")  # noqa: TRY301 - reported like the rest
            found = _checked(made.headers)
        except WorkerLost:
            raise
        except BaseException as error:  # whatever a hook raises, the message is sent
            if isinstance(error, KeyboardInterrupt) and running.current() is None:
                raise  # a person stops the program, and nothing was sent
            broken.report(hook, "before_enqueue", error)
        finally:
            _at_work.reset(token)
    return found or None


def _checked(found: dict[str, str]) -> dict[str, str]:
    for name, value in found.items():
        if (why := rules.problem(name, value)) is not None:
            raise HeaderError(why)
    kept = rules.kept(found)
    if len(kept) < len(found):
        raise HeaderError(f"the headers have more than {rules.MOST_BYTES} bytes: leave some out")
    return kept
