"""A replay of the outbox, and its preview.

It is interrupted between two pages of rows: those before are published, the others as they were. To go on, the rows are
read again from where it was. See `Replaying` for what becomes of a page that an error has ended.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from threading import Event

from celeriac_console.explain import is_of_login
from celeriac_console.outbox.replay import Replay, Replaying
from celeriac_console.stage.clients import client
from celeriac_console.terminal.next_steps import command
from celeriac_console.terminal.plural import counted
from celeriac_console.web.jobs.work import PREVIEW, REPLAY, HeldUpError, Number, Part, Shown, Start

OUTBOX = "the outbox"
_BAD = frozenset({"parked", "failed", "malformed"})
_LEFT_OUT = (
    "left out: published so long ago that the tasks' records may have expired, so the tasks would run a second time."
)
_UNMARKED = "published, and not marked so: those that were parked still stand there. Replay them again once."


class OfOutbox:
    """Publishes the events that a filter finds, or counts them."""

    on = OUTBOX

    def __init__(self, replay: Replay, rate: float | None = None, *, dry: bool) -> None:
        """Prepare it.

        dry: a preview, which only counts. rate: events a second; None for no limit.
        """
        self.what = PREVIEW if dry else REPLAY
        self.replay, self._rate = replay, rate
        self._going = Replaying(replay, dry=dry, rate=rate)
        self._begun = datetime.now(UTC)
        self._is_complete = False

    @property
    def line(self) -> tuple[str, Mapping[str, str]] | None:
        """As the command is called. A preview has none."""
        return None if self._going.dry else ("outbox replay", self._chosen)

    def go_on(self, stop: Event) -> None:
        """Publish page after page. Raises HeldUpError after one of which something couldn't be sent, or AWS's error."""
        if stop.is_set():
            return
        unmarked = self._going.unmarked
        for _ in self._going.pages():
            if failed := self._going.counts["failed"]:
                _must_be_logged_in()
                raise HeldUpError(f"{counted(failed, 'event')} could not be sent, so later ones weren't tried")
            if self._going.unmarked > unmarked:
                _must_be_logged_in()
            if stop.is_set():
                return
        self._is_complete = True

    def shown(self) -> Shown:
        """The counts so far."""
        counts, dry = dict(self._going.counts), self._going.dry
        names = ("found", "malformed", "expired") if dry else (*counts,)
        said = {"expired": "left out: expired"}
        others = {name: counts[name] for name in ("parked", "failed", "malformed", "expired")}
        others["not marked"] = self._going.unmarked
        notes = ((counts["expired"], _LEFT_OUT), (self._going.unmarked, _UNMARKED))
        return Shown(
            f"{'Preview of a replay' if dry else 'Replay'} of {self.replay.type}",
            self._chosen,
            self._rate,
            counts["found"] - counts["expired"] if dry else counts["published"],
            counts["found"],
            0,
            [Number(said.get(name, name), counts[name], bool(counts[name]) and name in _BAD) for name in names],
            [f"{counted(number, 'event')} {said}" for number, said in notes if number],
            [],
            "" if dry else "Replay them again: what has succeeded with an event skips it.",
            [f"{number} {name}" for name, number in others.items() if number],
            self._command(),
            [Part(type_, "", count) for type_, count in self._going.types.most_common()] if dry else [],
            self._start(counts["found"] - counts["expired"]),
        )

    def let_go(self) -> None:
        """It holds little."""

    def _start(self, found: int) -> Start | None:
        if not self._going.dry or not self._is_complete or not found:
            return None
        return Start("/outbox/replay", {}, f"Replay {counted(found, 'event')}", for_good=False)

    @property
    def _chosen(self) -> dict[str, str]:
        asked = self.replay
        given = {"type": asked.type, "after": f"{asked.after:%Y-%m-%d %H:%M:%S}Z", "to": asked.to or ""}
        return {name: value for name, value in given.items() if value} | (
            {"even_expired": "yes"} if asked.even_expired else {}
        )

    def _command(self) -> str:
        asked = self.replay
        minutes = int((self._begun - asked.after).total_seconds() // 60) + 1
        words = ["--type", asked.type, "--since", f"{minutes}m", *(["--to", asked.to] if asked.to else [])]
        words += ["--rate", f"{self._rate:g}"] if self._rate else []
        return command(
            "outbox", "replay", *words, *["--even-expired"] * asked.even_expired, *["--dry-run"] * self._going.dry
        )


def _must_be_logged_in() -> None:
    """Raise AWS's error if the login has expired: publishing only says that something couldn't be sent."""
    try:
        client("sts").get_caller_identity()
    except Exception as error:
        if is_of_login(error):
            raise
