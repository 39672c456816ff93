"""The end of a worker that is of no more use: its event loop is lost, or too many of its calls hang.

Nothing can stop a thread, or a task that blocks the loop, but the end of the process. Lambda, or who runs the worker
elsewhere, then starts a new one. See docs/decisions/0025-a-worker-that-ends-itself.md. Outside of Lambda a worker is
also told to end.
"""

import os
import sys
from contextlib import suppress
from datetime import timedelta

from celeriac.execute import loop, threads
from celeriac.model import notice

# Each call that hangs keeps a thread, its memory and its connections. This many are a worker's end.
MOST_LEFT_BEHIND = 10
# Lambda counts an invocation whose process has exited as failed, whatever the code.
EXIT_CODE = 1

exit_process = os._exit
"""Ends the process at once, in one place, so that a sandbox can start a new worker instead. `sys.exit` would wait for
the threads that hang."""


def reason() -> str | None:
    """Why this worker is to begin nothing more, or None."""
    return "it was told to" if notice.ends_at is not None else useless()


def useless(within: timedelta = timedelta()) -> str | None:
    """Why this worker must end itself, or None. If a task has just overrun, waits up to `within` for the event loop."""
    if loop.is_lost(within):
        return "its event loop is blocked"
    hanging = threads.left_behind()
    return f"{hanging} calls that overran still run" if hanging >= MOST_LEFT_BEHIND else None


def end(code: int = EXIT_CODE) -> None:
    """End the process. What isn't settled is delivered again."""
    loop.forget()
    threads.forget()
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):  # the log is lost, the end isn't
            stream.flush()
    exit_process(code)
