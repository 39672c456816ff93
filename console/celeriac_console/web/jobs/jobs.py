"""The jobs since the page's start."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from threading import Lock

from celeriac_console.terminal.errors import UserError
from celeriac_console.web.jobs.job import Job, Plan


class Jobs:
    """One job at a time for each queue."""

    def __init__(self) -> None:
        self._jobs: dict[int, Job] = {}
        self._lock = Lock()

    def start(self, plan: Plan, alone: Callable[[str], AbstractContextManager[None]]) -> Job:
        """Start one. Raises UserError if the queue has one that hasn't ended, and AWS's errors."""
        with self._lock:
            if (other := self.of(plan.queue.name)) is not None:
                raise UserError(f"job {other.number} works on {plan.queue.name}: wait until it has ended, or stop it")
            number = len(self._jobs) + 1
            job = self._jobs[number] = Job(number, plan, alone)
            job.start()
            return job

    def of(self, queue: str) -> Job | None:
        """The job that works on the queue."""
        jobs = list(self._jobs.values())
        return next((job for job in jobs if job.plan.queue.name == queue and not job.progress().is_ended), None)

    def get(self, number: str) -> Job:
        """A job by its number. Raises LookupError."""
        found = self._jobs.get(int(number)) if number.isdecimal() else None
        if found is None:
            raise LookupError(f"There is no job {number}. Jobs are forgotten when the page is started again.")
        return found

    def all(self) -> list[Job]:
        """The newest first."""
        return list(self._jobs.values())[::-1]

    def close(self) -> None:
        """Stop all, and wait until each has written how it ended."""
        for job in self.all():
            job.stop()
        for job in self.all():
            job.join()
