"""The sample tasks: the demo runs them, unless they were removed."""

from typing import Any

from celeriac import Task
from celeriac.declare import registry
from celeriac.model import declared
from celeriac_local.demo.next_steps import load
from celeriac_local.folders import GRANTS, root

QUEUES = {
    "deliver_webhook": "webhooks",
    "place_order": "orders",
    "process_payment": "payments",
    "send_order_confirmation": "emails",
    "send_welcome_email": "emails",
}
TABLES = ("orders", "payments")


def missing() -> str:
    """A clause that names the removed samples. Empty if no sample was removed.

    Raises UserError if functions/tasks/ can't be loaded.
    """
    load()
    tasks = [name for name, queue in QUEUES.items() if not _is_on(registry.tasks.get(name), queue)]
    tables = [f"the table {name}" for name in TABLES if name not in declared.tables()]
    gone = tasks + tables + ([] if (root() / GRANTS).exists() else [GRANTS])
    if len(tasks) == len(QUEUES):
        return "they were removed"
    return f"a part of them was removed: {', '.join(gone)}" if gone else ""


def _is_on(task: "Task[..., Any, Any] | None", queue: str) -> bool:
    return task is not None and task.queue.name == queue
