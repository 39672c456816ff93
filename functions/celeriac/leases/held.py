"""The leases that a worker outside of Lambda holds. It renews them while their tasks run.

In Lambda a lease lasts to the end of the invocation. Outside, a task may run for hours: a lease of that length would
let nobody else run the task for hours after its worker has died. So leases are short there, and are renewed.

If they can't be renewed, a lease runs out while its task still runs. The next worker then takes the task over, and
every write of the first one is refused: see `celeriac.leases.store`.
"""

from datetime import UTC, datetime, timedelta
from threading import Lock

from celeriac.leases.lease import Lease
from celeriac.leases.store import LeaseLostError
from celeriac.model.failure import error_type
from celeriac.observe.log import logger


class Held:
    """The leases of one batch. Several threads may use it.

    length: how long a lease lasts. ends_at: no lease lasts longer, because nothing of the batch runs then.
    """

    def __init__(self, length: timedelta, ends_at: datetime) -> None:
        self._length, self._ends_at = length, ends_at
        self._lock = Lock()
        self._leases: dict[str, Lease] = {}

    @property
    def until(self) -> datetime:
        """How long a lease lasts that begins now, or is renewed now."""
        return min(self._ends_at, datetime.now(UTC) + self._length)

    def take(self, message_id: str, lease: Lease) -> None:
        """Renew the lease of a message from now on."""
        with self._lock:
            self._leases[message_id] = lease

    def leave(self, message_id: str) -> None:
        """Renew a message's lease no more, if there is one: its run has ended."""
        with self._lock:
            self._leases.pop(message_id, None)

    def renew(self) -> bool:
        """Renew all leases, and return whether none is left to be tried again. What AWS refuses is logged.

        A lease that is lost isn't tried again.
        """
        with self._lock:
            leases = list(self._leases.items())
        is_done = True
        for message_id, lease in leases:
            if not self._holds(message_id):
                continue  # its run has ended meanwhile
            try:
                lease.renew(self.until)
            except LeaseLostError:
                self._lost(message_id, lease)
            except Exception as error:  # noqa: BLE001 - every later write of the run asks for the lease
                logger.warning("a lease is not renewed", extra={"error": error_type(error)})
                is_done = False
        return is_done

    def _holds(self, message_id: str) -> bool:
        with self._lock:
            return message_id in self._leases

    def _lost(self, message_id: str, lease: Lease) -> None:
        with self._lock:
            is_running = self._leases.pop(message_id, None) is not None
        if is_running and not lease.committed:
            logger.warning("a lease was not renewed: its run has ended, or another worker has taken over")
