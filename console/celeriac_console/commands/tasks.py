"""`celeriac tasks`: every task with its declaration."""

import inspect
import json
from typing import Any

import typer

from celeriac import Task
from celeriac.declare import registry
from celeriac.model.retry import Backoff
from celeriac_console.application.loading import load
from celeriac_console.options import Json
from celeriac_console.terminal.screen import say
from celeriac_console.terminal.times import duration_text


def tasks(*, json_: Json = False) -> None:
    """Show every task: its queue, delivery, policy, signature, schedule and subscription.

    Example: celeriac tasks
    """
    load()
    rows = [_row(task) for _, task in sorted(registry.tasks.items())]
    if json_:
        typer.echo(json.dumps(rows))
        return
    for row in rows:
        say(f"{row['task']}{row['signature']}", style="bold")
        keyed = f" by {row['key']}" if row["key"] else ""
        called_by = [f"the event {row['on']}"] if row["on"] else []
        called_by += [row["cron"]] if row["cron"] else []
        formerly = f" (formerly {', '.join(row['former_queues'])})" if row["former_queues"] else ""
        say(f"    queue {row['queue']}{formerly}, {row['delivery']}{keyed}, {row['retry']}")
        say(f"    called by {' and '.join(called_by) or 'enqueue'}")


def _row(task: Task[..., Any, Any]) -> dict[str, Any]:
    signature = inspect.signature(task.function)
    fields = [parameter for name, parameter in signature.parameters.items() if name in task.signature.fields]
    return {
        "task": task.name,
        "queue": task.queue.name,
        "former_queues": [queue.name for queue in task.former_queues],
        "delivery": task.guarantee,
        "key": task.key,
        "retry": _policy(task),
        "timeout_seconds": (task.timeout or task.queue.timeout).total_seconds(),
        "signature": str(signature.replace(parameters=fields, return_annotation=signature.empty)),
        "on": task.on,
        "cron": f"{task.cron} {task.timezone}" if task.cron else None,
    }


def _policy(task: Task[..., Any, Any]) -> str:
    policy = task.policy
    if not isinstance(policy, Backoff):
        return f"retried by {getattr(policy.policy, '__name__', 'a function')}"
    if policy.attempts == 1:
        return "a single attempt"
    base, cap = duration_text(policy.base), duration_text(policy.cap)
    age = f", given up after {duration_text(policy.give_up_after)}" if policy.give_up_after is not None else ""
    return f"{policy.attempts} attempts, from {base} x{policy.factor:g} to {cap}{age}"
