"""Long work in a thread: it can be paused, resumed and stopped, and its line in the activity says how it ended.

A pause interrupts the work, which gives back what it holds. To resume is to begin with what isn't done. A job whose AWS
login has expired, or that is held up otherwise, pauses itself until somebody resumes it.
"""

from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from threading import Condition, Event, Thread

from botocore.exceptions import BotoCoreError, ClientError

from celeriac.model.failure import error_type
from celeriac_console.explain import explanation, is_of_login
from celeriac_console.stage import clients
from celeriac_console.web.activity import store
from celeriac_console.web.activity.reason import failed
from celeriac_console.web.jobs.work import HeldUpError, Shown, Work

ENDED = frozenset({"done", "stopped", "failed"})


@dataclass(frozen=True, slots=True)
class Progress:
    """A job as screens show it."""

    number: int
    what: str
    on: str
    who: str
    state: str
    """running, pausing, paused, stopping, done, stopped, or failed."""
    count: int
    """To how many it was done."""
    problem: str
    """Why it failed, or has paused itself."""
    begun_at: datetime
    ended_at: datetime | None
    work: Shown

    @property
    def is_ended(self) -> bool:
        """Whether it does nothing more."""
        return self.state in ENDED


class Job:
    """Its line in the activity is written with it. Raises AWS's errors if that can't be done."""

    def __init__(self, number: int, work: Work, who: str) -> None:
        self.number, self.work, self.who = number, work, who
        self._last: Shown | None = None
        """How far the work was at its end."""
        self._begun = datetime.now(UTC)
        self._ended: datetime | None = None
        self._state, self._wanted, self._problem = "running", "run", ""
        self._changed = Condition()
        self._stop = Event()
        self._is_interrupted = True
        """Whether the work isn't done to its end yet."""
        self._line = store.begin(who, *work.line) if work.line is not None else None
        self._thread = Thread(target=self._run, name=f"job-{number}", daemon=True)

    def start(self) -> None:
        """Begin with the work. Who wants to find the job by its number has noted it before."""
        self._thread.start()

    def pause(self) -> None:
        """Interrupt the work, and wait."""
        self._want("pause", "pausing", {"running"})

    def resume(self) -> None:
        """Go on."""
        self._want("run", "running", {"pausing", "paused"})

    def stop(self) -> None:
        """End it. What isn't done stays as it is."""
        self._want("stop", "stopping", {"running", "pausing", "paused"})

    def join(self, seconds: float | None = None) -> None:
        """Wait until it has ended."""
        self._thread.join(seconds)

    def write_the_end(self) -> None:
        """Note in the activity how far it came, if it hasn't ended yet: it may hold very many letters to give back.

        If AWS refuses that, the line looks as if the job went on. Other jobs have to write theirs.
        """
        if self._line is not None and not self.is_ended:
            with suppress(BotoCoreError, ClientError):
                store.end(self._line, self.work.shown().count, "stopped")

    def wait_for(self, states: frozenset[str], seconds: float) -> bool:
        """Wait until it is in one of the states, or has ended. Returns whether it is in one of them."""
        with self._changed:
            self._changed.wait_for(lambda: self._state in states | ENDED, seconds)
            return self._state in states

    def progress(self, *, whole: bool = True) -> Progress:
        """How far it is.

        whole: whether for somebody who may see arguments of tasks, which the filter may quote.
        """
        work = self.work
        shown = self._last or work.shown()
        return Progress(
            self.number,
            work.what,
            work.on,
            self.who,
            self._state,
            shown.count,
            self._problem,
            self._begun,
            self._ended,
            shown if whole else shown.without_arguments(),
        )

    @property
    def is_ended(self) -> bool:
        """Whether it does nothing more."""
        return self._state in ENDED

    def _want(self, wanted: str, state: str, from_: set[str]) -> None:
        with self._changed:
            if self._state not in from_:
                return
            self._wanted, self._state = wanted, state
            self._is_interrupted = True
            if wanted == "run":
                self._problem = ""
            else:
                self._stop.set()
            self._changed.notify_all()

    def _run(self) -> None:
        state, outcome = "failed", ""
        try:
            while self._goes_on():
                self._stretch()
            state = outcome = "stopped" if self._wanted == "stop" else "done"
        except Exception as error:  # noqa: BLE001 - the job's page tells it, and the activity its class
            self._problem, outcome = _said(error), failed(error)
        self._last = shown = self.work.shown()
        if self._line is not None:
            try:
                store.end(self._line, shown.count, ", ".join([outcome, *shown.outcome]))
            except Exception as error:  # noqa: BLE001 - as above
                self._problem += f" How it ended isn't in the activity: {failed(error)}."
        self.work.let_go()
        with self._changed:
            self._ended, self._state = datetime.now(UTC), state
            self._changed.notify_all()

    def _goes_on(self) -> bool:
        """Whether there is something to do. While the job is paused, this waits."""
        with self._changed:
            if self._wanted == "pause":
                self._state = "paused"
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._wanted != "pause")
            goes_on = self._wanted == "run" and self._is_interrupted
            self._is_interrupted = False
            self._stop = Event()
            return goes_on

    def _stretch(self) -> None:
        try:
            self.work.go_on(self._stop)
        except Exception as error:
            if is_of_login(error):
                clients.forget()  # so that it goes on after a new login
            elif not isinstance(error, HeldUpError):
                raise
            with self._changed:
                self._is_interrupted, self._problem = True, _said(error)
                if self._wanted == "run":
                    self._wanted = "pause"


def _said(error: Exception) -> str:
    found = explanation(error)
    return found[0] if found is not None else error_type(error)
