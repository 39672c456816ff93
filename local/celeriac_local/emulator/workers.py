"""How MiniStack's workers run here: behind MiniStack itself, and with all of their log lines."""

import os
import queue
import subprocess
import time
from types import SimpleNamespace
from typing import Any

# About a tenth of the processor, beside a process of the usual niceness 0.
NICENESS = 10
# What a worker prints after the lines of an invocation.
END = "\x1eend of the invocation"
# A worker prints its lines before it answers, so they come at once. A busy machine may read them later.
LONGEST_WAIT_SECONDS = 10.0
_SCRIPTS_END = "        _real_stdout.flush()\n\nrun()\n"


class Process(subprocess.Popen[str]):
    """The process of a worker. Dozens of them may start at once, and MiniStack must still answer their calls in time.

    On Lambda a worker doesn't share its processor with SQS and DynamoDB.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        os.setpriority(os.PRIO_PROCESS, self.pid, NICENESS)


def with_end(script: str) -> str:
    """The `script` that a worker runs, which now prints END after each invocation.

    Raises RuntimeError if the script isn't that of MiniStack 1.5.33.
    """
    if script.count(_SCRIPTS_END) != 1:
        raise RuntimeError("This patch doesn't fit this version of MiniStack. Adapt emulator/workers.py to it.")
    return script.replace(_SCRIPTS_END, f"        print({END!r}, flush=True)\n{_SCRIPTS_END}")


def log_of(worker: Any) -> str:
    """The lines of the worker's last invocation, up to its end or to the worker's death.

    MiniStack itself waits 50 ms for the first line. It adds a later one to the next invocation, or loses it.
    """
    lines: list[str] = []
    gives_up_at = time.monotonic() + LONGEST_WAIT_SECONDS
    while time.monotonic() < gives_up_at:
        is_dead = not worker._stderr_thread.is_alive()  # noqa: SLF001 - asked before the queue, so that no line is missed
        try:
            line = worker._stderr_queue.get(timeout=0.05)  # noqa: SLF001 - MiniStack has no public way
        except queue.Empty:
            if is_dead:
                break
        else:
            if line == END:
                break
            lines.append(line)
    return "\n".join(lines)


def install() -> None:
    """Patch MiniStack. Only its own process can do it."""
    from ministack.core import lambda_runtime  # type: ignore[import-not-found]  # noqa: PLC0415

    lambda_runtime._PYTHON_WORKER_SCRIPT = with_end(lambda_runtime._PYTHON_WORKER_SCRIPT)  # noqa: SLF001
    lambda_runtime.Worker._drain_stderr = log_of  # noqa: SLF001
    lambda_runtime.Worker._drain_stderr_bounded = log_of  # noqa: SLF001
    lambda_runtime.subprocess = SimpleNamespace(**(vars(subprocess) | {"Popen": Process}))
