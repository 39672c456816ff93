"""The rights of each function, and of who sends to a stage or asks it, put together from single permissions.

A queue is the unit of trust.
"""

from collections.abc import Sequence
from typing import Any

from aws_cdk import aws_iam as iam

from celeriac import Task
from celeriac.declare import probe
from celeriac.model import declared, names
from celeriac.model.queue import Queue
from celeriac_cdk import flow_rights, permissions
from celeriac_cdk.application import Application, Given


def given_to(queue: Queue, tasks: Sequence[Task[..., Any, Any]], application: Application) -> Given:
    """What infra/application.py gives to the consumer of a queue. It also runs tasks that have moved to another queue,
    with what was given to that queue.
    """
    return application.of(queue.name).joined(application.of(name) for name in moved_from(queue, tasks))


def moved_from(queue: Queue, tasks: Sequence[Task[..., Any, Any]]) -> list[str]:
    """The queues to which tasks of this queue have moved."""
    return sorted({task.queue.name for task in tasks if task.runs_from(queue)} - {queue.name})


def of_consumer(
    queue: Queue, given: Given, queues: Sequence[Queue], tasks: Sequence[Task[..., Any, Any]], stage: str
) -> list[iam.PolicyStatement]:
    """The rights of a queue's tasks: to send to every queue, and to read and write what belongs to their own."""
    records, outbox = names.idempotency_table(stage), names.outbox_table(stage)
    own = [task.name for task in tasks if task.runs_from(queue)]
    tables = [names.table(stage, table) for table in sorted(given.tables)]
    return [
        permissions.send([each.physical_name(stage) for each in queues if queue.may_send_to(each)]),
        *permissions.use_payloads(stage, queue.name),
        *permissions.schedule(stage),
        permissions.look_at_schedules(stage, queue.name),
        *permissions.keep_records(records, queue.name, [*own, probe.name(queue.name)]),
        permissions.append_rows(outbox),
        permissions.order_rows(records),
        *flow_rights.of_consumer(queue, tasks, stage),
        *permissions.read_and_write_items(tables),
        *(to_read_status(sorted(given.status_of), tasks, stage) if given.status_of else []),
        *given.statements,
    ]


def of_publishers(queues: Sequence[Queue], stage: str) -> list[iam.PolicyStatement]:
    """The rights to publish, of the relay and the sweeper: to every queue, and to the bus."""
    return [
        permissions.send([queue.physical_name(stage) for queue in queues]),
        *permissions.store_payloads(stage),
        *permissions.schedule(stage),
        permissions.look_at_schedules(stage),
        *([permissions.put_events(names.bus(stage))] if declared.outbox().bus else []),
    ]


def to_cancel(queues: Sequence[str], tasks: Sequence[Task[..., Any, Any]], stage: str) -> list[iam.PolicyStatement]:
    """What cancelling the tasks of some queues needs."""
    theirs = [task for task in tasks if any(each.name in queues for each in task.all_queues)]
    return permissions.cancel_messages(names.idempotency_table(stage), [task.name for task in theirs])


def to_read_status(
    queues: Sequence[str], tasks: Sequence[Task[..., Any, Any]], stage: str
) -> list[iam.PolicyStatement]:
    """What asking for the status and the results of the tasks of some queues needs."""
    records = names.idempotency_table(stage)
    theirs = [task for task in tasks if any(each.name in queues for each in task.all_queues)]
    return [
        *permissions.read_records(records, [task.name for task in theirs]),
        *permissions.list_runs(records, [task.name for task in theirs if task.queue.history]),
        permissions.read_notes(records, queues),
        *flow_rights.of_asker(theirs, stage),
    ]
