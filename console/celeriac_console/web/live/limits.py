"""How the limits stand that are one for all, and which breakers are open."""

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime

from celeriac import Breaker
from celeriac.flow import breaker, open_breakers
from celeriac_console.application.limited import limits
from celeriac_console.limits.rows import Row, read_rows


@dataclass(frozen=True, slots=True)
class Limits:
    """All limits, as they are now."""

    rows: tuple[Row, ...] = ()
    opened: tuple[tuple[str, int], ...] = ()
    """Breakers with a `by`: for how many values each is open. Only those that are."""

    @property
    def open_breakers(self) -> tuple[Row, ...]:
        """The breakers that keep tasks waiting, for all or for some values of their `by`."""
        some = {name for name, _ in self.opened}
        return tuple(row for row in self.rows if row.name in some or _is_open(row))


def read() -> Limits:
    """Read them. No call is made if no task has a limit. Items of limits with a `by` aren't read."""
    declared = limits()
    if not declared:
        return Limits()
    opened = _opened() if _has_keyed_breakers() else Counter[str]()
    return Limits(tuple(read_rows(declared)), tuple(sorted(opened.items())))


def calls() -> int:
    """How many calls a read makes at most, for up to a hundred limits."""
    return bool(limits()) + breaker.SHARDS * _has_keyed_breakers()


def _is_open(row: Row) -> bool:
    held = row.override is not None and row.override.is_open and row.kind == "breaker"
    return held or (row.standing is not None and row.standing.state in {"open", "held open"})


def _has_keyed_breakers() -> bool:
    return any(isinstance(each.limit, Breaker) and each.limit.names for each in limits().values())


def _opened() -> Counter[str]:
    """For how many values each breaker with a `by` is open, from the table's index."""
    now = datetime.now(UTC)
    found = [each for shard in open_breakers.shards() for each in open_breakers.listed(shard)]
    return Counter(each.limit for each in found if each.until >= now and not each.key.endswith("#-"))
