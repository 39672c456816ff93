"""A replay, or its preview, that runs in a thread. Closing a tab doesn't stop it."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from threading import Event, Lock, Thread

from celeriac.model.failure import error_type
from celeriac_console.explain import explanation
from celeriac_console.outbox.replay import Replay
from celeriac_console.terminal.errors import UserError
from celeriac_console.web.activity.noted import noted

KEPT = 20
"""So many replays are remembered, the newest ones."""
SOON = 1.0
"""Seconds that a request waits for a replay: most are short."""


@dataclass(slots=True)
class Running:
    """A replay, and how far it is."""

    number: int
    replay: Replay
    dry: bool
    who: str
    begun_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    counts: Counter[str] = field(default_factory=Counter)
    ended_at: datetime | None = None
    problem: str = ""
    """Why it ended early, if an error ended it."""
    _stopped: Event = field(default_factory=Event)
    _thread: Thread | None = None

    @property
    def was_stopped(self) -> bool:
        """Whether somebody has asked it to stop."""
        return self._stopped.is_set()

    def start(self) -> None:
        """Begin. The thread ends with the process: what was published by then stays published."""
        self._thread = Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End after the page of rows at which it is."""
        self._stopped.set()

    def wait(self, seconds: float | None = None) -> None:
        """Wait until it has ended, no longer than this."""
        if self._thread is not None:
            self._thread.join(seconds)

    def _run(self) -> None:
        try:
            if self.dry:
                self._count()
            else:
                with noted(self.who, "outbox replay", self._where()) as outcome:
                    self._count()
                    outcome.count = self.counts["published"]
                    others = ("parked", "failed", "malformed", "expired")
                    said = [f"{self.counts[name]} {name}" for name in others if self.counts[name]]
                    outcome.said = ", ".join([*(["stopped"] if self.was_stopped else ["done"]), *said])
        except Exception as error:  # noqa: BLE001 - it is shown on the replay's page
            found = explanation(error)
            self.problem = found[0] if found is not None else f"It failed with {error_type(error)}."
        finally:
            self.ended_at = datetime.now(UTC)

    def _count(self) -> None:
        for counts in self.replay.run(dry=self.dry):
            self.counts = Counter(counts)
            if self._stopped.is_set():
                return

    def _where(self) -> dict[str, str]:
        given = {"type": self.replay.type, "after": f"{self.replay.after:%Y-%m-%d %H:%M:%S}Z", "to": self.replay.to}
        return {name: value for name, value in given.items() if value} | (
            {"even_expired": "yes"} if self.replay.even_expired else {}
        )


@dataclass(slots=True)
class Replays:
    """The replays of this process, one at a time."""

    _all: list[Running] = field(default_factory=list)
    _lock: Lock = field(default_factory=Lock)

    def start(self, replay: Replay, who: str, *, dry: bool) -> Running:
        """Begin one, and wait a moment for it. Raises UserError while another one runs."""
        with self._lock:
            if any(each.ended_at is None for each in self._all):
                raise UserError("A replay, or its preview, runs already: wait for it, or stop it. Nothing was begun.")
            made = Running(self._all[-1].number + 1 if self._all else 1, replay, dry, who)
            self._all = [*self._all, made][-KEPT:]
            made.start()
        made.wait(SOON)
        return made

    def of(self, number: str) -> Running:
        """The replay of this number. Raises LookupError."""
        for each in self._all:
            if str(each.number) == number:
                return each
        raise LookupError("This page knows no such replay: it forgets them when it is started again.")

    @property
    def newest_first(self) -> list[Running]:
        """All that are remembered."""
        return self._all[::-1]
