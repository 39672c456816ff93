"""A worker behind a proxy of its own, which can kill it, freeze it or tell it to end at one of its calls."""

import signal
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from tests.kill.proxy import Backends, Proxy, Stop
from tests.kill.story import Story

# A worker starts within a second. On a machine that does other work it takes longer. One without memory may hang.
START_SECONDS = 15
# How long the call goes on waiting at which a worker is told to end: it hears of it before the call's answer.
HEARING_SECONDS = 0.1

type By = Literal["kill", "freeze", "tell"]


@dataclass(frozen=True, slots=True)
class Program:
    """What a worker runs, and what it calls."""

    code: tuple[Path, ...]
    """The bundle, and the folder with the packages of the project's lock file."""
    backends: Backends


class Process(Protocol):
    """A process of this machine."""

    @property
    def is_alive(self) -> bool: ...

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None: ...

    def wait(self) -> int:
        """Wait until it has ended. Returns its exit status; negative for a signal."""
        ...

    def log(self) -> list[str]: ...


class Worker:
    """One process. Whoever makes it sets `process`, which calls the proxy."""

    process: Process

    def __init__(self, name: str, backends: Backends, story: Story, *, stop: Stop | None, by: By) -> None:
        """by: what happens at `stop`."""
        self.name, self.story, self._by = name, story, by
        self.is_frozen, self.is_told, self._is_woken = threading.Event(), threading.Event(), threading.Event()
        self.proxy = Proxy(name, backends, story, stop, self._stopped)

    def is_ready(self, seconds: float = START_SECONDS) -> bool:
        """Wait until the worker can take work. False if it dies before, or takes longer."""
        raise NotImplementedError

    @property
    def is_alive(self) -> bool:
        return self.process.is_alive

    @property
    def is_running(self) -> bool:
        """Whether it is at the work that it had when it was woken."""
        raise NotImplementedError

    @property
    def calls_at_work(self) -> int:
        """How many calls it has made for its work."""
        return len(self.proxy.calls)

    def _stopped(self) -> bool:
        match self._by:
            case "kill":
                self.kill()
                return False
            case "tell":
                self.process.kill(signal.SIGTERM)
                self.is_told.set()
                self.story.told.add(self.name)
                time.sleep(HEARING_SECONDS)
                return True
            case "freeze":
                self.process.kill(signal.SIGSTOP)
                self.is_frozen.set()
                self._is_woken.wait()
                return self.is_alive

    def wake(self) -> None:
        """Let a frozen worker go on."""
        self.story.tell(self.name, "is woken")
        self.proxy.is_woken = True
        self.is_frozen.clear()
        self.process.kill(signal.SIGCONT)
        self._is_woken.set()

    def kill(self) -> int:
        """Kill the process, if it still runs. Returns its exit status."""
        self.process.kill()
        return self.process.wait()

    def close(self) -> list[str]:
        """End the process and its servers. Returns what it has logged."""
        self.kill()
        self._is_woken.set()
        log = self.process.log()
        self.proxy.close()
        return log
