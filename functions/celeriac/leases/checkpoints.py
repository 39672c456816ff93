"""The checkpoints of one run: when a cursor is written, and when the run must end to go on in the next invocation."""

import datetime as dt
from threading import Lock
from typing import TYPE_CHECKING, Any

import msgspec

from celeriac.leases.store import LeaseLostError
from celeriac.model import notice
from celeriac.model.continuing import Continue, cursor_text
from celeriac.model.failure import error_type
from celeriac.observe.log import logger

if TYPE_CHECKING:
    from celeriac.leases.lease import Lease
    from celeriac.leases.watch import Watch

GAPS = 2
"""How many of the longest steps so far must fit into the rest of a run. The next step may be longer than all before."""
LEAST_LEFT = dt.timedelta(seconds=0.5)
"""What a run keeps for the last checkpoint itself."""


class Checkpoints:
    """Saves a run's cursors.

    lease: of the run. ends_at: when the run would be cut off. watch: tells whether it is cancelled.
    """

    def __init__(self, lease: "Lease", ends_at: dt.datetime, watch: "Watch | None" = None) -> None:
        self._lease, self._ends_at, self._watch = lease, ends_at, watch
        self._last_at = self._saved_at = dt.datetime.now(dt.UTC)
        self._longest = dt.timedelta()
        self._lock = Lock()

    @property
    def cursor(self) -> Any:
        """The cursor that was saved last, as JSON types; None at the task's beginning."""
        return msgspec.json.decode(self._lease.cursor) if self._lease.cursor is not None else None

    def save(self, cursor: Any, every: dt.timedelta) -> None:
        """Save a cursor, if the last write is `every` ago or no time is left. The second ends the run.

        Raises Continue, Cancelled, LeaseLostError, and ValueError or TypeError for a cursor that can't be kept.
        """
        text = cursor_text(cursor)
        with self._lock:
            if self._lease.committed:
                return  # the work is done, and its success recorded
            is_over = self._step()
            if is_over or dt.datetime.now(dt.UTC) - self._saved_at >= every:
                self._write(text)
            self._lease.stop.check()
            if is_over:
                raise Continue

    def committed(self) -> None:
        """After a commit that has saved a cursor: end the run if it is cancelled, or if no time is left.

        Raises Cancelled and Continue.
        """
        with self._lock:
            self._saved_at = dt.datetime.now(dt.UTC)
            if self._watch is not None:
                self._watch.has_cancelled(self._lease)  # the answer of a transaction doesn't bring the record
            self._lease.stop.check()
            if self._step():
                raise Continue

    def _step(self) -> bool:
        """Note that a step is over. Returns whether the next one may not fit into the rest of the run."""
        now = dt.datetime.now(dt.UTC)
        self._longest = max(self._longest, now - self._last_at)
        self._last_at = now
        if notice.ends_at is not None:
            return True  # the worker was told to end: the task goes on in another one, and needn't be cut off
        return self._ends_at - now < GAPS * self._longest + LEAST_LEFT

    def _write(self, text: str) -> None:
        if text == self._lease.cursor:
            return
        try:
            self._lease.checkpoint(text)
        except LeaseLostError:
            raise
        except Exception as error:  # noqa: BLE001 - the work is as good as before: the next checkpoint tries again
            self._lease.has_failed_to_save = True
            self._saved_at = dt.datetime.now(dt.UTC)  # the next try waits as long as after a success
            logger.warning("checkpoint not saved", extra={"error": error_type(error)})
        else:
            self._saved_at = dt.datetime.now(dt.UTC)
