"""Run a task again for a used key: what must be so before it, and the message."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from celeriac import InvalidArgumentsError, Task
from celeriac.dead_letters import search
from celeriac.declare.handle import Handle
from celeriac.leases.claim import MESSAGE
from celeriac.leases.status import Status
from celeriac_console.application.arguments import value_for
from celeriac_console.lookup.forget import delete_record
from celeriac_console.lookup.keys import key_and_record
from celeriac_console.terminal.errors import UserError
from celeriac_console.terminal.next_steps import command
from celeriac_console.terminal.times import instant_text


@dataclass(frozen=True, slots=True)
class Rerun:
    """A message that can be sent, and the record that is deleted before it."""

    task: Task[..., Any, Any]
    full: str
    """The whole key, `<task>:<value>`."""
    seen: Mapping[str, Any]
    """The key's record; empty if there is none."""
    given: dict[str, Any]
    """The arguments."""

    def run(self, status: Status | None) -> Handle[Any]:
        """Delete the record that holds `status`, and send. Raises UserError if the record has changed."""
        if status is not None:
            delete_record(self.task, self.full, self.seen)
        return self.task.enqueue(**self.given)


def prepared(task: Task[..., Any, Any], key: str, given: dict[str, Any], *, group: str | None) -> Rerun:
    """Check that the message can be sent. Nothing is changed.

    given: the arguments; the key parameter's may be left out. Raises UserError for an argument that contradicts the
    key, and for a group that the queue doesn't take; InvalidArgumentsError for arguments that the task doesn't take.
    """
    full, seen = key_and_record(task, key)
    given, own = with_key(task, key, seen, given)
    try:
        bound = task.options(group=group, key=own)
        bound.parcel(**given)
    except InvalidArgumentsError:
        raise
    except ValueError as error:  # a FIFO queue without a group
        raise UserError(str(error)) from error
    return Rerun(bound, full, seen, given)


def refuse_unfinished(task: Task[..., Any, Any], key: str, status: Status) -> None:
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
    if status.state == "dead":
        queue, every = search.find_in(task.all_queues, status.id)
        raise UserError(
            f"it is dead and its letter is gone: {forget_}, then send it again"
            if queue is None and every
            else "it is a dead letter, which holds its arguments: "
            f"{command('dlq', 'redrive', (queue or task.queue).name, '--id', status.id)}"
        )


def with_key(
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
