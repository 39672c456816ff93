"""The overview: every queue, problems first."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from celeriac_console.terminal.next_steps import command
from celeriac_console.web.live.deploys import last
from celeriac_console.web.queue_state.row import Row, rows
from celeriac_console.web.screen import Asked, Room, Screen, View

LONGEST_LAG = 180
"""Seconds. The relay needs about one, and the sweeper comes each minute, or each five in a stage that isn't watched."""
NO_SWEEP = 600
"""Seconds after which the sweeper should have run, in any stage."""

MOST_CHANGES = 5
LEAST_CHANGE = 0.1
"""Failures a minute. A smaller change is none."""


@dataclass(frozen=True, slots=True)
class Change:
    """Failures of a queue, a minute."""

    queue: str
    before: float
    """In the part of the last hour before the last deploy."""
    since: float


def read(asked: Asked) -> View:
    """Every queue with its state, the ones with problems first; then the outbox, the deploys and the alarms."""
    live, identity = asked.shared.live, asked.shared.identity
    now = live.now()
    problems = now.problems()
    wanted = asked.query.get("find", "").lower()
    found = rows(live.queues, now, identity.stage)
    swept_at = now.figures.value.swept_at
    sweeper_is_late = swept_at is not None and (datetime.now(UTC) - swept_at).total_seconds() > NO_SWEEP
    data: dict[str, Any] = {
        "rows": [row for row in found if wanted in row.queue],
        "wrong": sum(bool(row.problems) for row in found),
        "dead": sum(row.dead for row in found),
        "number": len(found),
        "alarms": now.alarms.value,
        "outbox": now.outbox.value,
        "lag_is_long": now.outbox.value is not None and now.outbox.value.lag_seconds > LONGEST_LAG,
        "swept_at": swept_at,
        "sweeper_is_late": sweeper_is_late,
        "stacks": now.deploys.value,
        "deployed_at": last(now.deploys.value),
        "changes": _changes(found),
        "quarantines": sorted(now.quarantines.value),
        "has_breakers": any(row.kind == "breaker" for row in now.limits.value.rows),
        "open_breakers": [row.name for row in now.limits.value.open_breakers],
        "has_figures": bool(now.figures.value.queues),
        "read_at": now.counts.at,
        "unseen": problems,
        "find": wanted,
    }
    return View(data, command("queues"))


def _changes(found: Sequence[Row]) -> list[Change]:
    """Where failures have become more or fewer since the last deploy, the largest changes first."""
    rates = [(row.queue, row.since_deploy) for row in found]
    changes = [Change(queue, *its) for queue, its in rates if its is not None and abs(its[1] - its[0]) >= LEAST_CHANGE]
    return sorted(changes, key=lambda change: (-abs(change.since - change.before), change.queue))[:MOST_CHANGES]


ROOM = Room((Screen("/", "Overview", "overview.html", read, menu="Overview", is_live=True),))
