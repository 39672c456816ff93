"""Observes every AWS call of the code under test: counts it, notes what it makes due, and lets a fault strike."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from threading import Lock, RLock, local
from typing import Any
from unittest.mock import patch

from botocore.awsrequest import AWSPreparedRequest
from botocore.client import BaseClient
from botocore.httpsession import URLLib3Session
from moto.core.models import botocore_stubber

from celeriac.execute.call import WorkerLost


class WorkerDied(WorkerLost):
    """The Lambda worker died, as in a power cut: nothing in the code under test may catch this."""


type Watcher = Callable[[str, str, Mapping[str, Any]], None]


@dataclass(frozen=True, slots=True)
class Call:
    """A call that a worker makes to AWS."""

    client: Any
    service: str
    operation: str
    arguments: Mapping[str, Any]
    carry_out: Callable[[Mapping[str, Any]], Any]
    """Let AWS carry the call out with these arguments, and return AWS's answer."""

    def make(self) -> Any:
        """Let AWS carry the call out with the worker's arguments, and return AWS's answer."""
        return self.carry_out(self.arguments)


type Fault = Callable[[Call], Any]
"""A function that gets every call of a worker in place of AWS. It decides whether AWS gets the call, and which answer
the worker gets. Several threads may call it at once."""


class Calls:
    """Stands between boto3 and moto, for every client in the process, also for clients made earlier."""

    def __init__(self, watcher: Watcher) -> None:
        self.counts: Counter[tuple[str, str]] = Counter()
        self._watcher = watcher
        self._lock = Lock()
        # One call at a time: when moto rolls a transaction back, it also removes what others wrote meanwhile.
        self._aws = RLock()
        # Each thread has its own value: threads that end in another order than they began would mix up a shared one.
        self._thread = local()
        self.in_worker = False
        """Whether a handler is running."""
        self._dead = False
        self.fault: Fault | None = None
        """The fault between workers and AWS, if there is one."""

    def crash_at(self, call: int, *, after: bool) -> None:
        """Let the worker die at its `call`-th call from now, before or after AWS carried it out."""
        if call < 1:
            raise ValueError(f"crash_at({call}): the first call is 1")
        self.fault = _At(call, die_after if after else die_before)

    @contextmanager
    def worker(self) -> Iterator[None]:
        """Code in the block runs as a worker, and may die."""
        self.in_worker, self._dead = True, False
        try:
            yield
        finally:
            self.in_worker = self._dead = False

    def unobserved(self) -> AbstractContextManager[None]:
        """Code in the block stands for AWS itself, or is the test's own look at AWS: its calls are not counted."""
        return self._observe(on=False)

    def observed(self) -> AbstractContextManager[None]:
        """Code in the block is the code under test again."""
        return self._observe(on=True)

    @contextmanager
    def _observe(self, *, on: bool) -> Iterator[None]:
        before, self._thread.observing = self._is_observing(), on
        try:
            yield
        finally:
            self._thread.observing = before

    def _is_observing(self) -> bool:
        return getattr(self._thread, "observing", True)

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Observe every boto3 client of this process."""
        # Moto's documentation names this hook. boto3's events would miss clients made before the sandbox.
        real = BaseClient._make_api_call  # type: ignore[attr-defined]  # noqa: SLF001

        def observed(client: BaseClient, operation: str, arguments: dict[str, Any]) -> Any:
            if operation == "ReceiveMessage":
                # A long poll would wait for ever: time stands still.
                arguments = arguments | {"WaitTimeSeconds": 0}
            if not self._is_observing():
                return real(client, operation, arguments)
            service = client.meta.service_model.service_name

            def carry_out(arguments: Mapping[str, Any]) -> Any:
                with self._lock:
                    self.counts[service, operation] += 1
                try:
                    with self._aws:
                        # A copy, because botocore changes its arguments, and a fault may make the call again.
                        return real(client, operation, dict(arguments))
                finally:
                    # A call without an answer may have been carried out.
                    self._watcher(service, operation, arguments)

            if not self.in_worker:
                return carry_out(arguments)
            if self._dead:
                raise WorkerDied  # it died in another of its threads
            try:
                call = Call(client, service, operation, arguments, carry_out)
                return self.fault(call) if self.fault is not None else call.make()
            except WorkerDied:
                self._dead = True
                raise

        BaseClient._make_api_call = observed  # type: ignore[attr-defined]  # noqa: SLF001
        try:
            with patch.object(URLLib3Session, "send", _send):
                yield
        finally:
            BaseClient._make_api_call = real  # type: ignore[attr-defined]  # noqa: SLF001


def _send(_: URLLib3Session, request: AWSPreparedRequest) -> Any:
    """Replaces the network. Only requests that moto hasn't answered yet arrive here.

    Clients made after moto's import ask moto themselves. A client that a module makes at its import is often older.
    """
    answer = botocore_stubber("before-send", request)
    if answer is not None:
        return answer
    raise RuntimeError(
        f"a Sandbox has no network, and moto doesn't answer {request.url}. A client that was made before the sandbox "
        "keeps its endpoint: make it when it is first used, or unset AWS_ENDPOINT_URL for the tests"
    )


class _At:
    """A fault that strikes once, at the `number`-th call."""

    def __init__(self, number: int, strike: Fault) -> None:
        self._left, self._strike = number, strike
        self._lock = Lock()

    def __call__(self, call: Call) -> Any:
        with self._lock:
            self._left -= 1
            is_due = self._left == 0
        return self._strike(call) if is_due else call.make()


def die_before(call: Call) -> Any:  # noqa: ARG001 - AWS doesn't get the call
    """The worker dies before AWS gets the call."""
    raise WorkerDied


def die_after(call: Call) -> Any:
    """The worker dies after AWS has carried the call out, or has refused it."""
    with suppress(Exception):
        call.make()
    raise WorkerDied
