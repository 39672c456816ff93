"""Virtual time: it stands still until a test moves it. The clock knows the instants at which something falls due."""

import heapq
import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import time_machine


class Clock:
    """The time of everything in the sandbox: our code, boto3's and moto's."""

    def __init__(self, start: datetime) -> None:
        self._travel = time_machine.travel(start, tick=False)
        self._due: list[datetime] = []
        self._error = timedelta()
        self._of_thread = threading.local()
        self._moving = threading.Lock()

    def start(self) -> None:
        """Stop the real time."""
        self._traveller = self._travel.start()

    def stop(self) -> None:
        """Let the real time go on."""
        self._travel.stop()

    @property
    def now(self) -> datetime:
        """The virtual time."""
        return datetime.now(UTC) - self._error

    @contextmanager
    def wrong(self, by: timedelta) -> Iterator[None]:
        """In the block, code reads a time that is wrong by `by`. AWS, which asks for the `right` time, doesn't."""
        before = self._error
        self._set(by)
        try:
            yield
        finally:
            self._set(before)

    def right(self) -> AbstractContextManager[None]:
        """In the block, code reads the right time."""
        return self.wrong(timedelta())

    def _set(self, error: timedelta) -> None:
        self._traveller.shift(error - self._error)
        self._error = error

    def advance(self, by: timedelta) -> None:
        """Move the time forward. Raises ValueError for a step back."""
        if by < timedelta():
            raise ValueError(f"time moves forward only, not by {by}")
        self._traveller.shift(by)
        self._of_thread.now = self.now

    def advance_to(self, instant: datetime) -> None:
        """Move the time forward to an instant, for threads that wait for it side by side."""
        with self._moving:
            self.advance(max(instant - self.now, timedelta()))

    def wait(self, by: timedelta, begun: datetime) -> None:
        """Wait as one of the threads of a worker that began then. They wait at the same time: waits don't add up."""
        if threading.current_thread() is threading.main_thread():
            self.advance(by)
            return
        until = max(getattr(self._of_thread, "now", self.now), begun) + by
        if until > self.now:
            self.advance(until - self.now)
        self._of_thread.now = until

    def remind(self, after: timedelta) -> None:
        """Note that something falls due `after` from now."""
        heapq.heappush(self._due, self.now + after)

    def remind_visible(self, after: timedelta) -> None:
        """Note that a received message becomes visible again `after` from now; in moto a millisecond later."""
        self.remind(after + timedelta(milliseconds=1))

    def next_due(self) -> datetime | None:
        """The next instant at which something falls due, if any is known."""
        while self._due and self._due[0] <= self.now:
            heapq.heappop(self._due)
        return self._due[0] if self._due else None

    def watch(self, service: str, operation: str, arguments: Mapping[str, Any]) -> None:
        """Note what an AWS call makes due: delayed messages, changed visibilities, schedules."""
        match service, operation:
            case "sqs", "SendMessage":
                self.remind(timedelta(seconds=arguments.get("DelaySeconds", 0)))
            case "sqs", "SendMessageBatch":
                for entry in arguments["Entries"]:
                    self.remind(timedelta(seconds=entry.get("DelaySeconds", 0)))
            case "sqs", "ChangeMessageVisibility":
                self.remind_visible(timedelta(seconds=arguments["VisibilityTimeout"]))
            case "sqs", "ChangeMessageVisibilityBatch":
                for entry in arguments["Entries"]:
                    self.remind_visible(timedelta(seconds=entry["VisibilityTimeout"]))
            case "scheduler", "CreateSchedule":
                self.remind(max(at(arguments["ScheduleExpression"]) - self.now, timedelta()))


def at(expression: str) -> datetime:
    """The instant of a one-time schedule's `at(yyyy-mm-ddThh:mm:ss)`."""
    return datetime.fromisoformat(expression.removeprefix("at(").removesuffix(")")).replace(tzinfo=UTC)
