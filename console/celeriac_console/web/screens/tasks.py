"""The tasks: each with its declaration, and a form that sends one."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import quote

from celeriac import Task
from celeriac.consume import quarantine
from celeriac.declare import registry
from celeriac_console.application.declared import declared
from celeriac_console.terminal.errors import UserError
from celeriac_console.terminal.next_steps import command
from celeriac_console.terminal.times import duration
from celeriac_console.web.activity.noted import noted
from celeriac_console.web.forms.arguments import FormError, arguments
from celeriac_console.web.forms.field import Field
from celeriac_console.web.forms.fields import fields, typed
from celeriac_console.web.letters.groups import Group, groups
from celeriac_console.web.letters.turns import JobAtWorkError
from celeriac_console.web.limits_shown import shown
from celeriac_console.web.screen import Action, Again, Asked, Done, Room, Screen, View
from celeriac_console.web.shown import address

MOST_FAILURES = 5


@dataclass(frozen=True, slots=True)
class Sending:
    """How a message is sent: what was typed, and what is wrong with it."""

    key: str = ""
    delay: str = ""
    group: str = ""
    error: str = ""


def task_of(name: str) -> Task[..., Any, Any]:
    """The task of this name. Raises LookupError for a name that no task has."""
    found = registry.tasks.get(name)
    if found is None:
        raise LookupError(
            f"No task is named {name!r} here. It was renamed or removed, or its module couldn't be imported."
        )
    return found


def read(asked: Asked) -> View:
    """Every task, or those whose name, queue or docstring has the text of `find`."""
    wanted = asked.query.get("find", "")
    rows = [_row(task) for _, task in sorted(registry.tasks.items())]
    rows = [row for row in rows if wanted.lower() in f"{row['task']} {row['queue']} {row['about']}".lower()]
    data = {"rows": rows, "find": wanted, "not_imported": sorted(registry.not_imported)}
    return View(data, command("tasks"))


def read_one(asked: Asked) -> View:
    """One task, with an empty form."""
    task = task_of(asked.path["name"])
    return _view(asked, task, fields(task), Sending())


def enqueue(asked: Asked) -> Done | Again:
    """Send a message with the form's arguments, once the task itself has accepted them."""
    task, form = task_of(asked.path["name"]), asked.form
    how = Sending(form.get("key", ""), form.get("delay", "").strip(), form.get("group", ""))
    try:
        given = arguments(task, form)
    except FormError as error:
        return _again(asked, task, typed(task, form, error.errors), how, error.errors.get("", ""))
    try:
        delay = duration(how.delay) if how.delay else timedelta()
        bound = task.options(key=how.key or None, group=how.group or None, delay=delay)
        bound.parcel(**given)
    except (UserError, ValueError, TypeError) as error:
        why = str(error).removeprefix(f"task {task.name!r}: ")
        return _again(asked, task, typed(task, form, {}), how, why)
    with noted(asked.operator, "send", {"task": task.name, "queue": task.queue.name}) as outcome:
        handle = bound.enqueue(**given)
        outcome.count = 1
    return Done(f"{task.name} was sent to {task.queue.name}.", address("/status", ref=handle.ref))


def _again(asked: Asked, task: Task[..., Any, Any], filled: list[Field], how: Sending, error: str) -> Again:
    how = Sending(how.key, how.delay, how.group, error)
    return Again("task.html", _view(asked, task, filled, how), f"/tasks/{quote(task.name, safe='')}")


def _view(asked: Asked, task: Task[..., Any, Any], filled: list[Field], how: Sending) -> View:
    live = asked.shared.live
    counts = live.counts.get()
    limits = live.limits.get()
    parts = {
        "messages": counts,
        "consumers": live.consumers.get(),
        "quarantine": live.quarantines.get(),
        "limits": limits,
    }
    unseen: dict[str, list[str]] = {}
    for name, part in parts.items():
        if part.problem:
            unseen.setdefault(part.problem, []).append(name)
    data: dict[str, Any] = {
        "task": _row(task),
        "fields": filled,
        "sending": how,
        "fifo": task.queue.fifo,
        "keeps_runs": task.queue.history and task.guarantee != "at_least_once",
        "counts": counts.value.get(task.queue.name),
        "consumer": live.consumers.get().value.get(task.queue.name, "none"),
        "is_quarantined": quarantine.of_task(task.name) in live.quarantines.get().value,
        "read_at": counts.at,
        "unseen": unseen,
        "limits": [shown(each) for each in limits.value.rows if task.name in each.tasks],
        "failures": _failures(asked, task),
    }
    return View(data, command("send", task.name), title=task.name)


def _failures(asked: Asked, task: Task[..., Any, Any]) -> list[Group]:
    """The newest failures of its dead letters, as far as they are among the first ones of its queue."""
    counts = asked.shared.live.counts.get()
    its = counts.value.get(task.queue.name)
    if counts.error is not None or its is None or not its["dead"]:
        return []
    try:
        reading = asked.shared.letters.of(task.queue)
    except JobAtWorkError:
        return []
    found = groups((task.queue.name, one) for one in reading.letters if one.letter.task == task.name)
    return sorted(found, key=lambda group: group.last, reverse=True)[:MOST_FAILURES]


def _row(task: Task[..., Any, Any]) -> Mapping[str, Any]:
    about = (task.function.__doc__ or "").strip()
    return declared(task) | {"about": about.partition("\n")[0].strip(), "doc": about, "timeout": _timeout(task)}


def _timeout(task: Task[..., Any, Any]) -> timedelta:
    return task.timeout or task.queue.timeout


ROOM = Room(
    (
        Screen("/tasks", "Tasks", "tasks.html", read, menu="Tasks"),
        Screen("/tasks/{name:path}", "Task", "task.html", read_one),
    ),
    (Action("/enqueue/{name:path}", enqueue),),
)
