"""A redrive or a discard of many letters, in a thread.

A pause ends the pass over the queue: the letters that the pass holds are given back. So none becomes visible again
while the job still means to send it. To resume is a new pass. What was sent is deleted by then, and isn't sent again.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from threading import Condition, Thread

from celeriac.model.failure import error_type
from celeriac.model.queue import Queue
from celeriac_console.dlq.discarder import Discarder
from celeriac_console.dlq.queue_reader import Pass, Taken
from celeriac_console.dlq.redriver import Redriver, paced
from celeriac_console.explain import explanation
from celeriac_console.rate import Rate
from celeriac_console.web.activity import store
from celeriac_console.web.letters.chosen import Chosen

REDRIVE, DISCARD = "redrive", "discard"
ENDED = frozenset({"done", "stopped", "failed"})


@dataclass(frozen=True, slots=True)
class Plan:
    """What a job is to do."""

    what: str
    """REDRIVE or DISCARD."""
    queue: Queue
    chosen: Chosen
    rate: float | None
    """Letters a second; None for no limit."""
    who: str
    only: frozenset[str] | None = None
    """SQS's ids of the letters that may be meant, of those that are chosen; None for all."""


@dataclass(frozen=True, slots=True)
class Progress:
    """A job as screens show it."""

    number: int
    what: str
    queue: str
    chosen: dict[str, str]
    rate: float | None
    who: str
    state: str
    """running, pausing, paused, stopping, done, stopped, or failed."""
    count: int
    """How many letters were redriven or discarded."""
    seen: int
    """How many letters this pass over the queue has looked at."""
    total: int
    """About how many there were at its start."""
    missed: int
    """How many the pass couldn't read, because another reader holds them."""
    unsent: int
    stayed: int
    problems: list[str]
    """Of letters that weren't sent or not deleted, the first."""
    problem: str
    """Why it failed."""
    begun_at: datetime
    ended_at: datetime | None

    @property
    def is_ended(self) -> bool:
        """Whether it does nothing more."""
        return self.state in ENDED


class Job:
    """Its line in the activity is written with it. Raises AWS's errors if that can't be done."""

    def __init__(self, number: int, plan: Plan, alone: Callable[[str], AbstractContextManager[None]]) -> None:
        """Prepare it.

        alone: gives the job its turn at the queue of this name, for a pass.
        """
        self.number, self.plan = number, plan
        self._alone = alone
        self._begun = datetime.now(UTC)
        self._ended: datetime | None = None
        self._state, self._wanted, self._problem = "running", "run", ""
        self._changed = Condition()
        self._reading: Pass | None = None
        self._is_interrupted = True
        """Whether the queue isn't passed to its end yet."""
        self._tried: set[str] = set()
        self._worker: Redriver | Discarder | None = None
        self._line = store.begin(plan.who, f"dlq {plan.what}", {"queue": plan.queue.name} | plan.chosen.noted)
        self._thread = Thread(target=self._run, name=f"job-{number}", daemon=True)

    def start(self) -> None:
        """Begin with the letters. Who wants to find the job by its number has noted it before."""
        self._thread.start()

    def pause(self) -> None:
        """Give back the letters that aren't sent yet, and wait."""
        self._want("pause", "pausing", {"running"})

    def resume(self) -> None:
        """Go on."""
        self._want("run", "running", {"pausing", "paused"})

    def stop(self) -> None:
        """End it. What isn't done stays a dead letter."""
        self._want("stop", "stopping", {"running", "pausing", "paused"})

    def join(self, seconds: float | None = None) -> None:
        """Wait until it has ended."""
        self._thread.join(seconds)

    def wait_for(self, states: frozenset[str], seconds: float) -> bool:
        """Wait until it is in one of the states, or has ended. Returns whether it is in one of them."""
        with self._changed:
            self._changed.wait_for(lambda: self._state in states | ENDED, seconds)
            return self._state in states

    def progress(self) -> Progress:
        """How far it is."""
        worker, reading, plan = self._worker, self._reading, self.plan
        problems = [*worker.unsent, *worker.undeleted] if isinstance(worker, Redriver) else []
        return Progress(
            self.number,
            plan.what,
            plan.queue.name,
            dict(plan.chosen.given),
            plan.rate,
            plan.who,
            self._state,
            self._count(),
            worker.seen if worker is not None else 0,
            reading.total if reading is not None else 0,
            reading.missed if reading is not None else 0,
            len(worker.unsent) if isinstance(worker, Redriver) else 0,
            worker.stayed if isinstance(worker, Redriver) else 0,
            problems[:20],
            self._problem,
            self._begun,
            self._ended,
        )

    def _want(self, wanted: str, state: str, from_: set[str]) -> None:
        with self._changed:
            if self._state not in from_:
                return
            self._wanted, self._state = wanted, state
            self._is_interrupted = True
            if wanted != "run" and self._reading is not None:
                self._reading.stop()
            self._changed.notify_all()

    def _run(self) -> None:
        state, outcome = "failed", ""
        try:
            while self._goes_on():
                self._pass()
            state = "stopped" if self._wanted == "stop" else "done"
            outcome = state
        except Exception as error:  # noqa: BLE001 - the job's page tells it, and the activity its class
            found = explanation(error)
            self._problem = found[0] if found is not None else error_type(error)
            outcome = f"failed: {error_type(error)}"
        try:
            store.end(self._line, self._count(), outcome)
        except Exception as error:  # noqa: BLE001 - as above
            self._problem += f" How it ended isn't in the activity: {error_type(error)}."
        with self._changed:
            self._ended, self._state = datetime.now(UTC), state
            self._changed.notify_all()

    def _goes_on(self) -> bool:
        """Whether another pass is to be made. While the job is paused, this waits."""
        with self._changed:
            if self._wanted == "pause":
                self._state = "paused"
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._wanted != "pause")
            goes_on = self._wanted == "run" and self._is_interrupted
            self._is_interrupted = False
            return goes_on

    def _pass(self) -> None:
        with self._alone(self.plan.queue.name):
            self._alone_pass()

    def _alone_pass(self) -> None:
        reading = paced(self.plan.queue, self.plan.rate) if self.plan.what == REDRIVE else Pass(self.plan.queue)
        worker = self._worker = self._worker or self._made(reading)
        worker.reading, worker.seen = reading, 0
        with self._changed:
            self._reading = reading
            if self._wanted != "run":
                return
        reading.run(self._visit, wait=True)

    def _made(self, reading: Pass) -> Redriver | Discarder:
        if self.plan.what == DISCARD:
            return Discarder(reading, self._is_meant, lambda _: None)
        rate, queue = Rate(self.plan.rate), self.plan.queue
        return Redriver(
            reading, queue, self._is_meant, lambda letter: letter.args, rate, None, None, advance=lambda _: None
        )

    def _is_meant(self, one: Taken) -> bool:
        only = self.plan.only
        is_one = only is None or one.message_id in only
        return is_one and one.message_id not in self._tried and self.plan.chosen.matches(one)

    def _visit(self, taken: Sequence[Taken]) -> set[str]:
        if self._worker is None:
            return set()
        deleted = self._worker.visit(taken)
        # A letter that can't be sent isn't tried again after a pause.
        self._tried |= {one.message_id for one in taken if self.plan.chosen.matches(one)} - deleted
        return deleted

    def _count(self) -> int:
        worker = self._worker
        return 0 if worker is None else worker.redriven if isinstance(worker, Redriver) else worker.discarded
