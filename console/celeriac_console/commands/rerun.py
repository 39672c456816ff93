"""`celeriac rerun`: run a task again for a used idempotency key."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from celeriac import InvalidArgumentsError, Task
from celeriac.dead_letters import search
from celeriac.leases.claim import MESSAGE
from celeriac.leases.status import Status
from celeriac.model.reason import Reason
from celeriac_console.application.arguments import value_for
from celeriac_console.commands.forget import Key, delete_record, show_status, task_with_records
from celeriac_console.commands.send import Arg, Arguments, Timeout, Wait, arguments, sent
from celeriac_console.lookup.keys import key_and_record
from celeriac_console.options import TaskName, Yes
from celeriac_console.terminal.confirm import confirm
from celeriac_console.terminal.errors import UserError
from celeriac_console.terminal.next_steps import command
from celeriac_console.terminal.times import duration, instant_text


def rerun(
    task: TaskName,
    key: Key,
    *,
    arg: Arg = None,
    json_: Arguments = None,
    group: Annotated[str | None, typer.Option(help="The message's group.")] = None,
    yes: Yes = False,
    wait: Wait = False,
    timeout: Timeout = "60s",
) -> None:
    """Run a task again for a used key: delete the key's record, then send. Asks first. Fails while the task runs.

    Arguments are not stored after a task has succeeded. Give all of them except the key parameter's.

    Example: celeriac rerun process_payment p-1 --arg order_id=o-1 --arg amount_cents=500
    """
    found, longest = task_with_records(task), duration(timeout)
    full, seen = key_and_record(found, key)
    given, own = _with_key(found, key, seen, arguments(found, arg, json_))
    try:
        bound = found.options(group=group, key=own)
        bound.parcel(**given)  # check that the message can be sent before the record is deleted
    except InvalidArgumentsError as error:
        raise UserError(f"{error}. Arguments are not stored: give them with --arg or --json") from error
    except ValueError as error:  # a FIFO queue without a group
        raise UserError(str(error)) from error
    status = show_status(found, full, seen)
    if status is not None:
        _refuse_unfinished(found, key, status)
    if not yes:
        confirm("Run it again? Its effects happen a second time.", otherwise="add --yes")
    if status is not None:
        delete_record(found, full, seen)
    sent([bound.enqueue(**given)], wait=wait, timeout=longest)


def _refuse_unfinished(task: Task[..., Any, Any], key: str, status: Status) -> None:
    """Raise UserError if the key's task is retrying or dead. The error says how to go on."""
    forget_ = command("forget", task.name, key)
    if status.state == "retrying":
        due = instant_text(status.due)
        is_late = status.due is not None and status.due + task.queue.visibility < datetime.now(UTC)
        raise UserError(
            f"it should have run again at {due}. If its message is lost: {forget_}, then send it again"
            if is_late
            else f"it will run again by itself, at {due}"
        )
    if status.state == "dead" and not (status.failure is not None and status.failure.reason == Reason.CANCELLED):
        queue, every = search.find_in(task.all_queues, status.id)
        raise UserError(
            f"it is dead and its letter is gone: {forget_}, then send it again"
            if queue is None and every
            else "it is a dead letter, which holds its arguments: "
            f"{command('dlq', 'redrive', (queue or task.queue).name, '--id', status.id)}"
        )


def _with_key(
    task: Task[..., Any, Any], key: str, seen: Mapping[str, Any], given: dict[str, Any]
) -> tuple[dict[str, Any], str | None]:
    """The arguments and the explicit key, if any, of a message that has exactly this key.

    Raises UserError for an argument that contradicts the key.
    """
    if task.key is None or seen.get("key_from") == MESSAGE:
        return given, key
    value = value_for(task, task.key, key)
    given = {task.key: value} | given
    if task.key_for(given[task.key]) != task.key_for(value):
        raise UserError(f"the argument {task.key!r} is the key of {task.name}: it must be {key}, or left out")
    return given, None
