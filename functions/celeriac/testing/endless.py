"""When a drain gives up: a task that always enqueues itself again would keep it busy for ever."""

from collections.abc import Callable

from celeriac.model.errors import CeleriacError

# A thousand invocations in a row of one message take some seconds. Every message that waits at the same time may need
# many more: retries, and turns in which a limit of its task hands it back.
MOST_INVOCATIONS = 1_000
MOST_FOR_EACH = 100
MOST_IN_ALL = 10_000
# A message may wait for limits for fourteen days, fifteen minutes at a time.
MOST_FOR_EACH_LIMITED = 1_500
MOST_IN_ALL_LIMITED = 100_000
LOOKS_EVERY = 50


class NotQuietError(CeleriacError, RuntimeError):
    """`drain` or `run_once` doesn't end, for example because a task always enqueues itself again."""


class Invocations:
    """Counts the invocations of consumers since a drain began."""

    def __init__(
        self, waiting: Callable[[], dict[str, int]], *, has_limits: Callable[[], bool] = lambda: False
    ) -> None:
        """`waiting` returns how many messages the queues hold, by the queue's name, without those that hold none.

        has_limits: whether a message may wait for limits.
        """
        self._waiting, self._has_limits = waiting, has_limits
        self.begin()

    def begin(self) -> None:
        """A new drain begins."""
        self._made = self._most_waiting = 0

    def count(self) -> None:
        """Count one. Raises NotQuietError if there have been so many that the work seems endless."""
        self._made += 1
        if self._made % LOOKS_EVERY:
            return
        waiting = self._waiting()
        self._most_waiting = max(self._most_waiting, sum(waiting.values()))
        for_each, in_all = MOST_FOR_EACH, MOST_IN_ALL
        if self._has_limits():
            for_each, in_all = MOST_FOR_EACH_LIMITED, MOST_IN_ALL_LIMITED
        if waiting and self._made >= min(MOST_INVOCATIONS + for_each * self._most_waiting, in_all):
            raise NotQuietError(
                f"the sandbox isn't quiet after {self._made} invocations, and there are messages in "
                f"{', '.join(sorted(waiting))}. Does a task always enqueue itself again? If there is only much to do, "
                "drain again"
            )
