"""The command as a shell starts it: quiet when it is interrupted while it starts, or when its reader goes away."""

import os
import signal
import sys
from types import FrameType
from typing import Never


def run() -> None:
    """Import the commands, which takes most of a second, and run the one that was typed."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        # Nothing has begun that would have to be ended: no traceback of half an import.
        signal.signal(signal.SIGINT, _leave)
    from celeriac.observe.log import logger  # noqa: PLC0415 - with the handler in place
    from celeriac_console.main import app  # noqa: PLC0415

    # Standard output is the command's own.
    logger.setLevel("CRITICAL")
    if signal.getsignal(signal.SIGINT) is _leave:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        app()
    finally:
        _flush()


def _leave(_signal: int, _frame: FrameType | None) -> Never:
    os._exit(128 + signal.SIGINT)


def _flush() -> None:
    """Write what is still held back; end with SIGPIPE's exit code where nobody reads it any more, as `cat` does."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        from celeriac_console.mistakes import READER_GONE  # noqa: PLC0415 - it is loaded by now
        from celeriac_console.screen import forget_reader  # noqa: PLC0415

        forget_reader()
        sys.exit(READER_GONE)
