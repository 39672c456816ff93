"""The entry point of `celeriac`. Ctrl-C during its start and a closed pipe end it without a traceback."""

import os
import signal
import sys
from types import FrameType
from typing import Never


def run() -> None:
    """Import the commands and run the one that was typed. The import takes almost a second."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        # No work has begun that needs cleaning up, so Ctrl-C ends at once, without the traceback of an import.
        signal.signal(signal.SIGINT, _leave)
    from celeriac.model.extras import MissingExtraError, need  # noqa: PLC0415 - after the handler is set

    try:
        need("cli", "the command `celeriac`")
    except MissingExtraError as error:
        sys.exit(f"celeriac: {error}")
    from celeriac.observe.log import logger  # noqa: PLC0415
    from celeriac_console.main import app  # noqa: PLC0415

    # Standard output is for the command's output, not for logs.
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
    """Write the buffered output. If the reader has closed the pipe, end with SIGPIPE's exit code, as `cat` does."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        from celeriac_console.terminal.errors import READER_GONE  # noqa: PLC0415 - loaded already
        from celeriac_console.terminal.screen import forget_reader  # noqa: PLC0415

        forget_reader()
        sys.exit(READER_GONE)
