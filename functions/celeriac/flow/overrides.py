"""What operators have set at run time: `celeriac limits set`, `open`, `close`. One item, read once a minute."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated

import msgspec
from msgspec import Meta

from celeriac.flow import rows
from celeriac.flow.rate import Pace
from celeriac.flow.rows import Write
from celeriac.model.failure import error_type
from celeriac.model.forks import Lock
from celeriac.model.limits import LONGEST_PER, MOST_BURST, MOST_PLACES, MOST_STARTS, Concurrent, Rate
from celeriac.observe.log import logger

EVERY = timedelta(minutes=1)


class Override(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is set for one limit, in place of what is declared.

    One with a number below 1, or above what can be declared, isn't read: it would open a limit, or close it for good.
    """

    limit: Annotated[int, Meta(ge=1, le=MOST_STARTS)] | None = None
    """The number of starts of a Rate, or of places of a Concurrent."""
    per_microseconds: Annotated[int, Meta(ge=1, le=LONGEST_PER // timedelta(microseconds=1))] | None = None
    burst: Annotated[int, Meta(ge=1, le=MOST_BURST)] | None = None
    is_open: bool = False
    """Whether a Breaker is held open: nobody tries."""
    by: str = ""
    """Who has set it."""
    at: datetime | None = None


_decoder = msgspec.json.Decoder(Override)
_read_at = datetime.min.replace(tzinfo=UTC)
_overrides: Mapping[str, Override] = {}
_reading = Lock()


def of(name: str) -> Override | None:
    """What is set for a limit, as of at most a minute ago; None if nothing is."""
    global _read_at, _overrides  # noqa: PLW0603 - a worker caches one item
    if not timedelta() <= datetime.now(UTC) - _read_at < EVERY:
        with _reading:
            if not timedelta() <= datetime.now(UTC) - _read_at < EVERY:
                try:
                    _overrides = now()
                except Exception as error:  # noqa: BLE001 - the last known ones stay, so that the work goes on
                    logger.warning("overrides of limits not read", extra={"error": error_type(error)})
                _read_at = datetime.now(UTC)
    return _overrides.get(name)


def forget() -> None:
    """Know nothing, as a new worker."""
    global _read_at, _overrides
    _read_at, _overrides = datetime.min.replace(tzinfo=UTC), {}


def now() -> dict[str, Override]:
    """What is set now, by the limit's name. Raises AWS's errors."""
    found: dict[str, Override] = {}
    for name, text in written().items():
        try:
            found[name] = _decoder.decode(text)
        except msgspec.MsgspecError:
            logger.warning("override of a limit can't be read", extra={"limit": name})
    return found


def written() -> dict[str, str]:
    """What is set now, as it is stored, by the limit's name. Raises AWS's errors."""
    return in_item(rows.read(rows.OVERRIDES))


def in_item(item: Mapping[str, object]) -> dict[str, str]:
    """What the item `rows.OVERRIDES` says, as it is stored, by the limit's name."""
    return {
        name.removeprefix(_PREFIX): text
        for name, text in item.items()
        if isinstance(text, str) and name.startswith(_PREFIX)
    }


def read(text: str) -> Override | None:
    """What is stored of an override; None if it can't be read: a newer release wrote it."""
    try:
        return _decoder.decode(text)
    except msgspec.MsgspecError:
        return None


def replace(name: str, seen: str | None, override: Override | None) -> bool:
    """Set an override, or remove it for None, unless another one was set since `seen` was read.

    seen: what was stored of it; None for nothing. Returns whether it was written. Raises AWS's errors.
    """
    named = {"#name": _PREFIX + name}
    condition = "attribute_not_exists(#name)" if seen is None else "#name = :seen"
    values = {":seen": seen} if seen is not None else {}
    if override is None:
        write = Write(condition, values, removes=["#name"], names=named)
    else:
        text = msgspec.json.encode(override).decode()
        write = Write(condition, values | {":override": text}, ["#name = :override"], names=named)
    return not isinstance(rows.update(rows.OVERRIDES, write, lives_until=None), rows.Refused)


def put(name: str, override: Override) -> None:
    """Set an override. Workers apply it within a minute. Raises AWS's errors."""
    values = {":override": msgspec.json.encode(override).decode()}
    write = Write("", values, ["#name = :override"], names={"#name": _PREFIX + name})
    rows.update(rows.OVERRIDES, write, lives_until=None)


def lift(name: str) -> None:
    """Remove an override: what is declared counts again. Raises AWS's errors."""
    write = Write("", {}, removes=["#name"], names={"#name": _PREFIX + name})
    rows.update(rows.OVERRIDES, write, lives_until=None)


_PREFIX = "of_"


def pace_of(rate: Rate) -> Pace:
    """The numbers of a rate: what is set, as of at most a minute ago, else what is declared."""
    return pace_under(rate, of(rate.name))


def pace_under(rate: Rate, override: Override | None) -> Pace:
    """The numbers of a rate under an override. One that was set for a limit of another kind counts for nothing."""
    interval, at_once = rate.interval, rate.at_once
    if override is not None and override.limit and override.per_microseconds:
        interval = max(1, -(-override.per_microseconds // override.limit))
        at_once = override.burst or rate.burst or max(1, 1_000_000 // interval)
    return Pace(interval, (at_once - 1) * interval)


def places_of(limit: Concurrent) -> int:
    """The places of a Concurrent: what is set, as of at most a minute ago, else what is declared."""
    return places_under(limit, of(limit.name))


def places_under(limit: Concurrent, override: Override | None) -> int:
    """The places of a Concurrent under an override. One that was set for a Rate of this name counts for nothing."""
    if override is None or not override.limit or override.per_microseconds:
        return limit.places
    return min(override.limit, MOST_PLACES)
