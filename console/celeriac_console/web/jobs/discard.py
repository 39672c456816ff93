"""A discard of many letters, and its preview, which passes over the whole queue."""

from collections.abc import Callable, Mapping, Sequence
from threading import Event, Lock

from celeriac_console.dlq.discarder import Discarder
from celeriac_console.dlq.kinds import Kinds
from celeriac_console.dlq.queue_reader import Pass, Taken, hidden_for, paced
from celeriac_console.rate import Rate
from celeriac_console.terminal.plural import counted
from celeriac_console.web.jobs.of_letters import OTHERS_HOLD, REST, Alone, OfLetters, Plan
from celeriac_console.web.jobs.work import DISCARD, PREVIEW, Number, Part, Shown, Start
from celeriac_console.web.shown import address, part

MOST_SHOWN = 100_000
"""So many letters are previewed, and discarded, at once: a preview holds them all, and SQS gives about 120,000."""
MOST_KINDS = 100
"""So many groups of a preview are shown, the largest ones."""


class Discard(OfLetters):
    """Deletes the letters that a preview has shown, and no others."""

    what = DISCARD

    def __init__(self, plan: Plan, alone: Alone, only: frozenset[str]) -> None:
        """Prepare it.

        only: SQS's ids of the letters.
        """
        super().__init__(plan, alone)
        self._only = only
        self._left_over = 0
        self._discarder: Discarder | None = None
        self._pace = Rate(plan.rate)

    @property
    def line(self) -> tuple[str, Mapping[str, str]]:
        """As the command is called."""
        return "dlq discard", self._noted()

    def go_on(self, stop: Event) -> None:
        """Pass over the queue until the last letter that is meant."""
        with self._alone(self.on):
            reading = self._reading = paced(self._plan.queue, self._plan.rate, stop)
            if self._discarder is None:
                self._discarder = Discarder(reading, self._is_meant, self._pace, lambda _: None, len(self._only))
                self._left_over = max(0, reading.total - len(self._only))
            self._discarder.reading, self._discarder.seen = reading, 0
            reading.run(self._discarder.visit, wait=True)

    def _is_meant(self, one: Taken) -> bool:
        return one.message_id in self._only

    def shown(self) -> Shown:
        """How many were deleted, of those that are meant."""
        plan, discarder = self._plan, self._discarder
        count, seen = (discarder.discarded, discarder.seen) if discarder is not None else (0, 0)
        missed = self._missed if count < len(self._only) else 0
        again = address(f"/dead-letters/{part(self.on)}/{DISCARD}", plan.chosen.given)
        return Shown(
            f"Discard of {self.on}",
            dict(plan.chosen.given),
            plan.rate,
            count,
            seen,
            self._total,
            self._numbers(seen, Number(f"discarded, of {counted(len(self._only), 'shown one')}", count)),
            [f"{counted(missed, 'letter')} {OTHERS_HOLD}"] if missed else [],
            [],
            REST,
            [f"{len(self._only) - count} not found"] if count < len(self._only) else [],
            plan.chosen.command(DISCARD, self.on, plan.rate),
            then=again if self._left_over else "",
        )

    def let_go(self) -> None:
        """Forget which letters were meant."""
        self._only, self._discarder = frozenset(), None


class Look(OfLetters):
    """The preview of a discard of more letters than a screen reads: it passes over the whole queue, and counts.

    Only the letters' ids are in memory.
    """

    what = PREVIEW

    def __init__(self, plan: Plan, alone: Alone, keep: Callable[[frozenset[str]], str]) -> None:
        """Prepare it.

        keep: remembers SQS's ids of the letters that were counted, and returns the word for a discard of them.
        """
        super().__init__(plan, alone)
        self._keep = keep
        self._word = ""
        self._ids: set[str] = set()
        self._kinds = Kinds()
        self._seen = 0
        self._lock = Lock()

    @property
    def line(self) -> None:
        """It changes nothing."""

    def go_on(self, stop: Event) -> None:
        """Pass over the queue. Letters that were counted before aren't counted again."""
        with self._alone(self.on):
            total = Pass(self._plan.queue).total
            self._seen, self._word = 0, ""
            reading = self._reading = Pass(self._plan.queue, hidden=hidden_for(total), stopped=stop)

            def visit(taken: Sequence[Taken]) -> set[str]:
                with self._lock:
                    meant = [one for one in taken if self._is_new(one)][: MOST_SHOWN - len(self._ids)]
                    self._kinds.add(one.letter for one in meant)
                    self._ids |= {one.message_id for one in meant}
                    self._seen += len(taken)
                    if len(self._ids) >= MOST_SHOWN:
                        reading.stop()
                return set()

            reading.run(visit)
            self._word = self._keep(frozenset(self._ids))

    def _is_new(self, one: Taken) -> bool:
        return one.message_id not in self._ids and self._plan.chosen.matches(one)

    def shown(self) -> Shown:
        """What it has counted."""
        plan, count, missed = self._plan, len(self._ids), self._missed
        notes = [f"{counted(missed, 'letter')} {OTHERS_HOLD}"] if missed else []
        if count >= MOST_SHOWN:
            notes.append("These are as many as can be discarded at once. After it, you can go on with the next ones.")
        with self._lock:
            kinds = self._kinds.most_first()
        if more := kinds[MOST_KINDS:]:
            notes.append(
                f"{counted(sum(kind.count for kind in more), 'letter')} more are of {len(more)} smaller groups."
            )
        return Shown(
            f"Preview of a discard of {self.on}",
            dict(plan.chosen.given),
            None,
            count,
            self._seen,
            self._total,
            self._numbers(self._seen, Number("match", count)),
            notes,
            [],
            "",
            [],
            plan.chosen.command(DISCARD, self.on),
            [
                Part(kind.task or "(unreadable)", " ".join(f"{kind.reason} {kind.example}".split())[:200], kind.count)
                for kind in kinds[:MOST_KINDS]
            ],
            self._start(count),
        )

    def let_go(self) -> None:
        """The ids are kept elsewhere, for the discard."""
        self._ids = set()

    def _start(self, count: int) -> Start | None:
        if not self._word or not count:
            return None
        fields = {"what": DISCARD, "shown": self._word} | dict(self._plan.chosen.given)
        url = f"/dead-letters/{part(self.on)}/jobs"
        return Start(url, fields, f"Discard {counted(count, 'letter')}", for_good=True)
