"""The hooks around one attempt."""

from contextlib import AbstractContextManager
from contextvars import Context

from celeriac.execute.call import WorkerLost
from celeriac.hooks import broken
from celeriac.hooks.events import AroundTask
from celeriac.hooks.hook import Hooks


class Around:
    """Enters `around_task` of each hook, and leaves them in reverse. What they raise is only reported."""

    def __init__(self, hooks: tuple[Hooks, ...], event: AroundTask) -> None:
        self.context = Context()
        """In which they are entered, the task runs, and they are left."""
        self.at: Hooks | None = None
        """The hook that is being entered or left."""
        self._hooks, self._event = hooks, event
        self._entered: list[tuple[Hooks, AbstractContextManager[object]]] = []

    def enter(self) -> None:
        """Enter the hooks in their order, the first one as the outermost."""
        for hook in self._hooks:
            self.at = hook
            try:
                manager: object = hook.around_task(self._event)
                if not isinstance(manager, AbstractContextManager):
                    _close(manager)
                    raise TypeError(  # noqa: TRY301 - reported like the rest
                        f"around_task returns a {type(manager).__name__}: it is to be a @contextmanager, not async"
                    )
                manager.__enter__()
                self._entered.append((hook, manager))
            except WorkerLost:
                raise
            except BaseException as error:  # noqa: BLE001 - whatever a hook raises, the task runs
                broken.report(hook, "around_task", error)

    def leave(self, error: BaseException | None) -> None:
        """Leave them. Each is told what the task raised, whatever the hooks inside it have made of that."""
        while self._entered:
            self.at, manager = self._entered.pop()
            traceback = error.__traceback__ if error is not None else None
            try:
                manager.__exit__(type(error) if error is not None else None, error, traceback)
            except WorkerLost:
                raise
            except BaseException as raised:  # noqa: BLE001 - whatever a hook raises, the outcome is the task's
                if raised is not error:
                    broken.report(self.at, "around_task", raised)
            finally:
                if error is not None:
                    error.__traceback__ = traceback


def _close(manager: object) -> None:
    """Close a coroutine, or an async generator's: it won't be awaited."""
    close = getattr(manager, "close", None)
    if callable(close):
        close()
