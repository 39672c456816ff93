"""The outbox: its lag, its parked rows, and replays."""

from datetime import UTC, datetime
from typing import Any

from celeriac.declare import registry
from celeriac_console.application import by_name
from celeriac_console.outbox import parked
from celeriac_console.outbox.replay import Replay
from celeriac_console.terminal.errors import UserError
from celeriac_console.terminal.next_steps import command
from celeriac_console.terminal.times import duration, instant
from celeriac_console.web.jobs.asked_rate import asked_rate
from celeriac_console.web.jobs.job import ENDED
from celeriac_console.web.jobs.of_outbox import OUTBOX, OfOutbox
from celeriac_console.web.screen import Action, Asked, Done, Room, Screen, View

PAGE = 50
LONGEST = 300
"""The most characters of a pattern."""
SOON = 1.0
"""Seconds that a request waits for a preview: most are short."""


def read(asked: Asked) -> View:
    """Lag, a page of the parked rows, and the form of a replay."""
    after = asked.query.get("after", "")
    found = asked.shared.live.outbox.get()
    if found.at is None and found.error is not None:
        raise found.error
    page = parked.page(instant(after) if after else None, PAGE)
    data: dict[str, Any] = {
        "outbox": found.value,
        "problem": found.problem,
        "rows": page.rows,
        "next": page.after,
        "after": after,
        "tasks": sorted(registry.tasks),
        "type": asked.query.get("type", "")[:LONGEST],
        "since": asked.query.get("since", "24h"),
        "to": asked.query.get("to", ""),
        "even_expired": asked.query.get("even_expired", ""),
        "jobs": [job.progress() for job in asked.shared.jobs.all() if job.work.on == OUTBOX],
    }
    return View(data, command("outbox", "lag"))


def preview(asked: Asked) -> Done:
    """Count what a replay would publish."""
    job = asked.shared.jobs.start(OfOutbox(_replay(asked), dry=True), asked.operator.name)
    job.wait_for(ENDED, SOON)
    return Done("This only counts: nothing is published.", f"/jobs/{job.number}")


def replay(asked: Asked) -> Done:
    """Publish the events that a preview has counted."""
    before = asked.shared.jobs.get(asked.form.get("job", ""))
    if not isinstance(before.work, OfOutbox) or before.progress().work.start is None:
        raise UserError("only what a finished preview has counted is published. Nothing was begun")
    job = asked.shared.jobs.start(OfOutbox(before.work.replay, asked_rate(asked.form), dry=False), asked.operator.name)
    return Done("It goes on when you close this page.", f"/jobs/{job.number}")


def _replay(asked: Asked) -> Replay:
    type_, to = asked.form.get("type", "").strip(), asked.form.get("to", "")
    if not type_ or len(type_) > LONGEST:
        raise UserError(f"Write a type of rows, or a pattern such as order.*, of at most {LONGEST} characters.")
    after = datetime.now(UTC) - duration(asked.form.get("since", ""))
    even_expired = asked.form.get("even_expired") == "yes"
    return Replay(type_, after, by_name.task(to).name if to else None, even_expired)


ROOM = Room(
    (Screen("/outbox", "Outbox", "outbox.html", read, menu="Outbox"),),
    (Action("/outbox/preview", preview), Action("/outbox/replay", replay)),
)
