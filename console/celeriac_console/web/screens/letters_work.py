"""Redrive and discard of many dead letters: a preview, then a job."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from celeriac.model.queue import Queue
from celeriac_console.application import by_name
from celeriac_console.dlq.letter import died_at
from celeriac_console.dlq.queue_reader import Taken
from celeriac_console.dlq.redriver import which
from celeriac_console.terminal.errors import UserError
from celeriac_console.web.jobs.asked_rate import asked_rate
from celeriac_console.web.jobs.discard import Discard, Look
from celeriac_console.web.jobs.of_letters import Plan
from celeriac_console.web.jobs.redrive import Redrive
from celeriac_console.web.jobs.work import DISCARD, REDRIVE
from celeriac_console.web.letters.cache import MOST
from celeriac_console.web.letters.chosen import Chosen, chosen
from celeriac_console.web.letters.groups import groups
from celeriac_console.web.letters.reading import Reading
from celeriac_console.web.screen import Action, Asked, Done, Room, Screen, View
from celeriac_console.web.screens.dead_letters import lives_on, queue_of, reading_of, wanted_by
from celeriac_console.web.shown import address, part


@dataclass(frozen=True, slots=True)
class Moved:
    """Letters that can't go back to their queue: their task lives on another one now."""

    task: str
    queue: str
    count: int
    url: str
    """The preview of sending them there."""


def redrive(asked: Asked) -> View:
    """What a redrive would send."""
    reading, to = reading_of(asked), by_name.queue(asked.query.get("to") or asked.path["queue"])
    # What is shown is meant: a letter of this very instant, and one of a worker whose clock is ahead of this one.
    last = max([datetime.now(UTC), *(died_at(one.letter) for one in reading.letters)])
    wanted = wanted_by(asked).until(last + timedelta(microseconds=1))
    meant = [one for one in reading.letters if wanted.matches(one)]
    moved = list(_moved(reading.queue, wanted, meant, to))
    those = [one for one in meant if not lives_on(one.letter.task, to)]
    sent = len({which(one) for one in those})
    is_own = to.name == reading.queue
    data = _data(REDRIVE, reading, wanted, meant) | {
        "filters": chosen(asked.query).given,
        "to": "" if is_own else to.name,
        "moved": moved,
        "sent": sent,
        "same": len(those) - sent,
        "estimated": round(sent / len(reading.letters) * reading.total) if reading.letters else 0,
    }
    said = wanted.command(REDRIVE, reading.queue, to="" if is_own else to.name)
    return View(data, said, f"Redrive {reading.queue}" + ("" if is_own else f" to {to.name}"))


def discard(asked: Asked) -> View:
    """What a discard would delete: the letters that are shown, and no others."""
    reading, wanted = reading_of(asked), wanted_by(asked)
    meant = [one for one in reading.letters if wanted.matches(one)]
    data = _data(DISCARD, reading, wanted, meant) | {
        "shown": asked.shared.previews.keep(frozenset(one.message_id for one in meant)),
        "can_read_more": not reading.is_all and not reading.is_cut and reading.most < MOST,
        "most_of_all": MOST,
    }
    return View(data, wanted.command(DISCARD, reading.queue), f"Discard {reading.queue}")


def _data(what: str, reading: Reading, wanted: Chosen, meant: Sequence[Taken]) -> dict[str, Any]:
    return {
        "what": what,
        "queue": reading.queue,
        "given": wanted.given,
        "filters": wanted.given,
        "groups": groups((reading.queue, one) for one in meant),
        "matched": len(meant),
        "read": len(reading.letters),
        "total": reading.total,
        "is_all": reading.is_all,
    }


def _moved(queue: str, wanted: Chosen, meant: Sequence[Taken], to: Queue) -> Iterator[Moved]:
    counts = Counter(one.letter.task for one in meant)
    if wanted.filter.task is not None:
        counts[wanted.filter.task] += 0  # none of them may be among the letters that were read
    for task, count in counts.most_common():
        if home := lives_on(task, to):
            url = address(f"/dead-letters/{part(queue)}/{REDRIVE}", dict(wanted.given) | {"task": task, "to": home})
            yield Moved(task, home, count, url)


def start(asked: Asked) -> Done:
    """Start the job of a preview."""
    queue, what, form = queue_of(asked), asked.form.get("what", ""), asked.form
    plan, alone = Plan(queue, chosen(form), asked_rate(form)), asked.shared.letters.job
    work: Redrive | Discard
    if what == REDRIVE:
        to = by_name.queue(form["to"]) if form.get("to") else None
        work = Redrive(plan, alone, to)
    elif what == DISCARD:
        if form.get("sure") != "yes":
            raise UserError("discarded letters are gone for good: tick the box that says so. Nothing was done")
        work = Discard(plan, alone, _shown(asked))
    else:
        raise UserError("choose redrive or discard")
    job = asked.shared.jobs.start(work, asked.operator.name)
    return Done("It goes on when you close this page.", f"/jobs/{job.number}")


def look(asked: Asked) -> Done:
    """Count what a discard of the whole queue would delete."""
    plan = Plan(queue_of(asked), chosen(asked.form), None)
    job = asked.shared.jobs.start(Look(plan, asked.shared.letters.job, asked.shared.previews.keep), asked.operator.name)
    return Done("This only counts: nothing is discarded.", f"/jobs/{job.number}")


def _shown(asked: Asked) -> frozenset[str]:
    """The letters that the preview has shown."""
    try:
        return asked.shared.previews.of(asked.form.get("shown", ""))
    except KeyError:
        raise UserError("this preview is forgotten: look at it again. Nothing was done") from None


ROOM = Room(
    (
        Screen("/dead-letters/{queue}/redrive", "Redrive", "letters_preview.html", redrive),
        Screen("/dead-letters/{queue}/discard", "Discard", "letters_preview.html", discard),
    ),
    (Action("/dead-letters/{queue}/jobs", start), Action("/dead-letters/{queue}/looks", look)),
)
