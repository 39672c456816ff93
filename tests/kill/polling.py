"""A worker outside of Lambda: a process of `celeriac worker`, which polls its queue itself."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress

from celeriac.model import settings
from tests.kill.proxy import OUTSIDE, Stop, is_poll
from tests.kill.story import Story
from tests.kill.worker import START_SECONDS, By, Program, Worker

# The least that the command takes.
STOP_SECONDS = 10
LOOK_SECONDS = 0.02


class Command:
    """The process of one command."""

    def __init__(self, program: Program, arguments: list[str], environment: dict[str, str]) -> None:
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - `log` reads it at the end
        self._process = subprocess.Popen(
            [sys.executable, "-m", "celeriac_console", *arguments],
            cwd=program.code[0],
            # The bundle comes before the sources that .venv names.
            env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(program.code[0]), **environment},
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
        )

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        if self.is_alive:
            with suppress(ProcessLookupError):
                os.kill(self._process.pid, number)

    def wait(self) -> int:
        return self._process.wait()

    def log(self) -> list[str]:
        with self._log as log:
            log.seek(0)
            return log.read().decode(errors="replace").splitlines()


class Polling(Worker):
    """One process of one queue."""

    def __init__(
        self, name: str, program: Program, queue: str, stage: str, story: Story, *, stop: Stop | None, by: By
    ) -> None:
        super().__init__(name, program.backends, story, stop=stop, by=by)
        self.process = Command(
            program,
            ["--stage", stage, "worker", "--queue", queue, "--stop-timeout", str(STOP_SECONDS)],
            {
                settings.APPLICATION: "celeriac",
                "AWS_ENDPOINT_URL": self.proxy.url,
                "AWS_REGION": "eu-west-1",
                "AWS_ACCESS_KEY_ID": "worker",
                "AWS_SECRET_ACCESS_KEY": "worker",
                "OUTSIDE": self.proxy.url + OUTSIDE,
                "CELERIAC_LOG_ERROR_TEXTS": "1",
            },
        )

    def is_ready(self, seconds: float = START_SECONDS) -> bool:
        """Wait until the worker makes its first call, at which it may be stopped already."""
        until = time.monotonic() + seconds
        while time.monotonic() < until and not self.proxy.calls and self.is_alive:
            time.sleep(LOOK_SECONDS)
        return bool(self.proxy.calls)

    @property
    def is_running(self) -> bool:
        return self.is_alive and not self.proxy.asks_for_more

    @property
    def is_at_work(self) -> bool:
        """Whether it starts, or has made a call since its last poll."""
        return self.is_alive and not (self.proxy.calls and is_poll(self.proxy.calls[-1]))

    @property
    def calls_at_work(self) -> int:
        """How many calls it has made since it first had a message."""
        # The first calls find the queue and poll it.
        return sum(not is_poll(call) for call in self.proxy.calls[1:])
