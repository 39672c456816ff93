"""Dead letters: groups by failure, and the letters of a group."""

from typing import Any

from celeriac.declare import registry
from celeriac.model.queue import Queue
from celeriac_console.application import by_name
from celeriac_console.dlq.letter import attempts_of, died_at, is_death_known, kind_of, reason_of
from celeriac_console.dlq.queue_reader import Taken
from celeriac_console.terminal.errors import UserError
from celeriac_console.terminal.next_steps import command
from celeriac_console.web.jobs.job import Progress
from celeriac_console.web.letters.cache import FIRST, MOST
from celeriac_console.web.letters.chosen import Chosen, chosen
from celeriac_console.web.letters.groups import groups, place_of, wording
from celeriac_console.web.letters.reading import Reading
from celeriac_console.web.letters.turns import JobAtWorkError
from celeriac_console.web.live.deploys import last
from celeriac_console.web.screen import Asked, Room, Screen, View
from celeriac_console.web.shown import part

PAGE = 50


def _all(asked: Asked) -> View:
    counts = asked.shared.live.counts.get().value
    dead = {name: its["dead"] for name, its in counts.items() if its is not None and its["dead"]}
    jobs = unended(asked)
    at_work = {job.on for job in jobs if job.state != "paused"}
    free = [queue for queue in asked.shared.live.queues if queue.name in dead and queue.name not in at_work]
    free.sort(key=lambda queue: -dead[queue.name])
    readings, wanted = asked.shared.letters.of_each(free), wanted_by(asked)
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
    name, wanted = queue_of(asked).name, wanted_by(asked)
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
        "letters": [row(one) for one in shown],
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


def wanted_by(asked: Asked) -> Chosen:
    """The filter of the URL. Who may not see arguments may not search in them either."""
    wanted = chosen(asked.query)
    if wanted.given.get("text") and not asked.operator.sees_arguments:
        raise UserError("only operators may search in the bodies of letters: leave that filter empty")
    return wanted


def reading_of(asked: Asked) -> Reading:
    """The first letters of the queue in the path. Raises JobAtWorkError, and AWS's errors."""
    queue = queue_of(asked)
    if any(job.state != "paused" for job in unended(asked, queue.name)):
        raise JobAtWorkError(queue.name)
    most = _whole(asked.query.get("most", str(FIRST)), "most")
    return asked.shared.letters.of(queue, most, fresh=asked.query.get("fresh") == "yes")


def queue_of(asked: Asked) -> Queue:
    """The queue in the path. Raises LookupError."""
    if asked.path["queue"] not in registry.queues():
        raise LookupError("No queue is named so.")
    return by_name.queue(asked.path["queue"])


def unended(asked: Asked, queue: str | None = None) -> list[Progress]:
    """The jobs that haven't ended, of one queue or of all."""
    jobs = [job.progress(whole=asked.operator.sees_arguments) for job in asked.shared.jobs.all() if not job.is_ended]
    return [job for job in jobs if job.on == queue or (queue is None and job.on in registry.queues())]


def row(one: Taken) -> dict[str, Any]:
    """What tables show of a letter: without its arguments."""
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
        "is_of_sending": not is_death_known(one.letter),
        "kind": kind_of(one.letter),
    }


def url_of(queue: str, one: Taken) -> str:
    """The letter's screen."""
    return f"/dead-letters/{part(queue)}/letter/{part(one.message_id)}"


def lives_on(task: str, queue: Queue) -> str:
    """The queue of a task that doesn't run from this one any more; empty if it does, or isn't known here."""
    its = registry.tasks.get(task)
    return "" if its is None or its.runs_from(queue) else its.queue.name


def _whole(text: str, what: str) -> int:
    """A number from 1. Raises UserError."""
    if not text.isdecimal() or not int(text[:9]):
        raise UserError(f"{what} is a number from 1, not {text[:20]!r}")
    return int(text[:9])


ROOM = Room(
    (
        Screen("/dead-letters", "Dead letters", "dead_letters.html", _all, menu="Dead letters"),
        Screen("/dead-letters/{queue}", "Dead letters", "dead_letters_of_queue.html", _queue),
    )
)
