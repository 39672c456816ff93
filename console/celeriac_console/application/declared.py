"""What a task declares, for lists and pages."""

import inspect
from typing import Any

from celeriac import Task
from celeriac.model.retry import Backoff
from celeriac_console.application.limited import text_of
from celeriac_console.terminal.times import duration_text


def declared(task: Task[..., Any, Any]) -> dict[str, Any]:
    """A task's declaration as plain data."""
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
        "on_aws": task.on_aws.sources if task.on_aws is not None else None,
        "cron": f"{task.cron} {task.timezone}" if task.cron else None,
        "limits": {limit.name: text_of(limit) for limit in task.limits},
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
