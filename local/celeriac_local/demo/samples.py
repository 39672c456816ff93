"""The sample tasks: the demo runs them and `make up` suggests one, unless they were removed."""

import json
from typing import Any

from celeriac import Task
from celeriac.declare import registry
from celeriac.model import declared
from celeriac.model.errors import DeclarationError
from celeriac_local.errors import UserError
from celeriac_local.folders import ROOT

GRANTS = "infra/samples.py"
QUEUES = {
    "deliver_webhook": "webhooks",
    "place_order": "orders",
    "process_payment": "payments",
    "send_order_confirmation": "emails",
    "send_welcome_email": "emails",
}
TABLES = ("orders", "payments")
_EXAMPLE = "send_welcome_email"
_EXAMPLES_ARGS = '{"user_id": 7, "email": "a@example.org"}'


def missing() -> str:
    """A clause that names the removed samples. Empty if no sample was removed.

    Raises UserError if functions/tasks/ can't be loaded.
    """
    _load()
    tasks = [name for name, queue in QUEUES.items() if not _is_on(registry.tasks.get(name), queue)]
    tables = [f"the table {name}" for name in TABLES if name not in declared.tables()]
    gone = tasks + tables + ([] if (ROOT / GRANTS).exists() else [GRANTS])
    if len(tasks) == len(QUEUES):
        return "they were removed"
    return f"a part of them was removed: {', '.join(gone)}" if gone else ""


def command_to_send() -> str:
    """A command that sends a task of this application: a sample if there is one, else the first task by name.

    Raises UserError if functions/tasks/ can't be loaded.
    """
    _load()
    if _EXAMPLE in registry.tasks:
        return f"make send TASK={_EXAMPLE} ARGS='{_EXAMPLES_ARGS}'"
    own = sorted(name for name, task in registry.tasks.items() if registry.is_of(task, declared.package()))
    if not own:
        return 'make send TASK=name ARGS=\'{"parameter": "value"}\''
    args = dict.fromkeys(registry.tasks[own[0]].signature.fields, "...")
    return f"make send TASK={own[0]}" + (f" ARGS='{json.dumps(args)}'" if args else "")


def _is_on(task: "Task[..., Any, Any] | None", queue: str) -> bool:
    return task is not None and task.queue.name == queue


def _load() -> None:
    try:
        registry.load()
    except (ImportError, DeclarationError) as error:
        raise UserError(f"functions/tasks/ can't be loaded: {error}") from error
