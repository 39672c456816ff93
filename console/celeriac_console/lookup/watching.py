"""Watches a task until it has ended."""

from datetime import timedelta
from typing import Any

from celeriac.aws import pause
from celeriac.declare.handle import Handle
from celeriac.leases.status import Status
from celeriac_console.terminal.progress import share_of
from celeriac_console.terminal.text import line

EVERY = timedelta(seconds=2)
"""A task's progress isn't written more often."""
ENDED = {"succeeded", "dead", "cancelled", "superseded", "unknown"}


def watched(handle: Handle[Any], status: Status) -> Status:
    """Show a task's progress in a bar, only on a terminal, until it has ended. Returns its last status."""
    with share_of(handle.task) as show:
        while status.state not in ENDED:
            made = status.progress
            show(line(str(made)) if made is not None else status.state, made.share if made is not None else None)
            pause.wait(EVERY.total_seconds())
            status = handle.status()
    return status
