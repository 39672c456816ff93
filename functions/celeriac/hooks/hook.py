"""`Hooks`: what a team extends."""

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    # A producer without hooks need not load them.
    from celeriac.hooks.events import AfterOutcome, AroundTask, BeforeEnqueue, OnDeadLetter


class Hooks:
    """Code that runs around enqueuing and around each attempt. Extend it, and override what you need.

    List one object of each class in `tasks/hooks.py`, as `hooks = [First(), Second()]`. Before-hooks run in this order,
    and around_task nests in it: the first is the outermost. After-hooks run in reverse.

    A method that raises is logged and counted, and left out: what becomes of the message is what would have become of
    it without the method. One object serves all threads of a process.
    """

    def before_enqueue(self, event: "BeforeEnqueue") -> None:
        """Run in the sender, when a message is made: by `enqueue` in all its forms, `tx.enqueue` and `tx.emit`.

        It may add headers. It runs in the caller's thread and context, so keep it short: nothing cuts it off.
        """

    def around_task(self, event: "AroundTask") -> AbstractContextManager[object]:  # noqa: ARG002 - for those who override it
        """Return a context manager, in which the attempt runs; usually this method is a `@contextmanager`.

        It isn't entered for duplicates. Context variables that it sets reach the task, async tasks too. What the task
        raises is raised at its `yield`. Whether it passes the error on, swallows it, or raises another: the attempt has
        the outcome that the task has.
        """
        return nullcontext()

    def after_outcome(self, event: "AfterOutcome") -> None:
        """Run when an outcome is sent and recorded: once for each delivery, unless its worker dies."""

    def on_dead_letter(self, event: "OnDeadLetter") -> None:
        """Run when a dead letter is sent, after `after_outcome`."""
