"""The notice that a worker outside of Lambda gets: by when it must have ended. Lambda gives none.

A process has one worker, so all of its threads read the same notice.
"""

from datetime import UTC, datetime, timedelta

SETTLING = timedelta(seconds=5)
"""What is kept of the time for what follows from the end of a body: to send, record and acknowledge."""
SHARE = 4
"""But no more than this part of the time."""

ends_at: datetime | None = None
"""By when the process must have ended; None without a notice."""
bodies_end_at: datetime | None = None
"""When bodies that still run are cut off; None without a notice."""


def give(within: timedelta) -> None:
    """Let the worker end within this time. It begins nothing more. Only the first notice counts."""
    global ends_at, bodies_end_at  # noqa: PLW0603 - the process has one
    if ends_at is None:
        now = datetime.now(UTC)
        bodies_end_at = now + within - min(SETTLING, within / SHARE)
        ends_at = now + within


def withdraw() -> None:
    """Forget the notice, as a new process has none."""
    global ends_at, bodies_end_at  # noqa: PLW0603 - see `give`
    ends_at = bodies_end_at = None
