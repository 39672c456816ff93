"""The schedules: recurring tasks with their next runs, and tasks that wait in one-time schedules."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from celeriac import Task
from celeriac.declare import registry
from celeriac.model.firings import next_after
from celeriac_console.delayed import page
from celeriac_console.delayed.cancel import Cancelling, Outcome
from celeriac_console.delayed.filter import Filter, filter_of
from celeriac_console.delayed.sender import Sender
from celeriac_console.delayed.waiting import Waiting, look
from celeriac_console.explain import explanation
from celeriac_console.rate import Rate
from celeriac_console.terminal.errors import UserError
from celeriac_console.terminal.next_steps import command
from celeriac_console.terminal.plural import counted
from celeriac_console.web.activity.noted import noted
from celeriac_console.web.screen import Action, Asked, Done, Room, Screen, View
from celeriac_console.web.screens.tasks import task_of
from celeriac_console.web.shown import address

PAGE = 25
"""Each delayed task costs a call of Scheduler."""
MOST_LOOKED = 200
"""A page ends after so many schedules, however few match."""
MOST_CHOSEN = 500
"""So many are done at a time: the page shows what it will do before."""
NEXT_RUNS = 3
_FILTERS = ("queue", "task", "from", "until")


@dataclass(frozen=True, slots=True)
class Recurring:
    """A task with a schedule."""

    task: str
    queue: str
    schedule: str
    timezone: str
    next: tuple[datetime, ...]
    """The next runs; empty for a rate, whose first run isn't known, and for a schedule that has ended."""
    local: tuple[str, ...]
    """The same, in the time zone of the schedule."""
    is_ready: bool
    """Whether it runs without arguments."""


def read(asked: Asked) -> View:
    """The recurring tasks, and a page of the delayed ones."""
    filters = {name: asked.query.get(name, "") for name in _FILTERS}
    wanted, start = _wanted(filters), asked.query.get("page", "")
    listed = page.read(_prefix(filters), wanted, PAGE, start, most=MOST_LOOKED)
    data: dict[str, Any] = {
        "recurring": _recurring(datetime.now(UTC)),
        "delayed": [_row(one) for one in listed.tasks],
        "next": listed.next,
        "filters": filters,
        "is_filtered": any(filters.values()),
        "is_first": not start,
        "queues": [queue.name for queue in asked.shared.live.queues],
        "tasks": sorted(registry.tasks),
    }
    words = [word for name in ("task", "from", "until") if filters[name] for word in (f"--{name}", filters[name])]
    return View(data, command("delayed", "list", *filter(None, [filters["queue"]]), *words))


def choose(asked: Asked) -> View:
    """What an action would be done to: a preview with counts."""
    what = asked.query.get("do", "")
    if what not in {"cancel", "run-now"}:
        raise UserError("choose what to do: cancel or run-now")
    filters = {name: asked.query.get(name, "") for name in _FILTERS}
    if not any(filters.values()):
        raise UserError("choose the tasks with a queue, a task, or times first")
    listed = page.read(_prefix(filters), _wanted(filters), MOST_CHOSEN, most=MOST_CHOSEN)
    chosen = [one for one in listed.tasks if one.message is not None]
    counts = Counter((one.queue, one.task) for one in chosen)
    data: dict[str, Any] = {
        "do": what,
        "filters": filters,
        "names": [one.name for one in chosen],
        "counts": [
            {"queue": queue, "task": task, "number": number} for (queue, task), number in sorted(counts.items())
        ],
        "left_out": len(listed.tasks) - len(chosen),
        "is_more": listed.next is not None,
    }
    words = [word for name in _FILTERS if filters[name] for word in (f"--{name}", filters[name])]
    return View(data, command("delayed", what, *words), title="Cancel tasks" if what == "cancel" else "Run tasks now")


def cancel_chosen(asked: Asked) -> Done:
    """Cancel the tasks in the schedules that the form names."""
    chosen, back = _chosen(asked)
    work = Cancelling()
    with noted(asked.operator, "delayed cancel", _where(asked.form)) as outcome:
        work.cancel(chosen)
        outcome.count, outcome.said = work.counts[Outcome.CANCELLED], _ended(work.problems)
    told = [f"{counted(work.counts[Outcome.CANCELLED], 'delayed task')} cancelled."]
    told += [f"{work.counts[Outcome.RUNNING]} run now."] if work.counts[Outcome.RUNNING] else []
    told += [f"{work.counts[Outcome.ENDED]} had run before."] if work.counts[Outcome.ENDED] else []
    told += [f"{work.counts[Outcome.SENT]} may have been sent before."] if work.counts[Outcome.SENT] else []
    return Done(" ".join([*told, *_problems(work.problems)]), back)


