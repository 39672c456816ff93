"""The quarantine: tasks and kinds of failure whose messages become dead letters, unrun, until an operator lifts it.

The quarantine is one item of the idempotency table. A worker reads the item at most once a minute.
"""

from datetime import UTC, datetime, timedelta

from celeriac.aws.client import client
from celeriac.model import names, settings
from celeriac.model.failure import error_type
from celeriac.model.forks import Lock
from celeriac.observe.log import logger

ITEM = "celeriac#quarantine"
EVERY = timedelta(minutes=1)

_read_at = datetime.min.replace(tzinfo=UTC)
_entries: frozenset[str] = frozenset()
_reading = Lock()


def of_task(name: str) -> str:
    """The entry for every message of a task."""
    return f"task:{name}"


def of_failure(fingerprint: str) -> str:
    """The entry for messages that have failed in this way before, see `celeriac.model.failure.fingerprint`."""
    return f"failure:{fingerprint}"


def holds(entry: str) -> bool:
    """Whether `entry` is in quarantine, as of at most a minute ago."""
    if _is_old():
        with _reading:  # other threads wait: the entries aren't known until they are read
            if _is_old():
                refresh()
    return entry in _entries


def _is_old() -> bool:
    return not timedelta() <= datetime.now(UTC) - _read_at < EVERY


def refresh() -> None:
    """Read the entries again. If the table can't be read, the old entries stay, so that the work goes on."""
    global _read_at, _entries  # noqa: PLW0603 - a worker caches one item
    try:
        _entries = entries()
    except Exception as error:  # noqa: BLE001 - the table is throttled, or can't be reached
        logger.warning("quarantine not read", extra={"error": error_type(error)})
    _read_at = datetime.now(UTC)


def entries() -> frozenset[str]:
    """The entries in quarantine now."""
    answer = client("dynamodb").get_item(TableName=_table(), Key={"id": {"S": ITEM}})
    return frozenset(answer.get("Item", {}).get("entries", {}).get("SS", ()))


def add(entry: str) -> None:
    """Put `entry` in quarantine. Workers apply it within a minute."""
    _change("ADD", entry)


def lift(entry: str) -> None:
    """End the quarantine of `entry`. Its dead letters stay dead letters until they are redriven."""
    _change("DELETE", entry)


def _change(verb: str, entry: str) -> None:
    client("dynamodb").update_item(
        TableName=_table(),
        Key={"id": {"S": ITEM}},
        UpdateExpression=f"{verb} entries :entry",
        ExpressionAttributeValues={":entry": {"SS": [entry]}},
    )


def _table() -> str:
    return names.idempotency_table(settings.stage())
