"""A limit as the screens show it."""

from dataclasses import dataclass
from datetime import datetime

from celeriac.flow.standing import Standing
from celeriac_console.limits.rows import Row
from celeriac_console.limits.words import now_text, row_text

_KINDS = {"open": "bad", "held open": "bad", "blocked": "warn", "half-open": "warn", "full": "warn", "line": "warn"}
_SAID = {"line": "used up", "full": "all places are held", "blocked": "the provider refuses"}


@dataclass(frozen=True, slots=True)
class Shown:
    """A limit, and how it stands."""

    row: Row
    now: str
    """How it stands, in a sentence."""
    state: str
    """The same, in a word or two."""
    kind: str
    """How that is coloured: ok, bad, warn."""
    waiting: int | None
    is_more: bool
    until: datetime | None


def shown(row: Row) -> Shown:
    """The limit as screens show it."""
    stands = row.standing
    if stands is None:
        is_open = row.override is not None and row.override.is_open and row.kind == "breaker"
        state = "held open" if is_open else f"one for each {' and '.join(row.by)}" if row.by else "not declared"
        return Shown(row, row_text(row), state, "bad" if is_open else "", None, is_more=False, until=None)
    return Shown(
        row, row_text(row), state_text(stands), kind_of(stands), stands.waiting, stands.waiting_is_more, stands.until
    )


def state_text(stands: Standing) -> str:
    """How it stands, in a word or two."""
    return _SAID.get(stands.state, stands.state)


def kind_of(stands: Standing) -> str:
    """How a state is coloured."""
    return _KINDS.get(stands.state, "ok")


__all__ = ["Shown", "kind_of", "now_text", "shown", "state_text"]
