"""What a test can let go wrong in its sandbox: workers, AWS's answers, its deliveries, clocks, a deploy under way."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from celeriac.declare import registry
from celeriac.model import message
from celeriac.model.queue import Queue
from celeriac.model.table import Table
from celeriac.testing import disturbances
from celeriac.testing.calls import Calls, Fault, die, through
from celeriac.testing.clock import Clock
from celeriac.testing.deliveries import Deliveries
from celeriac.testing.disturbances import Disturbance, Which
from celeriac.testing.pollers import Pollers
from celeriac.testing.rollout import Rollout

if TYPE_CHECKING:
    from celeriac.declare.task import Task
    from celeriac.model.table import Outbox


class Faults:
    """The part of a `Sandbox` that is about faults. Only workers meet them; the test's own calls don't."""

    _calls: Calls
    _clock: Clock
    _pollers: Pollers
    _stage: str

    def crash_at(self, call: int, *, after: bool = False) -> None:
        """Let the worker die at its `call`-th AWS call from now: before AWS gets it, or `after` it carried it out.

        At 0 the next worker dies when it starts, before it makes any call.
        """
        self._calls.crash_at(call, after=after)

    def fault_at(self, call: int, hook: Fault) -> None:
        """Give `hook` the `call`-th AWS call of workers from now; see `fault`. Raises ValueError for a call below 1."""
        if call < 1:
            raise ValueError(f"fault_at({call}): the first call is 1")
        self._calls.fault_at(call, hook)

    @contextmanager
    def crash_when(self, matches: Callable[[str], bool]) -> Iterator[None]:
        """Let each worker die that decodes a body for which `matches(body)` is true: before its task is known.

        To let it die in code of your own, such as a validator or a task, call `celeriac.testing.die()` there.
        """
        decoded = message._decoded  # noqa: SLF001 - the innermost part of reading a body

        def die_of(body: str | bytes) -> Any:
            if self._calls.in_worker and matches(body if isinstance(body, str) else body.decode()):
                die()
            return decoded(body)

        with patch.object(message, "_decoded", die_of):
            yield

    @contextmanager
    def fault(self, hook: Fault) -> Iterator[None]:
        """Put `hook` between workers and AWS while the block runs.

        The hook gets each call that a worker makes: a `Call` with service, operation and arguments. The worker gets the
        value that the hook returns, or the error that it raises. `call.make()` lets AWS carry the call out. Several
        threads may call the hook at once. `die_before` and `die_after` of `celeriac.testing` are such hooks.

        In a block within a block, the inner hook gets a call first. Its `call.make()` goes to the outer hook.
        """
        before = self._calls.fault
        self._calls.fault = hook if before is None else lambda call: hook(through(before, call))
        try:
            yield
        finally:
            self._calls.fault = before

    def replace_workers(self) -> None:
        """Let Lambda start new workers for relay and sweeper. They know nothing of what the old ones remembered."""
        self._calls.memories.clear()

    def worker(self) -> AbstractContextManager[None]:
        """Run the block as a worker, so that faults apply to it: for a producer's code, for example."""
        return self._calls.worker()

    def outage(
        self,
        service: str,
        operation: str | None = None,
        *,
        queue: Queue | None = None,
        table: Table | str | None = None,
        code: str | None = None,
        for_: timedelta | None = None,
    ) -> Disturbance:
        """Let AWS refuse calls of workers, for a time: `sandbox.outage("dynamodb", for_=timedelta(hours=2))`.

        service: `dynamodb`, `events`, `s3`, `scheduler` or `sqs`.
        operation: such as `PutItem`; None for all.
        queue: only calls to this queue (not to its dead-letter queue), and schedules that send to it.
        table: only calls to this table, or to the table of that logical name; Celeriac's own are `idempotency` and
        `outbox`.
        code: the error's code, by default the service's throttle. boto3 has used up its retries.
        for_: the virtual time after which it ends. Without it, it ends with `end()`, or with its `with` block.
        """
        return self._disturb(Which(self._stage, service, operation, queue, table), disturbances.refusing(code), for_)

    def slow(
        self,
        service: str,
        operation: str | None = None,
        *,
        by: timedelta,
        queue: Queue | None = None,
        table: Table | str | None = None,
        for_: timedelta | None = None,
    ) -> Disturbance:
        """Let AWS take so much virtual time to carry out a worker's call. The other parameters are those of `outage`.

        The time runs while the worker waits, so its invocation may be killed.
        """
        return self._disturb(
            Which(self._stage, service, operation, queue, table), disturbances.slow(self._clock, by), for_
        )

    def partial_failures(self, share: float, *, seed: int = 0, for_: timedelta | None = None) -> Disturbance:
        """Let SQS refuse this share of the entries of batches that workers send, delete or change, at random."""
        return self._disturb(disturbances.is_batch, disturbances.in_part(share, seed), for_)

    def deliver(self, *, duplicates: float = 0.0, reorders: bool = False, seed: int = 0) -> None:
        """Let standard queues deliver as SQS may, from now on: at least once, and in any order.

        duplicates: the share of the messages that are delivered a second time, at once or minutes later, even if they
        were deleted.
        reorders: whether messages arrive in a random order.
        seed: the same seed gives the same duplicates and orders.
        """
        self._pollers.deliveries = Deliveries(self._clock, duplicates=duplicates, reorders=reorders, seed=seed)

    @contextmanager
    def rollout(
        self,
        old: "Iterable[Task[..., Any, Any]]",
        new: "Iterable[Task[..., Any, Any]] | None" = None,
        *,
        old_outbox: "Outbox | None" = None,
    ) -> Iterator[None]:
        """Run two releases side by side, as during a deploy, while the block runs.

        The invocations of each function are the old release's and the new one's in turn. A release is a set of tasks:
        it runs no others, subscribes to no others' events, and knows no queues but theirs and those of
        `tasks/queues.py`. The new release is by default all tasks that are registered. `old_outbox` is what the old one
        declares as its outbox: by default what the new one does.
        """
        before = self._calls.rollout
        self._calls.rollout = Rollout(self._stage, old, registry.tasks.values() if new is None else new, old_outbox)
        try:
            yield
        finally:
            self._calls.rollout = before

    def producer(self, *, clock: timedelta) -> AbstractContextManager[None]:
        """Run the block as a producer whose clock is wrong by `clock`. AWS's clocks, and workers' clocks, are right."""
        return self._clock.wrong(clock)

    def freeze(self, by: timedelta) -> None:
        """Freeze the worker whose code calls this, as a paused host does. It wakes up later than its own deadline.

        Others run meanwhile if the code then calls `run_once`. Without `freeze`, a worker is killed when virtual time
        reaches its deadline.
        """
        self._calls.freeze()
        self._clock.advance(by)

    def _disturb(self, which: Callable[[Any], bool], strike: Fault, for_: timedelta | None) -> Disturbance:
        return Disturbance(self._calls, self._clock, which, strike, for_)
