"""The queues, tables and tasks that functions/tasks/ declares, and checks that they fit together."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from celeriac import Task
from celeriac.declare import registry
from celeriac.model import declared
from celeriac.model.errors import DeclarationError
from celeriac.model.queue import Queue
from celeriac.model.table import Table
from celeriac_cdk.declarations.fan_out import check_fan_out

# A stack of CloudFormation has at most 500 resources. A queue with a canary takes 16 of them:
# https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html
MOST_QUEUES = 28


def declarations() -> tuple[list[Queue], list[Table], list[Task[..., Any, Any]]]:
    """Import every task. Return the declared queues, tables and tasks.

    Raises DeclarationError for declarations that can't work, such as a task on a queue that isn't declared. An import
    error stops the synth too, because the import would fail in every function.
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
            f"tasks/queues.py declares {len(queues)} queues, but only {MOST_QUEUES} fit into a stack: "
            f"{queues[MOST_QUEUES].name!r} is the first too many. Let tasks share a queue, or split them into two "
            "applications"
        )


def check_replays_are_absorbed(retention: timedelta, queues: Sequence[Queue]) -> None:
    """Raise DeclarationError if a row could be replayed after its task's record has expired."""
    day = timedelta(days=1)
    for queue in queues:
        if retention > queue.record_retention:
            raise DeclarationError(
                f"the outbox keeps rows for {retention / day:g} days, but the queue {queue.name!r} keeps the records "
                f"of its tasks for {queue.record_retention / day:g} days: a replay after that time would run a task "
                "twice. Shorten the outbox's retention, or raise the queue's retention"
            )


def check_tasks_have_queues(tasks: Sequence[Task[..., Any, Any]], queues: Sequence[Queue]) -> None:
    """Raise DeclarationError if a task's queue isn't among those that will be deployed."""
    for task in tasks:
        for queue in task.all_queues:
            if queue not in queues:
                is_on = "is on the queue" if queue is task.queue else "has the former queue"
                raise DeclarationError(
                    f"task {task.name!r} {is_on} {queue.name!r}, which tasks/queues.py doesn't declare: "
                    "make the queue a variable of that file, and import it from there"
                )
