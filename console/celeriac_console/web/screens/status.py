"""One sent task: found by its reference, id or key, with what has become of it; cancel, and run again."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from celeriac import Task
from celeriac.aws import scheduler
from celeriac.declare import registry
from celeriac.declare.handle import Handle
from celeriac.leases.status import Status
from celeriac.model.queue import MAX_DELAY
from celeriac.model.reason import Reason
from celeriac.model.settings import stage
from celeriac_console.application.arguments import value_for
from celeriac_console.delayed.waiting import find
from celeriac_console.lookup.find import found
from celeriac_console.lookup.forget import refuse_running, status_of, task_with_records
from celeriac_console.lookup.keys import key_and_record
from celeriac_console.lookup.rerun import prepared, refuse_unfinished
from celeriac_console.lookup.search import Answer
from celeriac_console.terminal.errors import UserError
from celeriac_console.terminal.next_steps import command
from celeriac_console.web.activity.noted import noted
from celeriac_console.web.forms.arguments import FormError, arguments
from celeriac_console.web.forms.field import Field
from celeriac_console.web.forms.fields import fields, typed
from celeriac_console.web.screen import Action, Again, Asked, Done, Room, Screen, View
from celeriac_console.web.screens.cancelling import UNFINISHED, cancel_one, reference
from celeriac_console.web.screens.tasks import task_of
from celeriac_console.web.shown import address

MOST_ANSWERS = 50
_UUID_VERSION = 7


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that has happened to a task, or that will."""

    at: datetime | None
    said: str
    kind: str = ""
    """How it is coloured: ok, bad, warn."""
    error: str = ""


def read(asked: Asked) -> View:
    """The tasks that the text names. One of them is shown whole."""
    text = (asked.path.get("ref") or asked.query.get("ref") or asked.query.get("find") or "").strip()
    of = asked.query.get("task", "")
    data: dict[str, Any] = {"ref": text, "task": of, "answers": [], "one": None}
    if not text:
        return View(data, "", is_live=False)
    tasks = [task_of(of)] if of else [task for _, task in sorted(registry.tasks.items())]

    def look() -> tuple[list[Answer], str]:
        answers = found(text, tasks, every_record=False)
        return answers, _schedule(*answers[0]) if len(answers) == 1 else ""

    # A search by id reads many records: it is done once, and not again and again.
    is_cheap = bool(of) or is_reference(text)
    answers, schedule = asked.shared.answers.of((of, text), look, fresh=not asked.is_tick) if is_cheap else look()
    data["answers"] = [_short(handle, status, text) for handle, status in answers[:MOST_ANSWERS]]
    words = ["--task", of, text] if of else [text]
    if len(answers) != 1:
        return View(data, command("status", *words), is_live=False)
    handle, status = answers[0]
    operator = asked.operator
    shows = operator.shows_arguments or (operator.sees_arguments and asked.query.get("result") == "shown")
    data["one"] = _whole(asked, handle, status, schedule, shows=shows)
    return View(data, command("status", *words), handle.task, is_live=is_cheap and status.state in UNFINISHED)


def is_reference(text: str) -> bool:
    """Whether a text names one task without a search: only its own record is read."""
    return "/" in text and "@" in text


def _short(handle: Handle[Any], status: Status, text: str) -> dict[str, Any]:
    return {
        "task": handle.task,
        "id": status.id or handle.id,
        "key": handle.key.removeprefix(f"{handle.task}:"),
        "state": status.state,
        "since": status.since,
        "url": address("/status", ref=text, task=handle.task),
    }


def _whole(asked: Asked, handle: Handle[Any], status: Status, schedule: str, *, shows: bool) -> dict[str, Any]:
    key = handle.key.removeprefix(f"{handle.task}:")
    failure = status.failure
    consumer = asked.shared.live.consumers.get().value.get(handle.queue.name, "none")
    return {
        "task": handle.task,
        "ref": handle.ref,
        "id": status.id or handle.id,
        "key": key,
        "queue": handle.queue.name,
        "guarantee": handle.guarantee,
        "state": status.state,
        "attempts": status.attempts,
        "deaths": status.deaths,
        "steps": steps(handle, status),
        "waits_for": status.waits_for,
        "progress": status.progress,
        "asked_to_stop": status.cancellation.text if status.cancellation is not None else "",
        "where": _where(handle, status, consumer, schedule),
        "consumer": consumer,
        "duplicate_of": status.duplicate_of,
        "has_result": status.result is not None,
        "result": status.result if shows else None,
        "shows_result": shows,
        "not_kept": status.not_kept,
        "traceback": failure.traceback if failure is not None and shows else "",
        "has_letter": status.state == "dead",
        "schedule": schedule,
        "cancels": reference(handle, status),
        "may_rerun": handle.guarantee != "at_least_once" and status.state in {"succeeded", "dead", "cancelled"},
    }


