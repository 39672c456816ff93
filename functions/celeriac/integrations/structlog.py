"""structlog: the lines of a task carry its name, its queue, its message's id and the attempt."""

from collections.abc import Iterator
from contextlib import contextmanager

from celeriac.hooks.events import AroundTask
from celeriac.hooks.hook import Hooks
from celeriac.integrations.needed import MissingPackageError

try:
    from structlog.contextvars import bound_contextvars
except ModuleNotFoundError as error:
    raise MissingPackageError("structlog", "structlog") from error


class Structlog(Hooks):
    """Binds `task`, `queue`, `id` and `attempt` to structlog's context variables while the task runs.

    Lines get them if your configuration has the processor `structlog.contextvars.merge_contextvars`. Afterwards, what
    was bound before is bound again.
    """

    @contextmanager
    def around_task(self, event: AroundTask) -> Iterator[None]:
        """Bind, and unbind."""
        with bound_contextvars(task=event.task, queue=event.queue, id=event.id, attempt=event.attempt):
            yield
