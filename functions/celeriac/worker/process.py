"""The process that `celeriac worker` runs: it polls one queue until it is told to end.

SIGTERM, or Ctrl-C, is the notice: nothing more is received, what has not begun goes back to the queue at once, and what
runs may go on for the stop timeout. A second signal ends the process at once. A process that is killed is like any
worker that dies: its messages come back, and its leases run out.
"""

import os
import signal
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from queue import SimpleQueue
from threading import Thread

from celeriac.aws import pause
from celeriac.aws.client import error_code
from celeriac.aws.sqs import NoSuchQueueError
from celeriac.execute import ending
from celeriac.model import notice
from celeriac.model.errors import NotConfiguredError
from celeriac.model.failure import error_type
from celeriac.model.fargate import READY_VARIABLE
from celeriac.observe.log import logger
from celeriac.worker.poller import Poller

SIGNALS = (signal.SIGTERM, signal.SIGINT)
STOP_TIMEOUT = timedelta(seconds=25)
"""ECS kills a container 30 s after its SIGTERM, unless its task definition says otherwise:
https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ContainerDefinition.html"""
FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 1, 30
"""How long the process waits after a poll that failed: twice as long each time."""
DIED_OF_SIGNAL = 128
"""A shell adds this to the number of a signal."""


def run(poller: Poller, stop_timeout: timedelta = STOP_TIMEOUT) -> None:
    """Poll until a signal comes, then end the process: with code 0, or 1 if it isn't over after the stop timeout.

    Call it from the process's main thread. It never returns. Raises what `poll_until_told` raises.
    """
    signals: SimpleQueue[int] = SimpleQueue()
    came: list[int] = []

    def told(number: int, _: object) -> None:
        # The interrupted code may hold any lock, that of the log included. Nothing here waits for one.
        if came:
            os._exit(DIED_OF_SIGNAL + number)
        came.append(number)
        signals.put(number)

    for number in SIGNALS:
        signal.signal(number, told)
    Thread(target=_end_in_time, args=(signals, poller, stop_timeout), name="notice", daemon=True).start()
    logger.info("the worker polls")
    poll_until_told(poller)
    logger.info("the worker has ended")
    ending.end(0)


def poll_until_told(poller: Poller) -> None:
    """Poll until there is a notice. A poll that fails is logged, and tried again after a while.

    Raises NotConfiguredError and NoSuchQueueError if the first poll does: later ones would fail for the same reason.
    """
    failed, has_polled = 0, False
    while notice.ends_at is None:
        try:
            poller.poll()
            if not has_polled:
                _tell_ready()
            failed, has_polled = 0, True
        except (NotConfiguredError, NoSuchQueueError) as error:
            if not has_polled:
                raise
            failed = _failed(error, failed)
        except Exception as error:  # noqa: BLE001 - SQS can't be reached, or refuses: that may pass
            failed = _failed(error, failed)


def _tell_ready() -> None:
    """Make the file that the container's health check looks for, if there is one."""
    if path := os.environ.get(READY_VARIABLE):
        Path(path).touch()


def _failed(error: Exception, before: int) -> int:
    """Log a poll that failed, after so many others, and wait. Returns how many have failed now."""
    seconds = min(FIRST_WAIT_SECONDS << min(before, 10), LONGEST_WAIT_SECONDS)
    fields = {"error": error_type(error), "code": error_code(error), "again_in_seconds": seconds}
    logger.error("nothing received", extra=fields)
    _wait(seconds, unless=lambda: notice.ends_at is not None)
    return before + 1


def _wait(seconds: int, *, unless: Callable[[], bool]) -> None:
    for _ in range(seconds):
        if unless():
            return
        pause.wait(1)


def _end_in_time(signals: "SimpleQueue[int]", poller: Poller, stop_timeout: timedelta) -> None:
    """Wait for the first signal, then see to it that the process ends."""
    number = signals.get()
    notice.give(stop_timeout)
    fields = {"signal": signal.Signals(number).name, "stop_timeout": stop_timeout.total_seconds()}
    logger.info("the worker was told to end", extra=fields)
    poller.give_back()
    pause.wait(stop_timeout.total_seconds())
    logger.error("the worker has not ended in time")
    ending.end()
