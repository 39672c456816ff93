"""Queues, tables and tasks that functions/tasks/ declares, and checks that they fit together."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from celeriac import Task
from celeriac.declare import registry
from celeriac.model import declared
from celeriac.model.errors import DeclarationError
from celeriac.model.queue import Queue
from celeriac.model.table import Table
from celeriac_cdk.fan_out import check_fan_out

# CloudFormation takes 500 resources in a stack, and a queue with a canary is 16:
# https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html
MOST_QUEUES = 28


def declarations() -> tuple[list[Queue], list[Table], list[Task[..., Any, Any]]]:
    """Import every task; return the queues and tables beside them, and the tasks.

    Raises DeclarationError for what can't be built or kept, such as a task on a queue that nobody would deploy. An
    import that fails at synth would have failed in every function.
    """
    registry.load()
    queues = declared.queues()
    if not queues:
        raise DeclarationError('tasks.queues declares no queue: write e.g. emails = Queue("emails")')
    tasks = [task for task in registry.tasks.values() if task.function.__module__.startswith(f"{declared.package}.")]
    check_number(list(queues.values()))
    check_tasks_have_queues(tasks, list(queues.values()))
    check_replays_are_absorbed(declared.outbox().retention, list(queues.values()))
    check_fan_out(tasks)
    return list(queues.values()), list(declared.tables().values()), tasks


def check_number(queues: Sequence[Queue]) -> None:
    """Raise DeclarationError for more queues than one stack can hold."""
    if len(queues) > MOST_QUEUES:
        raise DeclarationError(
            f"tasks/queues.py declares {len(queues)} queues, {queues[MOST_QUEUES].name!r} the first above the "
            f"{MOST_QUEUES} that fit into a stack: let kinds of tasks share a queue, or part them into two applications"
        )


def check_replays_are_absorbed(retention: timedelta, queues: Sequence[Queue]) -> None:
    """Raise DeclarationError if an event could be replayed after its task's record has expired."""
    for queue in queues:
        if retention > queue.record_retention:
            raise DeclarationError(
                f"the outbox keeps events for {retention}, and tasks of the queue {queue.name!r} remember theirs for "
                f"{queue.record_retention}: a replay would run them twice. Keep events for less, or raise the queue's "
                "retention"
            )


def check_tasks_have_queues(tasks: Sequence[Task[..., Any, Any]], queues: Sequence[Queue]) -> None:
    """Raise DeclarationError if a task's queue isn't among those that will be deployed."""
    for task in tasks:
        if task.queue not in queues:
            raise DeclarationError(
                f"task {task.name!r} is on the queue {task.queue.name!r}, which tasks/queues.py doesn't declare: "
                "make it a variable there and import it from there"
            )
