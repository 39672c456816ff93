"""What is noted of a FIFO message that waits for limits. The message stays in its queue, and so can't carry its slots.

Without the note it would be a newcomer at each return, and never start.
"""

from datetime import datetime, timedelta

from celeriac.flow import rows
from celeriac.flow.rows import Write
from celeriac.model.message import Message

# A day beyond the longest retention of a queue, together with what `rows.update` adds.
_LIVES = timedelta(days=14)


def write(queue: str, message_id: str, message: Message, *, until: datetime) -> None:
    """Note for how long a message waits. `message_id` is SQS's. Raises AWS's errors."""
    now = rows.now()
    rows.update(
        rows.of_wait(queue, message_id),
        Write(
            "", {":slots": message.slots or {}, ":now": now}, ["slots = :slots", "since = if_not_exists(since, :now)"]
        ),
        lives_until=rows.microseconds(until + _LIVES),
    )
