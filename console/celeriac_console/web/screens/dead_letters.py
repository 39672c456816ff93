"""Dead letters: groups by failure, the letters of a group, one letter; redrive and discard."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import typer

from celeriac.declare import registry
from celeriac_console.application import by_name
from celeriac_console.dlq.discarder import Discarder
from celeriac_console.dlq.letter import attempts_of, died_at, kind_of, reason_of
from celeriac_console.dlq.logs import log_query
from celeriac_console.dlq.queue_reader import Pass, Taken
from celeriac_console.dlq.redriver import Redriver
from celeriac_console.rate import Rate, rate_of
from celeriac_console.terminal.errors import UserError
from celeriac_console.terminal.next_steps import command
from celeriac_console.web.activity.noted import noted
from celeriac_console.web.forms.arguments import FormError, arguments
from celeriac_console.web.forms.field import Field
from celeriac_console.web.forms.fields import fields, typed, unknown
from celeriac_console.web.jobs.job import DISCARD, REDRIVE, Plan
from celeriac_console.web.letters import links
from celeriac_console.web.letters.cache import FIRST, MOST, Reading
from celeriac_console.web.letters.chosen import chosen
from celeriac_console.web.letters.groups import groups, place_of, wording
from celeriac_console.web.screen import Action, Again, Asked, Done, Room, Screen, View
from celeriac_console.web.shown import part

PAGE = 50


def _all(asked: Asked) -> View:
    counts = asked.shared.live.counts.get().value
    dead = {name: its["dead"] for name, its in counts.items() if its is not None and its["dead"]}
    free = [queue for queue in asked.shared.live.queues if queue.name in dead and not asked.shared.jobs.of(queue.name)]
    free.sort(key=lambda queue: -dead[queue.name])
    readings, wanted = asked.shared.letters.of_each(free), chosen(asked.query)
    meant = [(reading.queue, one) for reading in readings for one in reading.letters if wanted.matches(one)]
    data = {
        "queues": sorted(dead.items(), key=lambda each: -each[1]),
        "groups": groups(meant),
        "given": wanted.given,
        "read": sum(len(reading.letters) for reading in readings),
        "total": sum(dead.values()),
        "jobs": [job.progress() for job in asked.shared.jobs.all() if not job.progress().is_ended],
    }
    return View(data, command("dlq", "list"))


def _queue(asked: Asked) -> View:
    reading, wanted = _reading(asked), chosen(asked.query)
    meant = [one for one in reading.letters if wanted.matches(one)]
    page = _whole(asked.query.get("page", "1"), "page")
    shown = meant[(page - 1) * PAGE : page * PAGE] if wanted.kind else []
    data = {
        "queue": reading.queue,
        "given": wanted.given,
        "groups": groups((reading.queue, one) for one in meant),
        "letters": [_row(one) for one in shown],
        "matched": len(meant),
        "page": page,
        "is_last": page * PAGE >= len(meant),
        "read": len(reading.letters),
        "total": reading.total,
        "read_at": reading.at,
        "most": reading.most,
    }
    return View(data, wanted.command("list", reading.queue), f"Dead letters of {reading.queue}")


def _letter(asked: Asked) -> View:
    one, reading = _found(asked)
    task = registry.tasks.get(one.letter.task)
    shows = asked.operator.session.shows_arguments or asked.query.get("arguments") == "show"
    filled = fields(task, one.letter.args) if shows and task is not None else None
    return _letter_view(asked, one, reading, filled, shows=shows)


def _letter_view(
    asked: Asked, one: Taken, reading: Reading, filled: list[Field] | None, error: str = "", *, shows: bool = True
) -> View:
    letter, failure, shared = one.letter, one.letter.failure, asked.shared
    task, region = registry.tasks.get(letter.task), shared.identity.region
    data: dict[str, Any] = _row(one) | {
        "queue": reading.queue,
        "url": _url(reading.queue, one),
        "shows": shows,
        "arguments": letter.args if shows else None,
        "body": letter.body[:20_000] if shows and not letter.args else None,
        "fields": filled,
        "form_error": error,
        "unknown": unknown(task, letter.args) if shows and task is not None else [],
        "is_known": task is not None,
        "traceback": failure.traceback if failure is not None else "",
        "message": failure.message if failure is not None else "",
        "enqueued_at": failure.first_at if failure is not None else None,
        "attributes": {name: str(its.get("StringValue") or "(binary)") for name, its in letter.attributes.items()},
        "missing": letter.missing,
        "function": failure.function if failure is not None else "",
        "request_id": failure.request_id if failure is not None else "",
        "imported": failure.imported if failure is not None else "",
        "logs": log_query(letter),
        "logs_link": "" if shared.identity.is_local else links.logs(one, region),
        "trace_link": "" if shared.identity.is_local else links.trace_of(one, region),
    }
    return View(data, command("dlq", "show", reading.queue, letter.id), letter.task or "An unreadable letter")


def _preview(what: str) -> Screen:
    def read(asked: Asked) -> View:
        reading = _reading(asked)
        # What is shown is meant: a letter of this very instant, and one of a worker whose clock is ahead of this one.
        last = max([datetime.now(UTC), *(died_at(one.letter) for one in reading.letters)])
        wanted = chosen(asked.query).until(last + timedelta(microseconds=1))
        meant = [one for one in reading.letters if wanted.matches(one)]
        share = len(meant) / len(reading.letters) if reading.letters else 0
        data = {
            "what": what,
            "queue": reading.queue,
            "filters": chosen(asked.query).given,
            "given": wanted.given,
            "groups": groups((reading.queue, one) for one in meant),
            "matched": len(meant),
            "read": len(reading.letters),
            "total": reading.total,
            "is_all": reading.is_all,
            "estimated": round(share * reading.total),
        }
        if what == DISCARD:
            ids = frozenset(one.message_id for one in meant) if reading.is_all else None
            data["shown"] = asked.shared.previews.keep(ids)
        return View(data, wanted.command(what, reading.queue), f"{what.capitalize()} {reading.queue}")

    return Screen(f"/dead-letters/{{queue}}/{what}", what, "letters_preview.html", read)


def _start(asked: Asked) -> Done:
    queue, what = by_name.queue(asked.path["queue"]), asked.form.get("what", "")
    if what not in {REDRIVE, DISCARD}:
        raise UserError("choose redrive or discard")
    if what == DISCARD and asked.form.get("sure") != "yes":
        raise UserError("discarded letters are gone for good: tick the box that says so. Nothing was done")
    only = _shown(asked) if what == DISCARD else None
    rate, text = None, asked.form.get("rate", "").strip()
    if text:
        try:
            rate = rate_of(text)
        except typer.BadParameter as error:
            raise UserError(str(error)) from error
    plan = Plan(what, queue, chosen(asked.form), rate, asked.operator.name, only)
    job = asked.shared.jobs.start(plan, lambda: asked.shared.letters.forget(queue.name))
    return Done("It goes on when you close this page.", f"/jobs/{job.number}")


def _shown(asked: Asked) -> frozenset[str] | None:
    """The letters that the preview has shown; None if it has shown a sample."""
    try:
        return asked.shared.previews.of(asked.form.get("shown", ""))
    except KeyError:
        raise UserError("this preview is forgotten: look at it again. Nothing was done") from None


def _one_redriven(asked: Asked) -> Done | Again:
    one, reading = _found(asked)
    queue, args = by_name.queue(reading.queue), one.letter.args
    if asked.form.get("edited") == "yes":
        task = by_name.task(one.letter.task)
        try:
            args = arguments(task, asked.form)
        except FormError as error:
            filled = typed(task, asked.form, error.errors)
            view = _letter_view(asked, one, reading, filled, error.errors.get("", ""))
            return Again("letter.html", view, _url(reading.queue, one))
    with asked.shared.letters.lock(queue.name), noted(*_line(asked, "redrive", one)) as outcome:
        reading_ = Pass(queue, most=MOST)
        redriver = Redriver(
            reading_, queue, lambda each: each.message_id == one.message_id, lambda _: args, Rate(None), 1, None,
            advance=_until(reading_),
        )  # fmt: skip
        reading_.run(redriver.visit)
        outcome.count = redriver.redriven
        if not redriver.redriven:
            outcome.said = "not sent"
    asked.shared.letters.forget(queue.name)
    if redriver.unsent:
        raise UserError(f"it wasn't sent: {redriver.unsent[0]}")
    _must_be_found(redriver.matched)
    return Done(
        f"{one.letter.task or 'The letter'} was sent back to {queue.name}.", f"/dead-letters/{part(queue.name)}"
    )


def _one_discarded(asked: Asked) -> Done:
    one, reading = _found(asked)
    queue = by_name.queue(reading.queue)
    with asked.shared.letters.lock(queue.name), noted(*_line(asked, "discard", one)) as outcome:
        reading_ = Pass(queue, most=MOST)
        looked = _until(reading_)

        def advance(number: int) -> None:
            looked(number)
            if discarder.discarded:
                reading_.stop()

        discarder = Discarder(reading_, lambda each: each.message_id == one.message_id, advance)
        reading_.run(discarder.visit)
        outcome.count = discarder.discarded
    asked.shared.letters.forget(queue.name)
    _must_be_found(discarder.discarded)
    return Done("The letter was discarded.", f"/dead-letters/{part(queue.name)}")


def _arguments(asked: Asked) -> Done:
    asked.operator.session.shows_arguments = shows = asked.form.get("shows") == "yes"
    back = asked.form.get("back", "")
    is_ours = back.startswith("/dead-letters/") and "\\" not in back
    said = "Arguments are shown until this session ends." if shows else "Arguments are hidden again."
    return Done(said, back if is_ours else "/dead-letters")


def _reading(asked: Asked) -> Reading:
    queue = by_name.queue(asked.path["queue"]) if asked.path["queue"] in registry.queues() else None
    if queue is None:
        raise LookupError("No queue is named so.")
    if (job := asked.shared.jobs.of(queue.name)) is not None and job.progress().state != "paused":
        last = asked.shared.letters.last(queue.name)
        if last is None:
            raise UserError(f"job {job.number} works on this queue now: pause it, or wait, to read its letters")
        return last
    most = _whole(asked.query.get("most", str(FIRST)), "most")
    return asked.shared.letters.of(queue, most, fresh=asked.query.get("fresh") == "yes")


def _found(asked: Asked) -> tuple[Taken, Reading]:
    reading = _reading(asked)
    one = reading.find(asked.path["id"])
    if one is None and not reading.is_all:
        reading = asked.shared.letters.of(by_name.queue(reading.queue), MOST)
        one = reading.find(asked.path["id"])
    if one is None:
        where = "" if reading.is_all else f" among the first {len(reading.letters):,} of about {reading.total:,}"
        raise LookupError(f"No dead letter of {reading.queue} has this id{where}. It may have been redriven.")
    return one, reading


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


def _url(queue: str, one: Taken) -> str:
    return f"/dead-letters/{part(queue)}/letter/{part(one.message_id)}"


def _line(asked: Asked, what: str, one: Taken) -> tuple[str, str, Mapping[str, str]]:
    where = {"queue": asked.path["queue"], "task": one.letter.task, "id": one.letter.id}
    return asked.operator.name, f"dlq {what}", where


def _until(reading: Pass) -> Any:
    """Counts the letters that were looked at, and ends the pass after `MOST`."""
    seen = 0

    def advance(number: int) -> None:
        nonlocal seen
        seen += number
        if seen >= MOST:
            reading.stop()

    return advance


def _must_be_found(number: int) -> None:
    if not number:
        raise UserError("the letter isn't there any more, or another reader holds it. Read the queue again")


def _whole(text: str, what: str) -> int:
    if not text.isdecimal() or not int(text[:9]):
        raise UserError(f"{what} is a number from 1, not {text[:20]!r}")
    return int(text[:9])


ROOM = Room(
    (
        Screen("/dead-letters", "Dead letters", "dead_letters.html", _all, menu="Dead letters"),
        _preview(REDRIVE),
        _preview(DISCARD),
        Screen("/dead-letters/{queue}/letter/{id}", "Letter", "letter.html", _letter),
        Screen("/dead-letters/{queue}", "Dead letters", "dead_letters_of_queue.html", _queue),
    ),
    (
        Action("/dead-letters/arguments", _arguments),
        Action("/dead-letters/{queue}/jobs", _start),
        Action("/dead-letters/{queue}/letter/{id}/redrive", _one_redriven),
        Action("/dead-letters/{queue}/letter/{id}/discard", _one_discarded),
    ),
)
