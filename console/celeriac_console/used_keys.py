"""`celeriac forget` and `celeriac rerun`: free a used idempotency key, so that its task can run again."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from celeriac import InvalidArgumentsError, Task
from celeriac.dead_letters import search
from celeriac.leases import lease
from celeriac.leases.status import Status
from celeriac.leases.claim import MESSAGE
from celeriac_console import known
from celeriac_console.arguments import value_for
from celeriac_console.asked import spelled
from celeriac_console.options import Yes
from celeriac_console.send import Arg, Arguments, Timeout, Wait, arguments, sent
from celeriac_console.terminal.asking import ask
from celeriac_console.terminal.duration import duration
from celeriac_console.terminal.errors import UserError
from celeriac_console.terminal.next_steps import command
from celeriac_console.terminal.screen import say
from celeriac_console.terminal.words import time, told

OfTask = Annotated[str, typer.Argument(help="The task's name.", autocompletion=known.task_names)]
Key = Annotated[str, typer.Argument(help="The idempotency key: the value of its key parameter, or an id.")]


def forget(task: OfTask, key: Key, *, yes: Yes = False) -> None:
    """Delete the record of a task's key, so that its next message runs. Asks first. Fails while the task runs.

    Example: celeriac forget monthly_report 2026-10
    """
    found = _keeps_records(task)
    full, seen = spelled(found, key)
    status = _remembered(found, full, seen)
    if status is None:
        raise UserError(f"nothing is stored of {found.name} {key!r}: its next message runs anyway")
    if status.state == "retrying":
        say("The message of its next attempt was sent already and will still run.", stderr=True)
    _confirm("Forget it?", yes=yes)
    _forget(found, full, seen)
    say(f"forgotten: the next message of {found.name} {key} runs")


def rerun(
    task: OfTask,
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
    found, longest = _keeps_records(task), duration(timeout)
    full, seen = spelled(found, key)
    given, own = _with_key(found, key, seen, arguments(found, arg, json_))
    try:
        bound = found.options(group=group, key=own)
        bound.parcel(**given)  # check that the message can be sent before the record is deleted
    except InvalidArgumentsError as error:
        raise UserError(f"{error}. Arguments are not stored: give them with --arg or --json") from error
    except ValueError as error:  # a FIFO queue without a group
        raise UserError(str(error)) from error
    status = _remembered(found, full, seen)
    if status is not None:
        _refuse_what_lives(found, key, status)
    _confirm("Run it again? Its effects happen a second time.", yes=yes)
    if status is not None:
        _forget(found, full, seen)
    sent([bound.enqueue(**given)], wait=wait, timeout=longest)


def _refuse_what_lives(task: Task[..., Any, Any], key: str, status: Status) -> None:
    """Raise UserError if the key's task is retrying or dead. The error says what to do instead."""
    forget_ = command("forget", task.name, key)
    if status.state == "retrying":
        late = status.due is not None and status.due + task.queue.visibility < datetime.now(UTC)
        raise UserError(
            f"it should have run again at {time(status.due)}. If its message is lost: {forget_}, then send it again"
            if late
            else f"it will run again by itself, at {time(status.due)}"
        )
    if status.state == "dead":
        letter, every = search.find(task.queue, status.id)
        raise UserError(
            f"it is dead and its letter is gone: {forget_}, then send it again"
            if letter is None and every
            else "it is a dead letter, which holds its arguments: "
            f"{command('dlq', 'redrive', task.queue.name, '--id', status.id)}"
        )


def _remembered(task: Task[..., Any, Any], full: str, seen: Mapping[str, Any]) -> Status | None:
    """Print the status that a key's record holds, and return it. Raises UserError if the task is running."""
    handle = task.handle_of("", full)
    status = handle.status() if seen else None
    if status is None or status.state == "unknown":
        return None
    say(told(handle, status)[0], stderr=True)
    if status.state == "running":
        raise UserError(f"{task.name} {full.removeprefix(f'{task.name}:')} runs now: wait until it has ended")
    return status


def _confirm(question: str, *, yes: bool) -> None:
    if not yes:
        ask(question, otherwise="add --yes")


def _forget(task: Task[..., Any, Any], full: str, seen: Mapping[str, Any]) -> None:
    if not lease.forget(task.name, full, task.queue.record_retention, seen):
        raise UserError("it has changed meanwhile, nothing was forgotten: look at it again with celeriac status")


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


def _keeps_records(name: str) -> Task[..., Any, Any]:
    found = known.task(name)
    if found.guarantee == "at_least_once":
        raise UserError(f"{name} is at_least_once: no record of its keys is kept, so every message runs")
    return found
