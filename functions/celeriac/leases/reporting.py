"""What a run says of its progress: written every two seconds at most, or together with what is written anyway."""

import datetime as dt

import msgspec

from celeriac.leases.lease import Lease
from celeriac.leases.store import LeaseLostError
from celeriac.model.failure import error_type
from celeriac.model.progress_made import Progress
from celeriac.observe.log import logger

EVERY = dt.timedelta(seconds=2)


def is_due(lease: Lease) -> bool:
    """Whether the next report is written."""
    return dt.datetime.now(dt.UTC) - lease.told_at >= EVERY


def tell(lease: Lease, progress: Progress) -> None:
    """Keep a report. The last one before the end is written with the end. What AWS refuses is logged.

    Raises LeaseLostError, and Cancelled if somebody has cancelled the task.
    """
    if lease.committed:
        return  # the work is done, and its success recorded
    must_write = is_due(lease)
    lease.will_tell(msgspec.json.encode(progress).decode())
    if must_write:
        lease.told_at = progress.at
        try:
            lease.tell()
        except LeaseLostError:
            raise
        except Exception as error:  # noqa: BLE001 - the work is as good as before
            logger.warning("progress not written", extra={"error": error_type(error)})
    lease.stop.check()
