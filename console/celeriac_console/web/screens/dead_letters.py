"""Dead letters: groups by failure, the letters of a group, one letter; what is done to one."""

from collections.abc import Mapping
from typing import Any

from celeriac import Task
from celeriac.declare import registry
from celeriac.model.message import MalformedMessageError, NewerVersionError, decode
from celeriac.model.queue import Queue
from celeriac_console.application import by_name
from celeriac_console.dlq.discarder import Discarder
from celeriac_console.dlq.letter import attempts_of, died_at, kind_of, reason_of
from celeriac_console.dlq.logs import log_query
from celeriac_console.dlq.queue_reader import Pass, Taken
from celeriac_console.dlq.redriver import Redriver
from celeriac_console.explain import explanation
from celeriac_console.rate import Rate
from celeriac_console.terminal.errors import UserError
from celeriac_console.terminal.next_steps import command
from celeriac_console.web.activity import store
from celeriac_console.web.activity.noted import noted
from celeriac_console.web.activity.of_letter import Redrive, redrives
from celeriac_console.web.forms.arguments import FormError, arguments, misfits
from celeriac_console.web.forms.field import Field
from celeriac_console.web.forms.fields import fields, typed, unknown
from celeriac_console.web.jobs.job import Progress
from celeriac_console.web.letters import links
from celeriac_console.web.letters.cache import FIRST, MOST
from celeriac_console.web.letters.chosen import chosen
from celeriac_console.web.letters.groups import groups, place_of, wording
from celeriac_console.web.letters.reading import Reading
from celeriac_console.web.letters.turns import JobAtWorkError
from celeriac_console.web.live.deploys import last
from celeriac_console.web.screen import Action, Again, Asked, Done, Room, Screen, View
from celeriac_console.web.shown import part

PAGE = 50
MOST_BODY = 20_000
"""The most characters that are shown of a body that nobody can read."""


def _all(asked: Asked) -> View:
    counts = asked.shared.live.counts.get().value
    dead = {name: its["dead"] for name, its in counts.items() if its is not None and its["dead"]}
    jobs = unended(asked)
    at_work = {job.on for job in jobs if job.state != "paused"}
    free = [queue for queue in asked.shared.live.queues if queue.name in dead and queue.name not in at_work]
    free.sort(key=lambda queue: -dead[queue.name])
    readings, wanted = asked.shared.letters.of_each(free), chosen(asked.query)
    meant = [(reading.queue, one) for reading in readings for one in reading.letters if wanted.matches(one)]
    data = {
        "queues": sorted(dead.items(), key=lambda each: -each[1]),
        "groups": groups(meant),
        "given": wanted.given,
        "deployed_at": last(asked.shared.live.deploys.get().value),
        "read": sum(len(reading.letters) for reading in readings),
        "total": max(sum(dead.values()), sum(len(reading.letters) for reading in readings)),
        "unread": len(free) - len(readings),
        "jobs": jobs,
    }
    return View(data, command("dlq", "list"))


def _queue(asked: Asked) -> View:
    name, wanted = queue_of(asked).name, chosen(asked.query)
    data: dict[str, Any] = {"queue": name, "given": wanted.given, "most_of_all": MOST}
    said, title = wanted.command("list", name), f"Dead letters of {name}"
    try:
        reading = reading_of(asked)
    except JobAtWorkError:
        return View(data | {"jobs": unended(asked, name)}, said, title, is_live=True)
    meant = [one for one in reading.letters if wanted.matches(one)]
    page = _whole(asked.query.get("page", "1"), "page")
    shown = meant[(page - 1) * PAGE : page * PAGE] if wanted.kind else []
    data |= {
        "groups": groups((name, one) for one in meant),
        "letters": [_row(one) for one in shown],
        "matched": len(meant),
        "page": page,
        "is_last": page * PAGE >= len(meant),
        "read": len(reading.letters),
        "total": reading.total,
        "read_at": reading.at,
        "most": reading.most,
        "is_cut": reading.is_cut,
        "deployed_at": last(asked.shared.live.deploys.get().value),
        "jobs": unended(asked, name),
    }
    return View(data, said, title)


def _letter(asked: Asked) -> View:
    one, queue = _found(asked)
    task = registry.tasks.get(one.letter.task)
    shows = asked.operator.session.shows_arguments or asked.query.get("arguments") == "show"
    filled = None
    if shows and task is not None and _is_readable(one):
        values = {name: value for name, value in one.letter.args.items() if name}
        # A letter without its arguments, which were stored elsewhere, needs all of them.
        filled = fields(task, values, misfits(task, values) if not one.letter.missing else None)
    return _letter_view(asked, one, queue, filled, shows=shows)


