"""Observes every AWS call of the code under test: counts it, notes what it makes due, and lets a fault strike."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from threading import Lock, RLock, local
from typing import Any, NoReturn
from unittest.mock import patch

from botocore.awsrequest import AWSPreparedRequest
from botocore.client import BaseClient
from botocore.httpsession import URLLib3Session
from moto.core.models import botocore_stubber

from celeriac.execute.call import WorkerLost
from celeriac.relay.memory import Memory
from celeriac.testing.clock import Clock


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

    def __init__(self, watcher: Watcher, clock: Clock) -> None:
        self.counts: Counter[tuple[str, str]] = Counter()
        self._watcher, self._clock = watcher, clock
        self._lock = Lock()
        # One call at a time: when moto rolls a transaction back, it also removes what others wrote meanwhile.
        self._aws = RLock()
        # Each thread has its own value: threads that end in another order than they began would mix up a shared one.
        self._thread = local()
        self.in_worker = False
        """Whether a handler is running."""
        self.begun = clock.now
        """When it began."""
        self._dead = False
        self._deadline: datetime | None = None
        self._dies_at_start = False
        self.fault: Fault | None = None
        """The fault between workers and AWS, if there is one."""
        self.disturbances: list[Fault] = []
        """What AWS itself does to calls, behind the fault: the last one gets a call first."""
        self.rollout: Callable[[str], AbstractContextManager[object]] = nullcontext
        """Takes a function's name, and chooses the release of its next invocation."""
        self.before_each: Callable[[], None] = lambda: None
        """What AWS does by itself as time passes, and has done when it gets a call."""
        self.memories: dict[str, Memory] = {}
        """What the workers of relay and sweeper remember, by function."""

    def crash_at(self, call: int, *, after: bool) -> None:
        """Let the worker die at its `call`-th call from now, before or after AWS carried it out; at 0 at its start."""
        if call < 0:
            raise ValueError(f"crash_at({call}): the first call is 1, and at 0 the worker dies before its first call")
        if call == 0:
            self._dies_at_start = True
        else:
            self.fault_at(call, die_after if after else die_before)

    def fault_at(self, call: int, hook: Fault) -> None:
        """Give `hook` the `call`-th call of workers from now. It replaces an earlier fault."""
        self.fault = _At(call, hook)

    @contextmanager
    def worker(self, deadline: datetime | None = None) -> Iterator[None]:
        """Code in the block runs as a worker, and may die. At its `deadline` it is killed. Raises WorkerDied.

        A worker may run while another one is frozen.
        """
        before = self.in_worker, self._dead, self._deadline, self.begun
        self.in_worker, self._dead, self._deadline, self.begun = True, False, deadline, self._clock.now
        try:
            if self._dies_at_start:
                self._dies_at_start = False
                die()
            yield
            self._end_if_late()
        finally:
            self.in_worker, self._dead, self._deadline, self.begun = before

    def freeze(self) -> None:
        """Let the running worker live on after its deadline."""
        self._deadline = None

    def die(self) -> None:
        """The running worker is dead: none of its threads makes another call."""
        self._dead = self.in_worker

    def _end_if_late(self) -> None:
        if self._deadline is not None and self._clock.now >= self._deadline:
            die()

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
                with self._aws, self._clock.right():
                    self.before_each()
                    return real(client, operation, arguments)
            service = client.meta.service_model.service_name

            def carry_out(arguments: Mapping[str, Any]) -> Any:
                with self._lock:
                    self.counts[service, operation] += 1
                try:
                    with self._aws, self._clock.right():
                        self.before_each()
                        # A copy, because botocore changes its arguments, and a fault may make the call again.
                        return real(client, operation, dict(arguments))
                finally:
                    # A call without an answer may have been carried out.
                    with self._aws, self._clock.right():
                        self._watcher(service, operation, arguments)

            if not self.in_worker:
                return carry_out(arguments)
            if self._dead:
                raise WorkerDied  # it died in another of its threads
            try:
                self._end_if_late()
                call = Call(client, service, operation, arguments, carry_out)
                for disturbance in self.disturbances:
                    call = through(disturbance, call)
                answer = self.fault(call) if self.fault is not None else call.make()
                self._end_if_late()  # the call itself may have taken too long
                return answer
            except WorkerDied:
                self._dead = True
                raise

        BaseClient._make_api_call = observed  # type: ignore[attr-defined]  # noqa: SLF001
        try:
            with patch.object(URLLib3Session, "send", _send), patch.object(_Installed, "calls", self):
                yield
        finally:
            BaseClient._make_api_call = real  # type: ignore[attr-defined]  # noqa: SLF001


class _Installed:
    """The calls of the sandbox that is open in this process."""

    calls: Calls | None = None


def through(fault: Fault, call: Call) -> Call:
    """The call as it is made behind `fault`."""
    return replace(call, carry_out=lambda arguments: fault(replace(call, arguments=arguments)))


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


def die() -> NoReturn:
    """The worker dies here, as in a power cut: for a task's body, a validator, or a provider of a test.

    Raises WorkerDied, which no code under test may catch.
    """
    if _Installed.calls is not None:
        _Installed.calls.die()
    raise WorkerDied


def die_before(call: Call) -> Any:  # noqa: ARG001 - AWS doesn't get the call
    """The worker dies before AWS gets the call."""
    raise WorkerDied


def die_after(call: Call) -> Any:
    """The worker dies after AWS has carried the call out, or has refused it."""
    with suppress(Exception):
        call.make()
    raise WorkerDied
