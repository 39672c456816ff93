"""What is noted of a FIFO message that waits for limits. The message stays in its queue, and so can't carry its slots.

Without the note it would be a newcomer at each return, and never start.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from celeriac.flow import rows
from celeriac.flow.rows import Write
from celeriac.model.message import Message

# A day beyond the longest retention of a queue, together with what `rows.update` adds.
_LIVES = timedelta(days=14)


def write(queue: str, message_id: str, message: Message, *, until: datetime) -> None:
    """Note for how long a message waits. `message_id` is SQS's. Raises AWS's errors."""
    now, ends = rows.now(), rows.microseconds(until)
    write = Write(
        "",
        {":slots": message.slots or {}, ":now": now, ":wait": max(ends - now, 0), ":none": 0},
        [
            "slots = :slots",
            "since = if_not_exists(since, :now)",
            # If an answer is lost, it is added twice. So `waited` says it is at most the time since the first wait.
            "waited = if_not_exists(waited, :none) + :wait",
        ],
    )
    rows.update(rows.of_wait(queue, message_id), write, lives_until=rows.microseconds(until + _LIVES))


def waited(item: Mapping[str, Any]) -> timedelta:
    """How long a message has waited, as its note says: its waits, without its attempts and the times between them."""
    longest = max(rows.now() - int(item["since"]), 0)
    return min(int(item.get("waited", longest)), longest) * timedelta(microseconds=1)
