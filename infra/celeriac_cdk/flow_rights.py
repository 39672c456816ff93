"""The rights on the items of the flow table, bounded by how their keys begin: docs/reference/flow-table.md.

Without limits, unique and debounced tasks nobody has any.
"""

from collections.abc import Sequence
from typing import Any

from aws_cdk import aws_iam as iam

from celeriac import Task
from celeriac.declare.declared_limits import breakers_of, limits_of
from celeriac.flow import rows
from celeriac.model import names
from celeriac.model.queue import Queue
from celeriac_cdk import permissions

type Tasks = Sequence[Task[..., Any, Any]]


def is_used(tasks: Tasks) -> bool:
    """Whether any task has an item in the flow table."""
    return any(task.limits or task.unique is not None or task.debounce is not None for task in tasks)


def of_consumer(queue: Queue, tasks: Tasks, stage: str) -> list[iam.PolicyStatement]:
    """What the tasks of a queue need: their limits, and what unique and debounced ones of them hold.

    A consumer may send to every queue, so it may also do what a producer of unique tasks does.
    """
    table = names.flow_table(stage)
    own = [task for task in tasks if task.runs_from(queue)]
    limits = limits_of(own)
    waits = [task for task in own if task.limits or task.unique is not None]
    items = [
        *(f"{rows.LIMIT}{limit.name}#*" for limit in limits),
        *_items(rows.UNIQUE, [task for task in own if task.unique is not None]),
        *_items(rows.DEBOUNCE, [task for task in own if task.debounce is not None]),
        *([f"{rows.WAIT}{queue.name}#*"] if queue.fifo and waits else []),
    ]
    return [
        *permissions.use_items(table, items),
        *(permissions.read_items(table, [rows.OVERRIDES]) if limits else []),
        *permissions.look_at_records(names.idempotency_table(stage), [task.name for task in waits]),
        *_take_unique(tasks, stage, None),
        # Its tasks may fill batches, be members, and be steps: what follows them stands under its own queue.
        *permissions.compose(table, _composed(queue.names_sent_to if queue.sends_to is not None else None, queue)),
    ]


def of_producer(queue: Queue, tasks: Tasks, stage: str) -> list[iam.PolicyStatement]:
    """What enqueuing unique tasks of a queue needs beyond sending: to take the place, and to see if its holder has
    ended. And what batches and chains need whose callbacks and later steps are on the queue.
    """
    return [
        *_take_unique(tasks, stage, queue),
        *permissions.begin_composed(names.flow_table(stage), _composed([], queue)),
    ]


def of_reader(tasks: Tasks, stage: str) -> list[iam.PolicyStatement]:
    """What asking for the status of any task needs to say what it waits for, and of any batch. A managed policy has no
    room for names.
    """
    table = names.flow_table(stage)
    batches = permissions.look_at_items(table, [f"{rows.BATCH}*"])
    if not limits_of(tasks):
        return batches
    return [*batches, *permissions.read_items(table, [f"{rows.LIMIT}*", f"{rows.WAIT}*", rows.OVERRIDES])]


def of_asker(tasks: Tasks, stage: str) -> list[iam.PolicyStatement]:
    """The same for the status of these tasks only, and of batches whose callbacks are on their queues."""
    table = names.flow_table(stage)
    batches = sorted({f"{rows.BATCH}{queue.name}#*" for task in tasks for queue in task.all_queues})
    items = [
        *(f"{rows.LIMIT}{limit.name}#*" for limit in limits_of(tasks)),
        *sorted({f"{rows.WAIT}{queue.name}#*" for task in tasks if task.limits for queue in task.all_queues}),
        *([rows.OVERRIDES] if limits_of(tasks) else []),
    ]
    return [*permissions.look_at_items(table, batches), *permissions.read_items(table, items)]


def of_sweeper(tasks: Tasks, stage: str) -> list[iam.PolicyStatement]:
    """What ending batches needs whose producers have died; and what counting open breakers needs, if there are any: to
    find them, to forget old ones, and to read what operators hold open.
    """
    table = names.flow_table(stage)
    batches = [
        permissions.query(table, names.flow_index()),
        *permissions.take_items(table, [f"{rows.BATCH}*"]),
    ]
    if not breakers_of(tasks):
        return batches
    return [
        *batches,
        *permissions.read_items(table, [rows.OVERRIDES]),
        # Also of breakers that no task has any more: they leave the index too.
        permissions.update_items(table, [f"{rows.LIMIT}*"]),
    ]


def of_operator(stage: str) -> list[iam.PolicyStatement]:
    """What `celeriac limits` and `celeriac batches` need: to read every item, to set limits, to reset their items, and
    to repair batches.
    """
    table = names.flow_table(stage)
    return [
        permissions.read_all_items(table),
        permissions.update_items(table, [f"{rows.LIMIT}*", rows.OVERRIDES, f"{rows.BATCH}*"]),
        permissions.query(table, names.flow_index()),
    ]


def _take_unique(tasks: Tasks, stage: str, queue: Queue | None) -> list[iam.PolicyStatement]:
    """To enqueue unique tasks of a queue, or of every queue."""
    unique = [task for task in tasks if task.unique is not None and (queue is None or task.runs_from(queue))]
    queues = {each.name for task in unique for each in task.all_queues} if queue is None else {queue.name}
    if not unique:
        return []
    return [
        *permissions.take_items(names.flow_table(stage), [f"{rows.UNIQUE}{name}#*" for name in sorted(queues)]),
        *permissions.read_records(names.idempotency_table(stage), [task.name for task in unique]),
    ]


def _composed(others: Sequence[str] | None, queue: Queue) -> list[str]:
    """The items of batches and chains whose callbacks and later steps are on some queues; None means on every queue."""
    if others is None:
        return [f"{rows.BATCH}*", f"{rows.STEP}*"]
    return [f"{prefix}{name}#*" for name in sorted({queue.name, *others}) for prefix in (rows.BATCH, rows.STEP)]


def _items(prefix: str, tasks: Tasks) -> list[str]:
    """The items of tasks. A task that was moved still runs from its former queues, and has items of each."""
    return [f"{prefix}{queue.name}#{permissions.literal(task.name)}#*" for task in tasks for queue in task.all_queues]
