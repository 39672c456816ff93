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
from celeriac.model.limits import LONGEST_PER, MOST_BURST, MOST_STARTS, Rate
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
    for name, written in rows.read(rows.OVERRIDES).items():
        if isinstance(written, str) and name.startswith(_PREFIX):
            try:
                found[name.removeprefix(_PREFIX)] = _decoder.decode(written)
            except msgspec.MsgspecError:
                logger.warning("override of a limit can't be read", extra={"limit": name})
    return found


def put(name: str, override: Override) -> None:
    """Set an override. Workers apply it within a minute. Raises AWS's errors."""
    written = {":override": msgspec.json.encode(override).decode()}
    write = Write("", written, ["#name = :override"], names={"#name": _PREFIX + name})
    rows.update(rows.OVERRIDES, write, lives_until=None)


def lift(name: str) -> None:
    """Remove an override: what is declared counts again. Raises AWS's errors."""
    write = Write("", {}, removes=["#name"], names={"#name": _PREFIX + name})
    rows.update(rows.OVERRIDES, write, lives_until=None)


_PREFIX = "of_"


def pace_of(rate: Rate) -> Pace:
    """The numbers of a rate: what is set, else what is declared."""
    override = of(rate.name)
    interval, at_once = rate.interval, rate.at_once
    if override is not None and override.limit and override.per_microseconds:
        interval = max(1, -(-override.per_microseconds // override.limit))
        at_once = override.burst or rate.burst or max(1, 1_000_000 // interval)
    return Pace(interval, (at_once - 1) * interval)