def _letter_view(
    asked: Asked,
    one: Taken,
    queue: Queue,
    filled: list[Field] | None,
    refused: FormError | None = None,
    *,
    shows: bool = True,
) -> View:
    letter, failure, shared = one.letter, one.letter.failure, asked.shared
    task, region = registry.tasks.get(letter.task), shared.identity.region
    strange = unknown(task, letter.args) if task is not None and filled is not None else []
    data: dict[str, Any] = _row(one) | {
        "queue": queue.name,
        "url": _url(queue.name, one),
        "shows": shows,
        "arguments": letter.args if shows else None,
        "body": letter.body[:MOST_BODY] if shows and not letter.args else None,
        "fields": filled,
        "form_error": refused.errors.get("", "") if refused is not None else "",
        "is_refused": refused is not None,
        "unknown": {name: letter.args[name] for name in strange},
        "is_known": task is not None,
        "is_readable": _is_readable(one),
        "is_misfit": task is not None and _is_readable(one) and not letter.missing and _is_misfit(task, letter.args),
        "lives_on": lives_on(letter.task, queue),
        "traceback": failure.traceback if failure is not None else "",
        "message": failure.message if failure is not None else "",
        "enqueued_at": failure.first_at if failure is not None else None,
        "attributes": {name: str(its.get("StringValue") or "(binary)") for name, its in letter.attributes.items()},
        "missing": letter.missing,
        "function": failure.function if failure is not None else "",
        "request_id": failure.request_id if failure is not None else "",
        "imported": failure.imported if failure is not None else "",
        "redrives": _redrives(one, queue),
        "logs": log_query(letter),
        "logs_link": "" if shared.identity.is_local else links.logs(one, region),
        "trace_link": "" if shared.identity.is_local else links.trace_of(one, region),
    }
    return View(data, command("dlq", "show", queue.name, letter.id), letter.task or "An unreadable letter")


def _one_redriven(asked: Asked) -> Done | Again:
    one, queue = _found(asked)
    args, to = one.letter.args, by_name.queue(asked.form.get("to") or queue.name)
    if asked.form.get("edited") == "yes":
        task = by_name.task(one.letter.task)
        try:
            args = arguments(task, asked.form)
        except FormError as error:
            filled = typed(task, asked.form, error.errors)
            view = _letter_view(asked, one, queue, filled, error)
            return Again("letter.html", view, _url(queue.name, one))
    more = {"to": to.name} if to is not queue else {}
    more |= {"arguments": "changed"} if args != one.letter.args else {}
    with asked.shared.letters.acting(queue.name), noted(*_line(asked, "redrive", one, **more)) as outcome:
        reading_ = Pass(queue, most=MOST)
        redriver = Redriver(
            reading_, to, lambda each: each.message_id == one.message_id, lambda _: args, Rate(None), 1, None,
            advance=_until(reading_),
        )  # fmt: skip
        reading_.run(redriver.visit)
        outcome.count = redriver.redriven
        if not redriver.redriven:
            outcome.said = "not sent"
    if redriver.unsent:
        raise UserError(f"it wasn't sent: {redriver.unsent[0]}")
    _must_be_found(redriver.matched, reading_)
    return Done(
        f"{one.letter.task or 'The letter'} was sent {'back ' * (to is queue)}to {to.name}.",
        f"/dead-letters/{part(queue.name)}",
    )


def _one_discarded(asked: Asked) -> Done:
    one, queue = _found(asked)
    with asked.shared.letters.acting(queue.name), noted(*_line(asked, "discard", one)) as outcome:
        reading_ = Pass(queue, most=MOST)
        discarder = Discarder(
            reading_, lambda each: each.message_id == one.message_id, Rate(None), _until(reading_), most=1
        )
        reading_.run(discarder.visit)
        outcome.count = discarder.discarded
    _must_be_found(discarder.discarded, reading_)
    return Done("The letter was discarded.", f"/dead-letters/{part(queue.name)}")


def _arguments(asked: Asked) -> Done:
    asked.operator.session.shows_arguments = shows = asked.form.get("shows") == "yes"
    back = asked.form.get("back", "")
    is_ours = back.startswith("/dead-letters/") and "\\" not in back
    said = "Arguments are shown until this session ends." if shows else "Arguments are hidden again."
    return Done(said, back if is_ours else "/dead-letters")


def reading_of(asked: Asked) -> Reading:
    """The first letters of the queue in the path. Raises JobAtWorkError, and AWS's errors."""
    queue = queue_of(asked)
    if any(job.state != "paused" for job in unended(asked, queue.name)):
        raise JobAtWorkError(queue.name)
    most = _whole(asked.query.get("most", str(FIRST)), "most")
    return asked.shared.letters.of(queue, most, fresh=asked.query.get("fresh") == "yes")


