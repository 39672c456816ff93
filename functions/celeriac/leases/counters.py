"""What the record of a key on a FIFO queue remembers of the key's messages, within bounds.

A FIFO message comes back after a failed attempt, so its record counts. Messages of several groups may share a key: the
record has a counter for each that waits, `failed_<mark>`, and the marks of those that died last, `ended_messages`. A
message's counter is removed when the message ends. A counter of a message that ended without its record, because SQS
moved it for example, is removed when there are too many.
"""

from collections.abc import Iterable, Mapping
from typing import Any

_PREFIX = "failed_"
# A counter has 20 bytes: so the record stays within two write units.
MOST_COUNTED = 50
# A copy comes late if the acknowledgement was lost: the next ones of its key to die are few.
MOST_ENDED = 20
# An older release removed no counter. Each write removes this many, well below the 4 KB of an update expression:
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html
_MOST_REMOVED = 100


def name_of(mark: str) -> str:
    """The attribute that counts the failed attempts of a message."""
    return f"{_PREFIX}{mark}"


def all_of(record: Mapping[str, Any], mark: str) -> list[str]:
    """The counters to remove when the key has succeeded: no message of it runs again."""
    return [name_of(mark), *_others(record, mark)][:_MOST_REMOVED]


def surplus_of(record: Mapping[str, Any], mark: str) -> list[str]:
    """The counters to remove because there are too many. The highest ones go first: their messages have ended."""
    others = sorted(_others(record, mark), key=lambda name: int(record[name]), reverse=True)
    return others[: max(len(others) - MOST_COUNTED, 0)][:_MOST_REMOVED]


def with_ended(record: Mapping[str, Any], mark: str) -> str:
    """The value of `ended_messages` once this message has died, too."""
    before = [one for one in str(record.get("ended_messages", "")).split() if one != mark]
    return " ".join([*before, mark][-MOST_ENDED:])


def has_ended(record: Mapping[str, Any], mark: str) -> bool:
    """Whether the record remembers that this message is dead."""
    return mark in str(record.get("ended_messages", "")).split()


def _others(record: Mapping[str, Any], mark: str) -> Iterable[str]:
    return (name for name in record if name.startswith(_PREFIX) and name != name_of(mark))
