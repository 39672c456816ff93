"""The queues, tables and tasks that functions/tasks/ declares, and checks that they fit together."""

import re
import sys
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from celeriac import Task
from celeriac.declare import registry
from celeriac.declare.check_flow import clash
from celeriac.declare.events import declared_events
from celeriac.model import declared, given
from celeriac.model.errors import DeclarationError
from celeriac.model.queue import Queue
from celeriac.model.table import Outbox, Table
from celeriac_cdk.declarations.aws_events import check_aws_events
from celeriac_cdk.declarations.events import check_subscribers
from celeriac_cdk.declarations.fan_out import check_fan_out

# The role of a consumer names every queue that it may send to. More would not fit into its policies, which have 10,240
# characters together: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
MOST_QUEUES = 28


def declarations() -> tuple[list[Queue], list[Table], list[Task[..., Any, Any]]]:
    """Import every task. Return the declared queues, tables and tasks.

    Raises DeclarationError for declarations that can't work, such as a task on a queue that isn't declared. An import
    error stops the synth too, because the import would fail in every function.
    """
    given.leave_to_environment()
    package = declared.package()
    registry.load()
    queues = declared.queues()
    if not queues:
        raise DeclarationError(f'{package}.queues declares no queue: write e.g. emails = Queue("emails")')
    tasks = [task for task in registry.tasks.values() if registry.is_of(task, package)]
    check_modules(package)
    check_number(list(queues.values()))
    check_tasks_have_queues(tasks, list(queues.values()))
    check_replays_are_absorbed(declared.outbox().retention, list(queues.values()))
    check_retired(tasks)
    check_sends_to(list(queues.values()))
    check_limits(tasks)
    check_patterns(tasks)
    check_fan_out(tasks)
    check_subscribers(tasks, declared_events(tasks))
    check_aws_events(tasks)
    return list(queues.values()), list(declared.tables().values()), tasks


def check_modules(package: str) -> None:
    """Raise DeclarationError for a queue, table or outbox in another module than the one where it is looked for."""
    known: dict[type, tuple[str, list[object]]] = {
        Queue: ("queues", list(declared.queues().values())),
        Table: ("tables", list(declared.tables().values())),
        Outbox: ("tables", [declared.outbox()]),
    }
    for name, module in sorted(sys.modules.items()):
        if name != package and not name.startswith(f"{package}."):
            continue
        for variable, value in vars(module).items():
            if type(value) not in known:
                continue
            where, declared_there = known[type(value)]
            if not any(value is one for one in declared_there):
                raise DeclarationError(
                    f"{name} declares the {type(value).__name__.lower()} {variable}, and nothing would be deployed for "
                    f"it: move it to {package.rpartition('.')[2]}/{where}.py, and import it from there"
                )


def check_number(queues: Sequence[Queue]) -> None:
    """Raise DeclarationError for more queues than one stack can hold."""
    if len(queues) > MOST_QUEUES:
        raise DeclarationError(
            f"{declared.file('queues')} declares {len(queues)} queues, but only {MOST_QUEUES} fit into the policies of "
            f"a role: {queues[MOST_QUEUES].name!r} is the first too many. Let tasks share a queue, or split them into "
            "two applications"
        )


def check_patterns(tasks: Sequence[Task[..., Any, Any]]) -> None:
    """Raise DeclarationError if the pattern for a task's records matches those of another queue's task.

    Policies know letters of ASCII only, so any other letter in a name is matched by `?`.
    """
    for task in tasks:
        if task.name.isascii():
            continue
        pattern = re.compile("".join(re.escape(each) if " " <= each <= "~" else "." for each in task.name), re.DOTALL)
        for other in tasks:
            if other is not task and other.queue.name != task.queue.name and pattern.fullmatch(other.name):
                raise DeclarationError(
                    f"task {task.name!r}: IAM knows no letters but ASCII's, so the role of its queue could use the "
                    f"records of the task {other.name!r} of another queue: give one of them another name="
                )


def check_limits(tasks: Sequence[Task[..., Any, Any]]) -> None:
    """Raise DeclarationError if two limits have one name: they would share their items."""
    if (problem := clash(tasks)) is not None:
        raise DeclarationError(problem)


def check_retired(tasks: Sequence[Task[..., Any, Any]]) -> None:
    """Raise DeclarationError if a schedule or an event would send to a retired queue."""
    for task in tasks:
        callers = {
            "has a schedule": task.cron,
            f"subscribes to {task.on!r}": task.on,
            "is called by events of AWS": task.on_aws,
        }
        what = next((what for what, caller in callers.items() if caller is not None), "")
        if task.queue.retired and what:
            raise DeclarationError(
                f"task {task.name!r} {what}, and its queue {task.queue.name!r} is retired: declare the task on another "
                f"queue, with former_queues=[{task.queue.name}]"
            )


def check_sends_to(queues: Sequence[Queue]) -> None:
    """Raise DeclarationError if a queue's `sends_to` names one that isn't declared."""
    known = {queue.name for queue in queues}
    for queue in queues:
        for name in queue.names_sent_to:
            if name not in known:
                raise DeclarationError(
                    f"queue {queue.name!r}: its sends_to names {name!r}, and {declared.file('queues')} declares none "
                    "of that name"
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
                    f"task {task.name!r} {is_on} {queue.name!r}, which {declared.file('queues')} doesn't declare: "
                    "make the queue a variable of that file, and import it from there"
                )