def _found(asked: Asked) -> tuple[Taken, Queue]:
    queue = queue_of(asked)
    one, total = asked.shared.letters.find(queue, asked.path["id"])
    if one is None:
        where = "" if total <= MOST else f" among the first {MOST:,} of about {total:,}"
        raise LookupError(f"No dead letter of {queue.name} has this id{where}. It may have been redriven.")
    return one, queue


def queue_of(asked: Asked) -> Queue:
    """The queue in the path. Raises LookupError."""
    if asked.path["queue"] not in registry.queues():
        raise LookupError("No queue is named so.")
    return by_name.queue(asked.path["queue"])


def unended(asked: Asked, queue: str | None = None) -> list[Progress]:
    """The jobs that haven't ended, of one queue or of all."""
    jobs = [job.progress() for job in asked.shared.jobs.all() if not job.is_ended]
    return [job for job in jobs if job.on == queue or (queue is None and job.on in registry.queues())]


def _redrives(one: Taken, queue: Queue) -> list[Redrive] | None:
    """Its redrives, as far as the newest lines of the activity tell; None if these can't be read."""
    failure = one.letter.failure
    sent_at = failure.first_at if failure is not None and failure.first_at is not None else one.letter.sent_at
    try:
        lines = store.read()
    except Exception as error:  # the letter is shown without them
        if explanation(error) is None:
            raise
        return None
    return redrives(lines, queue.name, one.letter.id, sent_at, one.letter.task)


def _is_readable(one: Taken) -> bool:
    """Whether this release understands the letter's message, so that its arguments can be changed."""
    try:
        decode(one.letter.body)
    except (MalformedMessageError, NewerVersionError):
        return False
    return True


def _is_misfit(task: Task[..., Any, Any], args: Mapping[str, object]) -> bool:
    return bool(unknown(task, args) or misfits(task, args))


def _row(one: Taken) -> dict[str, Any]:
    failure = one.letter.failure
    return {
        "id": one.letter.id,
        "message_id": one.message_id,
        "task": one.letter.task,
        "reason": reason_of(one.letter),
        "error": wording(one),
        "place": place_of(failure.traceback) if failure is not None else "",
        "attempts": attempts_of(one.letter),
        "died_at": died_at(one.letter),
        "kind": kind_of(one.letter),
    }


def lives_on(task: str, queue: Queue) -> str:
    """The queue of a task that doesn't run from this one any more; empty if it does, or isn't known here."""
    its = registry.tasks.get(task)
    return "" if its is None or its.runs_from(queue) else its.queue.name


def _url(queue: str, one: Taken) -> str:
    return f"/dead-letters/{part(queue)}/letter/{part(one.message_id)}"


def _line(asked: Asked, what: str, one: Taken, **more: str) -> tuple[str, str, Mapping[str, str]]:
    where = {"queue": asked.path["queue"], "task": one.letter.task, "id": one.letter.id}
    return asked.operator.name, f"dlq {what}", where | more


def _until(reading: Pass) -> Any:
    """Counts the letters that were looked at, and ends the pass after `MOST`."""
    seen = 0

    def advance(number: int) -> None:
        nonlocal seen
        seen += number
        if seen >= MOST:
            reading.stop()

    return advance


def _must_be_found(number: int, reading: Pass) -> None:
    if number:
        return
    if reading.total > MOST:
        raise UserError(
            f"the letter isn't among the first {MOST:,} that SQS gave, of about {reading.total:,}: redrive or discard "
            "with a filter that it matches. Nothing was done"
        )
    raise UserError("the letter isn't there any more, or another reader holds it. Read the queue again")


def _whole(text: str, what: str) -> int:
    """A number from 1. Raises UserError."""
    if not text.isdecimal() or not int(text[:9]):
        raise UserError(f"{what} is a number from 1, not {text[:20]!r}")
    return int(text[:9])


ROOM = Room(
    (
        Screen("/dead-letters", "Dead letters", "dead_letters.html", _all, menu="Dead letters"),
        Screen("/dead-letters/{queue}/letter/{id}", "Letter", "letter.html", _letter),
        Screen("/dead-letters/{queue}", "Dead letters", "dead_letters_of_queue.html", _queue),
    ),
    (
        Action("/dead-letters/arguments", _arguments),
        Action("/dead-letters/{queue}/letter/{id}/redrive", _one_redriven),
        Action("/dead-letters/{queue}/letter/{id}/discard", _one_discarded),
    ),
)