def run_chosen(asked: Asked) -> Done:
    """Send the tasks in the schedules that the form names."""
    chosen, back = _chosen(asked)
    sender = Sender(Rate(None))
    with noted(asked.operator, "delayed run-now", _where(asked.form)) as outcome:
        try:
            sender.send(chosen)
        except Exception as error:
            found = explanation(error)
            if found is None or not sender.sent:
                raise
            sender.problems.append(found[0])
        outcome.count, outcome.said = sender.sent, _ended(sender.problems)
    told = [f"{counted(sender.sent, 'delayed task')} sent."]
    told += [f"{sender.firing} left to Scheduler, which sends them just now."] if sender.firing else []
    return Done(" ".join([*told, *_problems(sender.problems)]), back)


def run_recurring(asked: Asked) -> Done:
    """Send a recurring task now. Its schedule goes on as before."""
    task = task_of(asked.path["name"])
    if task.cron is None:
        raise UserError(f"{task.name} has no schedule")
    with noted(asked.operator, "send", {"task": task.name, "queue": task.queue.name}) as outcome:
        handle = task.enqueue()
        outcome.count = 1
    return Done(f"{task.name} was sent. Its schedule goes on as before.", address("/status", ref=handle.ref))


def _recurring(now: datetime) -> list[Recurring]:
    found = [task for _, task in sorted(registry.tasks.items()) if task.cron is not None]
    return [_one_recurring(task, task.cron or "", now) for task in found]


def _one_recurring(task: Task[..., Any, Any], schedule: str, now: datetime) -> Recurring:
    from zoneinfo import ZoneInfo  # noqa: PLC0415 - only an application with schedules needs the time zones

    runs: list[datetime] = []
    at: datetime | None = now
    while not schedule.startswith("rate(") and at is not None and len(runs) < NEXT_RUNS:
        at = next_after(schedule, task.timezone, at)
        runs += [at] if at is not None else []
    local = tuple(f"{run.astimezone(ZoneInfo(task.timezone)):%a %Y-%m-%d %H:%M}" for run in runs)
    is_ready = not any(task.signature.is_required(field) for field in task.signature.fields)
    return Recurring(task.name, task.queue.name, schedule, task.timezone, tuple(runs), local, is_ready)


def _row(one: Waiting) -> Mapping[str, Any]:
    message = one.message
    return {
        "name": one.name,
        "task": one.task,
        "id": one.id,
        "queue": one.queue,
        "due": one.due,
        "attempt": message.attempt if message is not None else None,
        "problem": one.problem,
    }


def _wanted(filters: Mapping[str, str]) -> Filter:
    return filter_of(filters["task"] or None, filters["from"] or None, filters["until"] or None)


def _prefix(filters: Mapping[str, str]) -> str:
    name = filters["queue"]
    if name and name not in registry.queues():
        raise LookupError(f"No queue is named {name!r}.")
    return f"{name}." if name else ""


def _chosen(asked: Asked) -> tuple[list[Waiting], str]:
    names = asked.form.get("names", "").split()
    if not names:
        raise UserError("no task is chosen")
    if len(names) > MOST_CHOSEN:
        raise UserError(f"choose up to {MOST_CHOSEN} tasks at a time")
    return look(list(dict.fromkeys(names))), address("/schedules", {name: asked.form.get(name) for name in _FILTERS})


def _where(form: Mapping[str, str]) -> dict[str, str]:
    names = form.get("names", "").split()
    return {name: form[name] for name in _FILTERS if form.get(name)} or ({"name": names[0]} if len(names) == 1 else {})


def _ended(problems: Sequence[str]) -> str:
    return f"done, {counted(len(problems), 'problem')}" if problems else "done"


def _problems(problems: Sequence[str]) -> list[str]:
    return [f"{counted(len(problems), 'problem')}, the first: {problems[0]}"] if problems else []


ROOM = Room(
    (
        Screen("/schedules", "Schedules", "schedules.html", read, menu="Schedules"),
        Screen("/delayed/choose", "Choose tasks", "choose.html", choose),
    ),
    (
        Action("/delayed/cancel", cancel_chosen),
        Action("/delayed/run-now", run_chosen),
        Action("/schedules/run/{name:path}", run_recurring),
    ),
)
