"""Every AWS call of the code under test: counted, watched for what it makes due, and where a worker can die."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from threading import Lock, RLock
from typing import Any

from botocore.client import BaseClient

from celeriac.bodies import WorkerLost


class WorkerDied(WorkerLost):
    """The Lambda worker is gone: like a power cut, nothing in the code under test may catch it."""


type Watcher = Callable[[str, str, Mapping[str, Any]], None]


class Calls:
    """Sits between boto3 and moto, for every client in the process, whoever made it and whenever."""

    def __init__(self, watcher: Watcher) -> None:
        self.counts: Counter[tuple[str, str]] = Counter()
        self._watcher = watcher
        self._lock = Lock()
        # One call at a time: moto's transactions put back what others wrote meanwhile.
        self._aws = RLock()
        self._observing = True
        self.in_worker = False
        """Whether a handler is running."""
        self._dead = False
        self._calls_to_live: int | None = None
        self._after = False

    def crash_at(self, call: int, *, after: bool) -> None:
        """Let the worker die at its `call`-th call from now, before or after AWS carried it out."""
        if call < 1:
            raise ValueError(f"crash_at({call}): the first call is 1")
        self._calls_to_live, self._after = call, after

    @contextmanager
    def worker(self) -> Iterator[None]:
        """What runs inside is a worker, and may die."""
        self.in_worker, self._dead = True, False
        try:
            yield
        finally:
            self.in_worker = self._dead = False

    def unobserved(self) -> AbstractContextManager[None]:
        """What runs inside is AWS itself, or the test's own look at it: not counted."""
        return self._observe(on=False)

    def observed(self) -> AbstractContextManager[None]:
        """What runs inside is the code under test again."""
        return self._observe(on=True)

    @contextmanager
    def _observe(self, *, on: bool) -> Iterator[None]:
        before, self._observing = self._observing, on
        try:
            yield
        finally:
            self._observing = before

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Observe every boto3 client of this process."""
        # The hook that moto's own documentation names for this; events would miss clients made before the sandbox.
        real = BaseClient._make_api_call  # type: ignore[attr-defined]  # noqa: SLF001

        def observed(client: BaseClient, operation: str, arguments: dict[str, Any]) -> Any:
            if operation == "ReceiveMessage":
                # A long poll would wait for ever: time stands still.
                arguments = arguments | {"WaitTimeSeconds": 0}
            if not self._observing:
                return real(client, operation, arguments)
            service = client.meta.service_model.service_name
            last = self._count_down()
            if last and not self._after:
                raise WorkerDied
            with self._lock:
                self.counts[service, operation] += 1
            try:
                with self._aws:
                    answer = real(client, operation, arguments)
            finally:
                # A call without an answer may have been carried out.
                self._watcher(service, operation, arguments)
            if last:
                raise WorkerDied
            return answer

        BaseClient._make_api_call = observed  # type: ignore[attr-defined]  # noqa: SLF001
        try:
            yield
        finally:
            BaseClient._make_api_call = real  # type: ignore[attr-defined]  # noqa: SLF001

    def _count_down(self) -> bool:
        """Whether this call is the worker's last. A dead worker's other threads die at their next call."""
        if not self.in_worker:
            return False
        if self._dead:
            raise WorkerDied
        with self._lock:
            if self._calls_to_live is None:
                return False
            self._calls_to_live -= 1
            if self._calls_to_live > 0:
                return False
            self._calls_to_live, self._dead = None, True
            return True
