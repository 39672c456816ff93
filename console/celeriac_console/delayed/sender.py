"""Sends delayed tasks now: each message is sent first, then its schedule is deleted.

So an interruption loses no task, and the same command finishes the rest. A task that was sent and whose schedule wasn't
deleted is sent again when it is due. Its record lets it run only once, unless it is `at_least_once`.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import groupby

from celeriac.aws import refusals, schedules, sqs
from celeriac_console.delayed.waiting import WORKERS, Waiting
from celeriac_console.rate import Rate

# Scheduler sends within a minute after the due time. What still lies there after two, it tries again for a day:
# https://docs.aws.amazon.com/scheduler/latest/UserGuide/managing-schedule.html
FIRING = timedelta(minutes=2)


@dataclass(slots=True)
class Sender:
    """Sends delayed tasks, in batches that SQS accepts."""

    pace: Rate
    sent: int = 0
    firing: int = 0
    """The number of tasks that Scheduler is about to send, or has just sent. They are left to it."""
    problems: list[str] = field(default_factory=list)
    """The tasks that couldn't be sent, or whose schedules couldn't be deleted, each with the reason."""

    def send(self, some: Sequence[Waiting]) -> None:
        """Send these tasks."""
        for target, batch in self._batches(some):
            self._send(target, batch)

    def _batches(self, some: Sequence[Waiting]) -> Iterator[tuple[str, list[Waiting]]]:
        now = datetime.now(UTC)
        ready: list[Waiting] = []
        for one in some:
            if one.message is None:
                self.problems.append(f"{one.name}: {one.problem}")
            elif one.due is not None and one.due <= now < one.due + FIRING:
                self.firing += 1
            else:
                ready.append(one)
        for target, group in groupby(sorted(ready, key=lambda one: one.target), key=lambda one: one.target):
            its = list(group)
            for positions in sqs.batches([len(one.body.encode()) for one in its]):
                yield target, [its[i] for i in positions]

    def _send(self, target: str, batch: Sequence[Waiting]) -> None:
        self.pace.wait(len(batch))
        try:
            refused = refusals.insist(
                [sqs.Entry(one.body) for one in batch], lambda entries: sqs.send_batch(target, entries)
            )
        except sqs.NoSuchQueueError as error:
            self.problems += [f"{one.name}: {error}" for one in batch]
            return
        taken = [one for one, refusal in zip(batch, refused, strict=True) if refusal is None]
        self.problems += [
            f"{one.name}: {refusal.why}" for one, refusal in zip(batch, refused, strict=True) if refusal is not None
        ]
        self.sent += len(taken)
        with ThreadPoolExecutor(WORKERS) as pool:
            self.problems += [problem for problem in pool.map(_deleted, taken) if problem]


def _deleted(one: Waiting) -> str:
    """Delete the schedule of a task that was sent. Returns why it couldn't be; empty if it is gone."""
    try:
        schedules.delete(one.name)
    except Exception as error:  # noqa: BLE001 - one schedule must not stop the others; the user is told which one
        return f"{one.name}: sent, and its schedule not deleted, so it is sent again when it is due: {error}"
    return ""
