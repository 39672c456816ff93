"""One dead letter: its failure, its arguments in a form, its redrives; what is done to it."""

from collections.abc import Callable, Mapping
from typing import Any

from celeriac import Task
from celeriac.dead_letters.dead_letter import DeadLetter
from celeriac.declare import registry
from celeriac.model.message import MalformedMessageError, NewerVersionError, decode
from celeriac.model.queue import Queue
from celeriac_console.application import by_name
from celeriac_console.dlq.discarder import Discarder
from celeriac_console.dlq.logs import log_query
from celeriac_console.dlq.queue_reader import Pass, Taken, Visit
from celeriac_console.dlq.redriver import Redriver
from celeriac_console.dlq.same_arguments import same_arguments
from celeriac_console.explain import explanation, is_of_login
from celeriac_console.rate import Rate
from celeriac_console.stage import clients
from celeriac_console.terminal.errors import UserError
from celeriac_console.terminal.next_steps import command
from celeriac_console.web.activity import store
from celeriac_console.web.activity.noted import noted
from celeriac_console.web.activity.of_letter import Redrive, redrives
from celeriac_console.web.forms.arguments import FormError, arguments, misfits
from celeriac_console.web.forms.field import Field
from celeriac_console.web.forms.fields import fields, typed, unknown
from celeriac_console.web.guard.operator import Operator
from celeriac_console.web.letters import links
from celeriac_console.web.letters.cache import MOST
from celeriac_console.web.letters.reading import EACH_WORKER
from celeriac_console.web.screen import Action, Again, Asked, Done, Room, Screen, View
from celeriac_console.web.screens.dead_letters import lives_on, queue_of, row, url_of
from celeriac_console.web.shown import part

MOST_BODY = 20_000
"""The most characters that are shown of a body that nobody can read."""


def _letter(asked: Asked) -> View:
    one, queue = _found(asked)
    task = registry.tasks.get(one.letter.task)
    operator = asked.operator
    shows = operator.shows_arguments or (operator.sees_arguments and asked.query.get("arguments") == "show")
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
    data: dict[str, Any] = row(one) | {
        "queue": queue.name,
        "url": url_of(queue.name, one),
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
        "attributes": _attributes(letter) if asked.operator.sees_arguments else {},
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


def _attributes(letter: DeadLetter) -> dict[str, str]:
    """What the sender wrote beside the body. It may say anything of the arguments."""
    return {name: str(its.get("StringValue") or "(binary)") for name, its in letter.attributes.items()}


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
            return Again("letter.html", view, url_of(queue.name, one))
    more = {"to": to.name} if to is not queue else {}
    more |= {"arguments": "changed"} if not same_arguments(args, one.letter.args) else {}
    with asked.shared.letters.acting(queue.name), noted(*_line(asked, "redrive", one, **more)) as outcome:
        reading_ = Pass(queue, most=MOST, each=EACH_WORKER)
        redriver = Redriver(
            reading_, to, lambda each: each.message_id == one.message_id, lambda _: args, Rate(None), 1, None,
            advance=_until(reading_),
        )  # fmt: skip
        problem = _passed(reading_, redriver.visit, lambda: redriver.redriven)
        outcome.count = redriver.redriven
        if not redriver.redriven:
            outcome.said = "not sent"
        elif redriver.undeleted:
            outcome.said = "sent, and not deleted"
            problem = f" It couldn't be deleted, so it is still a dead letter, and may be sent twice.{problem}"
    if redriver.unsent:
        raise UserError(f"it wasn't sent: {redriver.unsent[0]}")
    _must_be_found(redriver.matched, reading_)
    return Done(
        f"{one.letter.task or 'The letter'} was sent {'back ' * (to is queue)}to {to.name}.{problem}",
        f"/dead-letters/{part(queue.name)}",
    )


def _one_discarded(asked: Asked) -> Done:
    one, queue = _found(asked)
    with asked.shared.letters.acting(queue.name), noted(*_line(asked, "discard", one)) as outcome:
        reading_ = Pass(queue, most=MOST, each=EACH_WORKER)
        discarder = Discarder(
            reading_, lambda each: each.message_id == one.message_id, Rate(None), _until(reading_), most=1
        )
        problem = _passed(reading_, discarder.visit, lambda: discarder.discarded)
        outcome.count = discarder.discarded
    _must_be_found(discarder.discarded, reading_)
    return Done(f"The letter was discarded.{problem}", f"/dead-letters/{part(queue.name)}")


def _arguments(asked: Asked) -> Done:
    shows = asked.operator.sees_arguments and asked.form.get("shows") == "yes"
    asked.operator.session.shows_arguments = shows
    back = asked.form.get("back", "")
    is_ours = back.startswith("/dead-letters/") and "\\" not in back
    said = "Arguments are shown until this session ends." if shows else "Arguments are hidden again."
    return Done(said, back if is_ours else "/dead-letters")


def _found(asked: Asked) -> tuple[Taken, Queue]:
    queue = queue_of(asked)
    one, total = asked.shared.letters.find(queue, asked.path["id"])
    if one is None:
        where = "" if total <= MOST else f" among the first {MOST:,} of about {total:,}"
        raise LookupError(f"No dead letter of {queue.name} has this id{where}. It may have been redriven.")
    return one, queue


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


def _line(asked: Asked, what: str, one: Taken, **more: str) -> tuple[Operator, str, Mapping[str, str]]:
    where = {"queue": asked.path["queue"], "task": one.letter.task, "id": one.letter.id}
    return asked.operator, f"dlq {what}", where | more


def _passed(reading: Pass, visit: Visit, done: Callable[[], int]) -> str:
    """Pass over the queue. Returns what went wrong after the letter was done. Raises what went wrong before."""
    try:
        reading.run(visit)
    except Exception as error:
        found = explanation(error)
        if found is None or not done():
            raise
        if is_of_login(error):
            clients.forget()  # so that the page works again after a new login
        return f" Then this went wrong: {found[0]}"
    return ""


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


ROOM = Room(
    (Screen("/dead-letters/{queue}/letter/{id}", "Letter", "letter.html", _letter),),
    (
        Action("/dead-letters/arguments", _arguments),
        Action("/dead-letters/{queue}/letter/{id}/redrive", _one_redriven),
        Action("/dead-letters/{queue}/letter/{id}/discard", _one_discarded),
    ),
)
