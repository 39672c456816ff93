"""The demo of a project: it sends what celeriac.toml names under [[demo]], and prints what became of each."""

import json
import time
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from celeriac.declare import registry
from celeriac.declare.handle import Handle
from celeriac.declare.signature import InvalidArgumentsError
from celeriac.leases.status import Status
from celeriac.model import settings
from celeriac.observe.text import line
from celeriac_local.cloud.refused_calls import report_calls
from celeriac_local.demo.next_steps import command_to_send, load
from celeriac_local.errors import UserError
from celeriac_local.folders import celeriac, log, shown

LIMIT_SECONDS = 120.0
_POLL_SECONDS = 0.3
_ENDS = {"succeeded", "dead", "cancelled"}


class Sent(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A task that the demo sends."""

    task: str
    args: dict[str, Any] = {}


def read(root: Path) -> list[Sent]:
    """What celeriac.toml names under [[demo]]. Raises UserError if it names nothing, or not in this form.

    root: the folder with celeriac.toml.
    """
    file = root / settings.FILE
    form = 'Write for each task that the demo shall send:\n[[demo]]\ntask = "greet"\nargs = { name = "Ada" }'
    try:
        found = msgspec.convert(tomllib.loads(file.read_text(encoding="utf-8")).get("demo", []), list[Sent])
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{file} isn't TOML: {error}") from error
    except msgspec.ValidationError as error:
        raise UserError(f"{file}: demo: {error}. {form}") from error
    if not found:
        raise UserError(f"{file} has no [[demo]]. {form}")
    return found


def run(wanted: Sequence[Sent], console: Console) -> bool:
    """Send the tasks, wait for their ends, print a report. Returns whether each has ended.

    The process must have the local cloud's environment. Raises UserError for a task or arguments that don't exist.
    """
    load()
    started = time.monotonic()
    handles = [_send(each) for each in wanted]
    with console.status(f"Waiting for {len(handles)} tasks"):
        statuses = _watched(handles, started + LIMIT_SECONDS)
    console.print()
    console.print(_table(wanted, statuses))
    console.print()
    ended = [status for status in statuses if status.state in _ENDS]
    seconds = time.monotonic() - started
    if len(ended) == len(statuses):
        console.print(f"[green]Every task has ended:[/green] {len(ended)} in {seconds:.0f} s")
    else:
        console.print(f"[red]{len(statuses) - len(ended)} tasks haven't ended[/red] after {seconds:.0f} s")
        console.print(f"The emulator's log is in {shown(log('emulator'))}", markup=False)
        report_calls(console)
    console.print()
    console.print("Try next:")
    dead = {
        registry.tasks[one.task].queue.name for one, status in zip(wanted, statuses, strict=True) if _is_dead(status)
    }
    letters = [f"{celeriac()} --stage local dlq list {queue}" for queue in sorted(dead)]
    for command in (command_to_send(), *letters, f"{celeriac()} local down"):
        console.print(f"  {command}", markup=False)
    return len(ended) == len(statuses)


def _is_dead(status: Status) -> bool:
    return status.state == "dead"


def _send(wanted: Sent) -> Handle[Any]:
    task = registry.tasks.get(wanted.task)
    where = f"{settings.FILE}: demo"
    if task is None:
        there = ", ".join(sorted(registry.tasks)) or "none"
        raise UserError(f"{where}: no task is named {wanted.task!r}; there are {there}")
    try:
        return task.enqueue(**wanted.args)
    except InvalidArgumentsError as error:
        raise UserError(f"{where}: {error}") from error


def _watched(handles: Sequence[Handle[Any]], deadline: float) -> list[Status]:
    """The last status of each task: its end, or what it is at the deadline."""
    statuses = {index: handle.status() for index, handle in enumerate(handles)}
    while time.monotonic() < deadline:
        running = [index for index, status in statuses.items() if status.state not in _ENDS]
        if not running:
            break
        time.sleep(_POLL_SECONDS)
        statuses |= {index: handles[index].status() for index in running}
    return list(statuses.values())


def _table(wanted: Sequence[Sent], statuses: Sequence[Status]) -> Table:
    table = Table("task", "arguments", "became", "attempts", title="What became of each task", box=None, pad_edge=False)
    table.title_justify = "left"
    table.add_column("with", overflow="fold")
    for sent, status in zip(wanted, statuses, strict=True):
        failure = status.failure
        told = f"{failure.reason}: {failure.message}" if failure is not None else json.dumps(status.result)
        cells = (sent.task, json.dumps(sent.args), status.state, str(status.attempts), told)
        table.add_row(*(Text(line(cell)) for cell in cells))  # rich would read a plain string as markup
    return table
