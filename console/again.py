"""`celeriac forget` and `rerun`: a key that was used before, free again."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from celeriac import InvalidArgs, Task, lease, lookup
from celeriac.handles import Handle
from celeriac.message import Message
from celeriac.status import Status
from console import known
from console.arguments import value_for
from console.duration import duration
from console.mistakes import Mistake
from console.next_steps import command
from console.options import Yes
from console.send import Arg, Arguments, Timeout, Wait, arguments, sent
from console.text import printable
from console.words import told

OfTask = Annotated[str, typer.Argument(help="The task's name.", autocompletion=known.task_names)]
Key = Annotated[str, typer.Argument(help="The idempotency key: the value of its key parameter, or an id.")]


def forget(task: OfTask, key: Key, *, yes: Yes = False) -> None:
    """Forget that a task ran for a key, so that its next message runs. Asks first; refused while it runs.

    Example: celeriac forget monthly_report 2026-10
    """
    found = _keeps_records(task)
    seen, status = _remembered(found, key)
    if status is None:
        raise Mistake(f"nothing is stored of {found.name} {printable(key)!r}: its next message runs anyway")
    if status.state == "retrying":
        typer.echo("Its next attempt is on its way and will run all the same.", err=True)
    _confirm("Forget it?", yes=yes)
    _forget(found, key, seen)
    typer.echo(f"forgotten: the next message of {found.name} {printable(key)} runs")


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
    """Run a task once more for a key that was used: forget the key, and send. Asks first; refused while it runs.

    Arguments are not stored once a task has succeeded: give those that its key parameter doesn't hold.

    Example: celeriac rerun process_payment p-1 --arg order_id=o-1 --arg amount_cents=500
    """
    found, longest = _keeps_records(task), duration(timeout)
    given = _with_key(found, key, arguments(found, arg, json_))
    try:
        bound = found.options(group=group, key=key if found.key is None else None)
        bound.parcel(**given)  # what can't be sent must not be forgotten first
    except InvalidArgs as error:
        raise Mistake(f"{error}. Arguments are not stored: give them with --arg or --json") from error
    except ValueError as error:  # a FIFO queue without a group
        raise Mistake(str(error)) from error
    seen, status = _remembered(found, key)
    if status is not None and status.state == "retrying":
        raise Mistake(f"it will run again by itself: {told(_handle(found, key), status)[0]}")
    if status is not None and status.state == "dead":
        raise Mistake(
            f"it is a dead letter, which holds its arguments: "
            f"{command('dlq', 'redrive', found.queue.name, '--id', status.id)}"
        )
    _confirm("Run it again? Its effects happen a second time.", yes=yes)
    if status is not None:
        _forget(found, key, seen)
    sent([bound.enqueue(**given)], wait=wait, timeout=longest)


def _handle(task: Task[..., Any, Any], key: str) -> Handle[Any]:
    return Handle("", f"{task.name}:{key}", task)


def _remembered(task: Task[..., Any, Any], key: str) -> tuple[Mapping[str, Any], Status | None]:
    """The record of a key, and what it says, shown. Raises Mistake where the task runs now."""
    handle = _handle(task, key)
    seen = lookup.record(task, handle.key)
    status = handle.status() if seen else None
    if status is None or status.state == "unknown":
        return seen, None
    typer.echo(told(handle, status)[0], err=True)
    if status.state == "running":
        raise Mistake(f"{task.name} {printable(key)} runs now: wait until it has ended")
    return seen, status


def _confirm(question: str, *, yes: bool) -> None:
    if not yes:
        typer.confirm(question, abort=True, err=True)


def _forget(task: Task[..., Any, Any], key: str, seen: Mapping[str, Any]) -> None:
    if not lease.forget(task.name, f"{task.name}:{key}", task.queue.record_retention, seen):
        raise Mistake("it has changed meanwhile, nothing was forgotten: look at it again with celeriac status")


def _with_key(task: Task[..., Any, Any], key: str, given: dict[str, Any]) -> dict[str, Any]:
    """The arguments, with the key in the parameter that holds it. Raises Mistake where they have another one."""
    if task.key is None:
        return given
    given = {task.key: value_for(task, task.key, key)} | given
    if task.key_of(given, Message(id="", task=task.name)) != f"{task.name}:{key}":
        raise Mistake(f"the argument {task.key!r} is the key of {task.name}: it must be {printable(key)}, or left out")
    return given


def _keeps_records(name: str) -> Task[..., Any, Any]:
    found = known.task(name)
    if found.delivery == "at_least_once":
        raise Mistake(f"{name} is at_least_once: no key of it is remembered, every message runs")
    return found
