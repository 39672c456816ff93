"""A worker as Lambda has it: under AWS's runtime client, and handed one event after another."""

import time
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from tests.kill.proxy import OUTSIDE, Stop
from tests.kill.story import Story
from tests.kill.worker import START_SECONDS, By, Program, Worker
from tests.realities import worker as under_awslambdaric
from tests.realities.runtime_api import Answered, Died, Result

# Beyond the deadline, before a worker counts as overdue.
GRACE_SECONDS = 0.3


@dataclass(frozen=True, slots=True)
class Function:
    """Whose worker it is."""

    name: str
    handler: str
    stage: str


class Invoked(Worker):
    """One process of one function."""

    process: under_awslambdaric.Worker

    def __init__(
        self, name: str, program: Program, function: Function, story: Story, *, stop: Stop | None, by: By
    ) -> None:
        super().__init__(name, program.backends, story, stop=stop, by=by)
        self._result: Future[Result] = Future()
        self._open = ExitStack()
        self.process = self._open.enter_context(
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
        while time.monotonic() < until and self.process.is_alive:
            if self.process._api.is_idle.wait(0.1):
                return True
        return False

    @property
    def is_running(self) -> bool:
        """Whether its last invocation has no result yet."""
        return not self._result.done()

    def invoke(self, event: Any, timeout: timedelta) -> Any:
        """The handler's answer; no object if it raised. None if the worker died, or has not answered in time."""
        try:
            self._result = self.process.start(event, timeout=timeout, is_killed=False)
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

    def close(self) -> list[str]:
        log = super().close()
        self._open.close()
        return log
