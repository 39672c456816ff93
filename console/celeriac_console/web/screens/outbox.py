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
from celeriac_console.web.replays.running import Running
from celeriac_console.web.screen import Action, Asked, Done, Room, Screen, View

PAGE = 50
LONGEST = 300
"""The most characters of a pattern."""


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
        "replays": [_shown(each) for each in asked.shared.replays.newest_first],
    }
    return View(data, command("outbox", "lag"))


def preview(asked: Asked) -> Done:
    """Count what a replay would publish."""
    running = asked.shared.replays.start(_replay(asked), asked.operator.name, dry=True)
    return Done("This is a preview: nothing was published.", f"/outbox/replays/{running.number}")


def replay(asked: Asked) -> Done:
    """Publish the rows of a preview."""
    before = asked.shared.replays.of(asked.path["number"])
    if not before.dry or before.ended_at is None or before.problem or before.was_stopped:
        raise UserError("Only what a finished preview has counted is published. Nothing was begun.")
    running = asked.shared.replays.start(before.replay, asked.operator.name, dry=False)
    asked.shared.live.outbox.get(fresh=True)
    return Done("The replay has begun.", f"/outbox/replays/{running.number}")


def stop(asked: Asked) -> Done:
    """Stop a replay after the rows at which it is."""
    running = asked.shared.replays.of(asked.path["number"])
    running.stop()
    running.wait(1.0)
    return Done("It stops after the rows at which it is.", f"/outbox/replays/{running.number}")


def progress(asked: Asked) -> View:
    """How far a replay is."""
    running = asked.shared.replays.of(asked.path["number"])
    data = {"replay": _shown(running), "counts": dict(running.counts)}
    asked_for = running.replay
    minutes = int((running.begun_at - asked_for.after).total_seconds() // 60) + 1
    words = ["--type", asked_for.type, "--since", f"{minutes}m", *(["--to", asked_for.to] if asked_for.to else [])]
    words += ["--even-expired"] * asked_for.even_expired + ["--dry-run"] * running.dry
    title = "Preview of a replay" if running.dry else "Replay"
    return View(data, command("outbox", "replay", *words), title, running.ended_at is None)


def _replay(asked: Asked) -> Replay:
    type_, to = asked.form.get("type", "").strip(), asked.form.get("to", "")
    if not type_ or len(type_) > LONGEST:
        raise UserError(f"Write a type of rows, or a pattern such as order.*, of at most {LONGEST} characters.")
    after = datetime.now(UTC) - duration(asked.form.get("since", ""))
    even_expired = asked.form.get("even_expired") == "yes"
    return Replay(type_, after, by_name.task(to).name if to else None, even_expired)


def _shown(running: Running) -> dict[str, Any]:
    return {
        "number": running.number,
        "dry": running.dry,
        "who": running.who,
        "type": running.replay.type,
        "after": running.replay.after,
        "to": running.replay.to,
        "even_expired": running.replay.even_expired,
        "begun_at": running.begun_at,
        "ended_at": running.ended_at,
        "was_stopped": running.was_stopped,
        "problem": running.problem,
        "found": running.counts["found"],
        "published": running.counts["published"],
    }


ROOM = Room(
    (
        Screen("/outbox", "Outbox", "outbox.html", read, menu="Outbox"),
        Screen("/outbox/replays/{number}", "Replay", "replay.html", progress, is_live=True, is_free=True),
    ),
    (
        Action("/outbox/preview", preview),
        Action("/outbox/replays/{number}/run", replay),
        Action("/outbox/replays/{number}/stop", stop),
    ),
)
