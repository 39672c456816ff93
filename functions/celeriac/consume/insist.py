"""A write that must not be given up while there is time: without it, a task would run again, or a death be counted."""

from collections.abc import Callable
from datetime import timedelta
from itertools import count

from celeriac.aws import pause
from celeriac.consume.received import Worker
from celeriac.leases.store import LeaseLostError
from celeriac.model.failure import error_type
from celeriac.observe.log import logger

FIRST_WAIT, LONGEST_WAIT = timedelta(seconds=0.2), timedelta(seconds=2)


def while_there_is_time(write: Callable[[], None], worker: Worker) -> None:
    """Make a write, again and again while AWS can't be reached, until the worker has no time left.

    Raises LeaseLostError, and at the end AWS's error.
    """
    for attempt in count():
        try:
            return write()
        except LeaseLostError:
            raise
        except Exception as error:
            wait = min(FIRST_WAIT * 2 ** min(attempt, 10), LONGEST_WAIT)
            if worker.left < wait:
                raise
            logger.warning("not recorded yet, trying again", extra={"error": error_type(error)})
            pause.wait(wait.total_seconds())
    return None
