"""Counts the breakers that are open, for their alarms and the dashboard."""

from collections import Counter
from datetime import UTC, datetime, timedelta

from celeriac.declare import registry
from celeriac.declare.declared_limits import breakers_of
from celeriac.flow import open_breakers, overrides
from celeriac.model.failure import error_place, error_type
from celeriac.observe import metrics
from celeriac.observe.log import logger

FORGOTTEN_AFTER = timedelta(minutes=15)
"""Whoever waits for a breaker comes again within this time. If nobody has tried it by then, nobody waits."""
MOST_FORGOTTEN = 25
"""So many of a shard leave the index in each sweep: each is a write."""


def count_breakers() -> None:
    """Write how many breakers of each declared name are open, zero included. Without breakers nothing is read.

    If they can't be read, nothing is written and the sweep goes on.
    """
    declared = [breaker.name for breaker in breakers_of(registry.tasks.values())]
    if not declared:
        return
    try:
        found = _count()
    except Exception as error:  # noqa: BLE001 - no error here may stop the publishing
        logger.error("breakers not counted", extra={"error": error_type(error), "where": error_place(error)})
        return
    metrics.write_open_breakers({name: found[name] for name in declared})


def _count() -> Counter[str]:
    oldest = datetime.now(UTC) - FORGOTTEN_AFTER
    # One that an operator holds open counts too: its tasks wait, and somebody may have forgotten it.
    found = Counter(name for name, override in overrides.now().items() if override.is_open)
    for shard in open_breakers.shards():
        breakers = open_breakers.listed(shard)
        found.update(each.limit for each in breakers if each.until > oldest)
        for forgotten in [each for each in breakers if each.until <= oldest][:MOST_FORGOTTEN]:
            open_breakers.leave(forgotten)
    return found
