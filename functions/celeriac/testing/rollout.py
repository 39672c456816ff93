"""A deploy under way: invocations run the old release and the new one in turn."""

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from celeriac.declare import registry
from celeriac.model import declared

if TYPE_CHECKING:
    from celeriac.declare.task import Task
    from celeriac.model.table import Outbox


class Rollout:
    """Two releases. A release is a set of tasks; it knows their queues, and those of `tasks/queues.py`.

    outbox: the old release's settings of the outbox, if they are other ones.
    """

    def __init__(
        self,
        stage: str,
        old: "Iterable[Task[..., Any, Any]]",
        new: "Iterable[Task[..., Any, Any]]",
        outbox: "Outbox | None" = None,
    ) -> None:
        self._releases = {task.name: task for task in old}, {task.name: task for task in new}
        queues = [*declared.queues().values(), *(task.queue for task in self._releases[0].values())]
        self._old_consumers = {queue.function_name(stage) for queue in queues}
        self._consumers = self._old_consumers | {task.queue.function_name(stage) for task in self._releases[1].values()}
        self._turns: Counter[str] = Counter()
        self._old_outbox = outbox

    @contextmanager
    def __call__(self, function: str) -> Iterator[None]:
        """Run the block as this function's next invocation: the old release's, then the new one's, and so on.

        The consumer of a queue that the old release doesn't know is the new release's.
        """
        only_new = function in self._consumers - self._old_consumers
        turn = 1 if only_new else self._turns[function] % 2
        self._turns[function] += 1
        before = dict(registry.tasks)
        _register(self._releases[turn])
        outbox = self._old_outbox if turn == 0 and self._old_outbox is not None else declared.outbox()
        try:
            with patch.object(declared, "outbox", lambda: outbox):
                yield
        finally:
            _register(before)


def _register(tasks: "dict[str, Task[..., Any, Any]]") -> None:
    registry.tasks.clear()
    registry.tasks.update(tasks)
