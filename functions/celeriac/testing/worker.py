"""Acts as the container of `celeriac worker`: the real poller, in virtual time."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

from celeriac.model import notice, settings
from celeriac.model.failure import error_type
from celeriac.model.queue import Queue
from celeriac.observe.log import logger
from celeriac.testing.calls import Calls, WorkerDied
from celeriac.testing.clock import Clock
from celeriac.worker import heartbeat
from celeriac.worker.heartbeat import Heartbeat
from celeriac.worker.poller import Poller
from celeriac.worker.process import LONGEST_WAIT_SECONDS, STOP_TIMEOUT

if TYPE_CHECKING:
    from mypy_boto3_sqs.type_defs import MessageTypeDef

_current: Poller | None = None


class _Poller(Poller):
    def __init__(self, queue: Queue, received: "Callable[[list[MessageTypeDef]], None]") -> None:
        super().__init__(queue, around=_in_virtual_time)
        self._received = received

    def _run(self, messages: "list[MessageTypeDef]") -> None:
        self._received(messages)
        super()._run(messages)


def poll(
    calls: Calls, clock: Clock, queue: Queue, most: int, received: "Callable[[list[MessageTypeDef]], None]"
) -> bool:
    """Let a new worker poll once. `received` hears of what it has received. Returns whether the worker has died."""
    global _current  # noqa: PLW0603 - a worker is a process, which has one poller
    before, _current = _current, _Poller(queue, received)
    try:
        with calls.rollout(queue.function_name(settings.stage())), calls.worker():
            _current.poll(0, most)
    except WorkerDied:
        return True
    except Exception as error:  # noqa: BLE001 - the process polls again
        logger.warning("nothing received", extra={"error": error_type(error)})
        clock.remind(timedelta(seconds=LONGEST_WAIT_SECONDS))
    finally:
        _current = before
        notice.withdraw()
    return False


def tell_to_end(within: timedelta = STOP_TIMEOUT) -> None:
    """Do what SIGTERM does to the worker that runs now: for a task's body, or a fault."""
    notice.give(within)
    if _current is not None:
        _current.give_back()


@contextmanager
def _in_virtual_time(mine: Heartbeat) -> Iterator[None]:
    """Let the sandbox beat as time passes."""
    before, heartbeat.current = heartbeat.current, mine
    try:
        yield
    finally:
        heartbeat.current = before
