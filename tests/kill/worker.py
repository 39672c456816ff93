"""A worker behind a proxy of its own, which can kill or freeze it at one of its calls."""

import signal
import threading
import time
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

from tests.kill.proxy import OUTSIDE, Backends, Proxy, Stop
from tests.kill.story import Story
from tests.realities import worker as under_awslambdaric
from tests.realities.runtime_api import Answered, Died, Result

# A worker starts within a second. On a machine that does other work it takes longer. One without memory may hang.
START_SECONDS = 15
# Beyond the deadline, before a worker counts as overdue.
GRACE_SECONDS = 0.3


@dataclass(frozen=True, slots=True)
class Program:
    """What a worker runs, and what it calls."""

    code: tuple[Path, ...]
    """The bundle, and the folder with the packages of the project's lock file."""
    backends: Backends


@dataclass(frozen=True, slots=True)
class Function:
    """Whose worker it is."""

    name: str
    handler: str
    stage: str


class Worker:
    """One process of one function."""

    def __init__(
        self,
        name: str,
        program: Program,
        function: Function,
        story: Story,
        *,
        stop: Stop | None,
        by: Literal["kill", "freeze"],
    ) -> None:
        """by: what happens at `stop`."""
        self.name, self.story, self._by = name, story, by
        self.is_frozen, self._is_woken = threading.Event(), threading.Event()
        self.proxy = Proxy(name, program.backends, story, stop, self._stopped)
        self._result: Future[Result] = Future()
        self._open = ExitStack()
        self._process = self._open.enter_context(
            under_awslambdaric.worker(
                function.handler,
                code=program.code,
                function=function.name,
                environment={
                    "AWS_ENDPOINT_URL": self.proxy.url,
                    "OUTSIDE": self.proxy.url + OUTSIDE,
                    "CELERIAC_STAGE": function.stage,
                    "CELERIAC_LOG_ERROR_TEXTS": "1",
                },
            )
        )

    def is_ready(self, seconds: float = START_SECONDS) -> bool:
        """Wait until the worker asks for its next event. False if it dies before, or takes longer."""
        until = time.monotonic() + seconds
        while time.monotonic() < until and self._process.is_alive:
            if self._process._api.is_idle.wait(0.1):
                return True
        return False

    @property
    def is_alive(self) -> bool:
        return self._process.is_alive

    @property
    def is_running(self) -> bool:
        """Whether its last invocation has no result yet."""
        return not self._result.done()

    def invoke(self, event: Any, timeout: timedelta) -> Any:
        """The handler's answer; no object if it raised. None if the worker died, or has not answered in time."""
        try:
            self._result = self._process.start(event, timeout=timeout, is_killed=False)
        except RuntimeError:
            return None  # it has just died
        try:
            result = self._result.result(timeout.total_seconds() + GRACE_SECONDS)
        except TimeoutError:
            return None
        match result:
            case Answered(value):
                return value
            case Died():
                return None
            case _:
                return "an error"

    def _stopped(self) -> bool:
        if self._by == "kill":
            self.kill()
            return False
        self._process.kill(signal.SIGSTOP)
        self.is_frozen.set()
        self._is_woken.wait()
        return self.is_alive

    def wake(self) -> None:
        """Let a frozen worker go on."""
        self.story.tell(self.name, "is woken")
        self.proxy.is_woken = True
        self.is_frozen.clear()
        self._process.kill(signal.SIGCONT)
        self._is_woken.set()

    def kill(self) -> int:
        """Kill the process, if it still runs. Returns its exit status."""
        self._process.kill()
        return self._process.wait()

    def close(self) -> list[str]:
        """End the process and its servers. Returns what it has logged."""
        self.kill()
        self._is_woken.set()
        log = self._process.log()
        self._open.close()
        self.proxy.close()
        return log