def steps(handle: Handle[Any], status: Status) -> list[Step]:
    """What has happened to a task, in order, as far as it is stored; at the end its state now."""
    failure, now = status.failure, datetime.now(UTC)
    sent = (
        failure.first_at if failure is not None and failure.first_at is not None else _made_at(status.id or handle.id)
    )
    taken = [Step(sent, "sent")] if sent is not None else []
    if handle.due is not None and sent is not None and (handle.due - sent).total_seconds() > 1:
        taken.append(Step(handle.due, "due"))
    if failure is not None and status.state in {"retrying", "running"} and failure.last_at is not None:
        error = ": ".join(filter(None, (failure.type, failure.message)))
        why = f": {failure.reason}" if failure.reason != "failed" else ""
        taken.append(Step(failure.last_at, f"attempt {failure.attempts} failed{why}", "bad", error))
    match status.state:
        case "queued" | "retrying" if status.waits_for is not None:
            taken = [step for step in taken if step.said != "due"]
            until = ", until about" if status.due is not None else ""
            taken.append(Step(status.due, f"waits for the limit {status.waits_for}{until}", "warn"))
        case "queued" if status.due is not None and status.due > now:
            taken = [step for step in taken if step.said != "due"] + [Step(status.due, "delayed: due", "warn")]
        case "queued":
            taken.append(Step(None, "waiting in its queue", "warn"))
        case "running":
            taken.append(Step(status.since, f"running, attempt {status.attempts}", "ok"))
        case "retrying":
            taken.append(Step(status.due, "tries again", "warn"))
        case "succeeded":
            taken.append(Step(status.since, "succeeded", "ok"))
        case "dead":
            reason = failure.reason if failure is not None else "no reason is known"
            error = ": ".join(filter(None, (failure.type, failure.message))) if failure is not None else ""
            taken.append(Step(status.since, f"dead, {reason}", "bad", error))
        case "cancelled":
            reason, error = (failure.reason, failure.message) if failure is not None else ("", "")
            said = "cancelled" if reason in {"", Reason.CANCELLED} else f"cancelled, {reason}"
            taken.append(Step(status.since, said, "warn", error))
        case _:
            taken.append(Step(None, "unknown: nothing is stored of it"))
    return taken


def _made_at(id_: str) -> datetime | None:
    """When an id was made: ours hold it."""
    try:
        made = UUID(id_)
    except ValueError:
        return None
    return datetime.fromtimestamp((made.int >> 80) / 1000, UTC) if made.version == _UUID_VERSION else None


def _where(handle: Handle[Any], status: Status, consumer: str, schedule: str) -> str:
    paused = ", which is paused" if consumer == "paused" else ""
    match status.state:
        case "queued" if schedule:
            return f"a schedule, which sends it to the queue {handle.queue.name} when it is due"
        case "retrying" if _is_far(status):
            return f"a schedule, which sends it to the queue {handle.queue.name} when it is due"
        case "retrying" if status.due is not None and status.due > datetime.now(UTC):
            return f"the queue {handle.queue.name}{paused}, hidden until it is due"
        case "queued" | "retrying":
            return f"the queue {handle.queue.name}{paused}"
        case "running":
            return f"a worker of the queue {handle.queue.name}"
        case "cancelled":
            return "nowhere: it was cancelled, and has no dead letter"
        case "dead":
            return f"the dead letters of {handle.queue.name}, unless it was redriven or discarded"
    return ""


def _is_far(status: Status) -> bool:
    """Whether a retry waits for longer than SQS can delay a message."""
    failed_at = status.failure.last_at if status.failure is not None else None
    return status.due is not None and failed_at is not None and status.due - failed_at > MAX_DELAY


def _schedule(handle: Handle[Any], status: Status) -> str:
    """The name of the schedule in which it waits; empty if it waits in none that can be found."""
    if status.state != "queued" or status.due is None or status.due <= datetime.now(UTC) or status.waits_for:
        return ""
    for queue in handle.all_queues:
        name = scheduler.first_name(queue.physical_name(stage()), handle.task, status.id or handle.id)
        if find(name) is not None:
            return name
    return ""


def read_again(asked: Asked) -> View:
    """The form that runs a task again."""
    task, key = _asked_again(asked.query)
    found_fields = fields(task, {task.key: _key_value(task, key)} if task.key is not None else None)
    return _again_view(task, key, found_fields, "", "")


def run_again(asked: Asked) -> Done | Again:
    """Delete the record of a key, and send a message for it."""
    form = asked.form
    task, key = _asked_again(form)
    group = form.get("group", "")

    def again(filled: list[Field], why: str) -> Again:
        view = _again_view(task, key, filled, group, why)
        return Again("again.html", view, "/run-again")

    try:
        given = arguments(task, form)
    except FormError as error:
        return again(typed(task, form, error.errors), error.errors.get("", ""))
    try:
        ready = prepared(task, key, given, group=group or None)
        status = status_of(task, ready.full, ready.seen)
        if status is not None:
            refuse_running(task, ready.full, status)
            refuse_unfinished(task, key, status)
    except (UserError, TypeError, ValueError) as error:
        return again(typed(task, form, {}), str(error).removeprefix(f"task {task.name!r}: "))
    with noted(asked.operator, "rerun", {"task": task.name}) as outcome:
        handle = ready.run(status)
        outcome.count = 1
    return Done(f"{task.name} was sent again.", address("/status", ref=handle.ref))


def _asked_again(given: Any) -> tuple[Task[..., Any, Any], str]:
    name, key = given.get("task", ""), given.get("of", "")
    task_of(name)
    if not key:
        raise UserError("say the key of the task that is to run again")
    return task_with_records(name), key


def _key_value(task: Task[..., Any, Any], key: str) -> object:
    return value_for(task, task.key or "", key)


def _again_view(task: Task[..., Any, Any], key: str, filled: list[Field], group: str, why: str) -> View:
    full, seen = key_and_record(task, key)
    status = status_of(task, full, seen)
    data: dict[str, Any] = {
        "task": task.name,
        "key": key,
        "steps": steps(task.handle_of(status.id, full), status) if status is not None else [],
        "fields": filled,
        "fifo": task.queue.fifo,
        "group": group,
        "why": why,
    }
    return View(data, command("rerun", task.name, key), title=f"Run {task.name} again")


ROOM = Room(
    (
        Screen("/status", "Find a task", "status.html", read, menu="Find a task"),
        Screen("/status/{ref:path}", "Find a task", "status.html", read),
        Screen("/run-again", "Run again", "again.html", read_again),
    ),
    (Action("/status/cancel", cancel_one), Action("/run-again", run_again)),
)
