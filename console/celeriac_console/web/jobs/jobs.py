"""The jobs since the page's start."""

import time
from threading import Lock

from celeriac_console.terminal.errors import UserError
from celeriac_console.web.jobs.job import Job
from celeriac_console.web.jobs.work import Work

KEPT = 200
"""So many jobs are remembered, the newest ones; and all that haven't ended."""


class Jobs:
    """Of jobs on the same queue, or on the outbox, one at a time."""

    def __init__(self) -> None:
        self._jobs: dict[int, Job] = {}
        self._last = 0
        self._lock = Lock()

    def start(self, work: Work, who: str) -> Job:
        """Start one. Raises UserError if another one works on the same, and AWS's errors."""
        with self._lock:
            if (other := self.of(work.on)) is not None:
                raise UserError(f"job {other.number} works on {work.on}: wait until it has ended, or stop it")
            job = Job(self._last + 1, work, who)
            self._last = job.number
            self._jobs[job.number] = job
            for number, each in list(self._jobs.items())[:-KEPT]:
                if each.is_ended:
                    del self._jobs[number]
            job.start()
            return job

    def of(self, on: str) -> Job | None:
        """The job that works on a queue, or on another thing."""
        return next((job for job in list(self._jobs.values()) if job.work.on == on and not job.is_ended), None)

    def get(self, number: str) -> Job:
        """A job by its number. Raises LookupError."""
        found = next((job for job in self.all() if str(job.number) == number), None)
        if found is None:
            raise LookupError(f"There is no job {number[:20]}. Jobs are forgotten when the page is started again.")
        return found

    def all(self) -> list[Job]:
        """The newest first."""
        return list(self._jobs.values())[::-1]

    def close(self, seconds: float | None = None) -> None:
        """Stop all, and wait until each has written how it ended.

        seconds: no longer than this in all. A job that hasn't ended by then is written down as stopped.
        """
        last = None if seconds is None else time.monotonic() + seconds
        for job in self.all():
            job.stop()
        for job in self.all():
            job.join(None if last is None else max(0.0, last - time.monotonic()))
        for job in self.all():
            job.write_the_end()
