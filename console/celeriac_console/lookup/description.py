"""A task's status as text."""

from datetime import UTC, datetime
from typing import Any

from celeriac.dead_letters import search
from celeriac.declare import lookup
from celeriac.declare.handle import Handle
from celeriac.leases.status import Status
from celeriac_console.stage.consumers import state
from celeriac_console.terminal.next_steps import command
from celeriac_console.terminal.plural import counted
from celeriac_console.terminal.text import json_text, line
from celeriac_console.terminal.times import instant_text


def described(handle: Handle[Any], status: Status) -> list[str]:
    """The lines that describe a task's status. The first line is the state itself."""
    lines = [f"{handle.task}: {_state(handle, status)}"]
    if status.progress is not None:
        lines.append(f"progress: {line(str(status.progress))}")
    if status.result is not None:
        lines.append(json_text(status.result, indent=2))
    if status.not_kept is not None:
        lines.append(f"its result was not kept: {status.not_kept}")
    if status.failure is not None and status.failure.type and status.failure.message:
        lines.append(f"{status.failure.type}: {status.failure.message}")
    if status.waits_for is not None:
        lines.append(f"how it stands, and who waits: {command('limits')}")
    if status.failure is not None and status.state == "cancelled":
        lines += [f"{line(status.failure.reason)}: {line(status.failure.message)}", *_again(handle)]
    if status.state == "dead":
        lines.append(_letter(handle, status))
    if status.duplicate_of is not None and status.state == "succeeded":
        key = handle.key.removeprefix(f"{handle.task}:")
        lines.append(f"run it again: {command('rerun', handle.task, key)}")
    return lines


def _state(handle: Handle[Any], status: Status) -> str:
    now, since, due = datetime.now(UTC), instant_text(status.since), instant_text(status.due)
    attempts = f", {counted(status.attempts, 'attempt')}" if status.attempts else ""
    deaths = f", {counted(status.deaths, 'worker')} lost" if status.deaths else ""
    match status.state:
        case "queued" | "retrying" if status.waits_for is not None:
            until = f", about until {due}" if status.due is not None and status.due > now else ""
            said = f"{status.state}, waits for the limit {status.waits_for}{until}"
        case "queued" if status.due is not None and status.due > now:
            said = f"delayed until {due}"
        case "queued":
            said = "waiting in its queue"
        case "running":
            said = f"running since {since}" + (", asked to stop" if status.cancellation is not None else "")
        case "retrying" if status.deaths:
            said = f"{status.failure.reason if status.failure else 'worker lost'}, tries again at {due}"
        case "retrying":
            said = f"retrying at {due}"
        case "succeeded":
            said = f"succeeded {since}"
        case "dead":
            said = f"dead since {since}" + (f", {line(status.failure.reason)}" if status.failure else "")
        case "cancelled":
            said = f"cancelled {since}"
        case _:
            said = "unknown: nothing is stored of it" + (
                ", as of every at_least_once task that isn't dead" if handle.is_at_least_once else ""
            )
    if status.state in {"queued", "retrying"} and _is_paused(handle):
        said = f"paused ({said}): {command('resume', handle.queue.name)}"
    if status.duplicate_of is not None:
        said = f"duplicate of {line(status.duplicate_of)}, {said}"
    return f"{said}{attempts}{deaths}"


def _letter(handle: Handle[Any], status: Status) -> str:
    """A line about the task's dead letter. The record says dead until the letter runs, also after a redrive."""
    queue, every = search.find_in(handle.all_queues, status.id)
    if queue is None and every:
        return "its letter is no longer in the dead-letter queue: it was redriven or discarded"
    return f"see it: {command('dlq', 'show', (queue or handle.queue).name, status.id)}"


def _again(handle: Handle[Any]) -> list[str]:
    """A line about how to run a cancelled task after all."""
    key = handle.key.removeprefix(f"{handle.task}:")
    return [f"it has no dead letter. Run it after all: {command('rerun', handle.task, key)}"]


def _is_paused(handle: Handle[Any]) -> bool:
    try:
        return state(handle.queue) == "paused"
    except Exception as error:
        if lookup.is_denied(error):
            return False
        raise
