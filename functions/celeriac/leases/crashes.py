"""How many workers died of which message, where messages with one key take its record over from one another.

A record counts the deaths of the message that holds it. The counts of those from which it was taken over are beside
them: a message that kills its worker must end, and a healthy one with the same key must not end for it.
"""

from collections.abc import Mapping
from hashlib import sha256
from typing import Any

OTHERS = "crashes_of_others"
"""The attribute: a text of `<mark>:<count>`, the last one taken over at the end."""
# So many messages that kill their worker may share a key. With more of them, the first one is forgotten.
MOST = 20


def before(record: Mapping[str, Any], task_id: str) -> int:
    """How many workers died of a message, while they ran nothing else, before another one took the record over."""
    return _counts(record).get(_mark(task_id), 0)


def of_others(record: Mapping[str, Any], task_id: str) -> str:
    """The attribute's value once the message with this id has taken the record over; empty if there is nothing."""
    counts = _counts(record)
    holder = _mark(str(record.get("task_id", "")))
    if total := counts.pop(holder, 0) + int(record.get("crashes", 0)):
        counts[holder] = total
    counts.pop(_mark(task_id), None)
    return " ".join(f"{mark}:{count}" for mark, count in list(counts.items())[-MOST:])


def _counts(record: Mapping[str, Any]) -> dict[str, int]:
    pairs = (one.partition(":") for one in str(record.get(OTHERS, "")).split())
    return {mark: int(count) for mark, _, count in pairs}


def _mark(task_id: str) -> str:
    return sha256(task_id.encode()).hexdigest()[:12]
