"""`sandbox.limits`: how the limits of tasks stand, and what an operator would set."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import timedelta

from celeriac.declare import registry
from celeriac.flow import breaker, overrides, rows
from celeriac.flow.overrides import Override
from celeriac.flow.standing import Standing, standing
from celeriac.model.limits import Breaker, Concurrent, Limit, Rate

SECOND = timedelta(seconds=1)


class Limits:
    """The limits of the registered tasks, by what their items say now.

    `sandbox.limits[stripe]` is how one without a `by` stands, `sandbox.limits.of(stripe, account_id="a")` one with it.
    """

    def __init__(self, unobserved: Callable[[], AbstractContextManager[None]]) -> None:
        self._unobserved = unobserved

    def __getitem__(self, limit: Limit) -> Standing:
        """How a limit without a `by` stands now. Raises ValueError for another one, or one that no task names."""
        return self.of(limit)

    def of(self, limit: Limit, **by: object) -> Standing:
        """How a limit stands now for these values of its `by`. Raises ValueError for others than it has."""
        key = self._key(limit, by)
        with self._unobserved():
            return standing(limit, rows.read(key), overrides.now().get(limit.name), rows.now())

    def set(self, limit: Rate | Concurrent, count: int, *, per: timedelta = SECOND, burst: int | None = None) -> None:
        """Let a limit be another one than declared, as `celeriac limits set` does; workers know it at once.

        count: the starts of a Rate in each `per`, or the places of a Concurrent. Raises LimitError for what can't be.
        """
        if isinstance(limit, Rate):
            Rate(limit.name, count, per=per, burst=burst)  # raises for what can't be
            override = Override(limit=count, per_microseconds=per // timedelta(microseconds=1), burst=burst)
        else:
            Concurrent(limit.name, count)
            override = Override(limit=count)
        self._put(limit, override)

    def open(self, limit: Breaker) -> None:
        """Hold a breaker open, for all values of its `by`, as `celeriac limits open` does; workers know it at once."""
        self._put(limit, Override(is_open=True))

    def close(self, limit: Breaker, **by: object) -> None:
        """Close a breaker, whatever has opened it. Raises ValueError for other values than those of its `by`."""
        key = self._key(limit, by)
        with self._unobserved():
            overrides.lift(limit.name)
            breaker.close(key)
        overrides.forget()

    def _put(self, limit: Limit, override: Override) -> None:
        with self._unobserved():
            overrides.put(limit.name, override)
        overrides.forget()

    def _key(self, limit: Limit, by: dict[str, object]) -> str:
        if set(by) != set(limit.names):
            wanted = f"limits.of({limit.name}, {', '.join(f'{name}=...' for name in limit.names)})"
            raise ValueError(f"the limit {limit.name!r} is by {', '.join(limit.names) or 'nothing'}: write {wanted}")
        if not by:
            return rows.of_limit(limit.name, "")
        for task in registry.tasks.values():
            if limit in task.limits:
                return rows.of_limit(limit.name, task.text_of(limit.names, by))
        raise ValueError(f"no task names the limit {limit.name!r}")
