"""A `Breaker`: closed, open, or half-open, when one task tries.

As long as nothing fails, nothing is written. The first failure begins to count outcomes.
"""

import os
import random
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Literal

from celeriac.flow import rows
from celeriac.flow.rows import Refused, Seen, Write
from celeriac.model.limits import Breaker

DUE, DUE_AT = "due", "due_at"
SHARDS = 8
_LONGEST_WAIT = timedelta(minutes=15)

type State = Literal["closed", "open", "half-open"]


def state_of(item: Mapping[str, Any], now: int) -> State:
    """The state that an item says."""
    if "open_until" not in item:
        return "closed"
    return "open" if int(item["open_until"]) > now else "half-open"


def counts(item: Mapping[str, Any]) -> bool:
    """Whether outcomes are counted: one has failed since the last clean time."""
    return "failed" in item


def wait(breaker: Breaker, item: Mapping[str, Any], now: int) -> timedelta:
    """How long a task waits for an open breaker: the longer it is open, the longer, so that no wait costs much."""
    has_been_open = timedelta(microseconds=max(now - int(item.get("opened_at", now)), 0))
    return min(max(breaker.pause, has_been_open) * random.uniform(1, 1.5), _LONGEST_WAIT)  # noqa: S311 - no secret


def take_probe(key: str, until: datetime, seen: Seen) -> str | None:
    """Be the one that tries. Returns a token; None if another one tries. Raises AWS's errors."""
    token, now = os.urandom(6).hex(), rows.now()
    end = rows.microseconds(until)
    write = Write(
        "open_until <= :now AND (attribute_not_exists(probe) OR probe_until < :now)",
        {":now": now, ":token": token, ":end": end},
        ["probe = :token", "probe_until = :end"],
    )
    is_taken = rows.change(key, write, seen, lives_until=end)
    # An earlier try may have been carried out, and its answer was lost.
    return token if is_taken or seen[key].get("probe") == token else None


def probed(key: str, token: str, breaker: Breaker, *, failed: bool | None) -> None:
    """Note how the one that tried has ended. None: that says nothing, so another one tries. Raises AWS's errors."""
    condition, values = "probe = :token", {":token": token}
    if failed is None:
        write = Write(condition, values, [], ["probe", "probe_until"])
        rows.update(key, write)
        return
    if failed:
        until = rows.now() + breaker.pause // timedelta(microseconds=1)
        write = Write(
            condition,
            values | {":until": until, ":due": _shard(key), ":due_at": _due_at(until)},
            # Both: while nobody came for it, the sweeper may have taken it out of the index.
            ["open_until = :until", f"{DUE} = :due", f"{DUE_AT} = :due_at"],
            ["probe", "probe_until"],
        )
        rows.update(key, write, lives_until=until)
        return
    rows.update(key, Write(condition, values, [], _ALL))


def count(key: str, breaker: Breaker, seen: Seen, *, failed: bool) -> None:
    """Count the outcome of a task that ran while it was closed. If too many failed, open it. Raises AWS's errors.

    The next messages of this worker see in `seen` that it is open.
    """
    if not failed and not counts(seen.get(key, {})):
        return
    written = rows.written(key, _count(failed=failed), seen)
    if written is None:
        if not failed or rows.living(seen.get(key, {})):
            return
        # It has expired, and isn't deleted yet: what it says of days ago would keep the breaker closed, or open it.
        rows.change(key, Write(f"{_IS_NEW} OR {rows.EXPIRES_AT} < :alive", {":alive": _alive()}, removes=_ALL), seen)
        written = rows.written(key, _count(failed=failed), seen)
        if written is None:
            return
    now = rows.now()
    if failed and int(written.get("failed", 0)) >= breaker.failures:
        until = now + breaker.pause // timedelta(microseconds=1)
        write = Write(
            "attribute_not_exists(open_until)",
            {":until": until, ":now": now, ":due": _shard(key), ":due_at": _due_at(until)},
            ["open_until = :until", "opened_at = :now", f"{DUE} = :due", f"{DUE_AT} = :due_at"],
            ["seen", "failed"],
        )
        rows.change(key, write, seen, lives_until=until)
    elif int(written["seen"]) >= breaker.of:
        write = Write("attribute_not_exists(open_until) AND seen >= :of", {":of": breaker.of}, [], ["seen", "failed"])
        rows.change(key, write, seen)


def _count(*, failed: bool) -> Write:
    # A success counts only from the first failure on: another task may have ended the count meanwhile.
    condition = "attribute_not_exists(open_until)" + ("" if failed else " AND attribute_exists(failed)")
    return Write(
        f"{condition} AND ({_IS_NEW} OR {rows.EXPIRES_AT} >= :alive)",
        {":one": 1, ":alive": _alive()},
        adds=["seen :one", "failed :one"] if failed else ["seen :one"],
    )


def _alive() -> int:
    return rows.now() // 1_000_000


_IS_NEW = f"attribute_not_exists({rows.EXPIRES_AT})"
_ALL = ["open_until", "opened_at", "probe", "probe_until", "seen", "failed", DUE, DUE_AT]


def close(key: str) -> bool:
    """Close it, whatever its state is. Returns whether there was anything to close. Raises AWS's errors."""
    return not isinstance(rows.update(key, Write(f"attribute_exists({rows.KEY})", {}, [], _ALL)), Refused)


def _shard(key: str) -> str:
    return f"{DUE}-{sum(key.encode()) % SHARDS}"


def _due_at(until: int) -> str:
    """When it is open until, as text that sorts by time."""
    return rows.instant(until).isoformat(timespec="seconds")
