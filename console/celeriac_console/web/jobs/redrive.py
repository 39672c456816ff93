"""A redrive of many letters."""

from collections.abc import Mapping
from threading import Event

from celeriac.model.queue import Queue
from celeriac_console.dlq.queue_reader import paced
from celeriac_console.dlq.redriver import Redriver
from celeriac_console.rate import Rate
from celeriac_console.terminal.plural import counted
from celeriac_console.web.jobs.of_letters import OTHERS_HOLD, REST, Alone, OfLetters, Plan
from celeriac_console.web.jobs.work import REDRIVE, Number, Shown

MOST_PROBLEMS = 20


class Redrive(OfLetters):
    """Sends letters that the filter chooses to a queue."""

    what = REDRIVE

    def __init__(self, plan: Plan, alone: Alone, to: Queue | None = None) -> None:
        """Prepare it.

        to: another queue than their own, for letters whose task lives there now.
        """
        super().__init__(plan, alone)
        self._to = to
        self._redriver: Redriver | None = None
        self._pace = Rate(plan.rate)

    @property
    def line(self) -> tuple[str, Mapping[str, str]]:
        """As the command is called."""
        return "dlq redrive", self._noted(to=self._to.name if self._to is not None else "")

    def go_on(self, stop: Event) -> None:
        """Pass over the queue."""
        with self._alone(self.on):
            reading = self._reading = paced(self._plan.queue, self._plan.rate, stop)
            if self._redriver is None:
                self._redriver = Redriver(
                    reading, self._to or self._plan.queue, self._plan.chosen.matches, lambda letter: letter.args,
                    self._pace, None, None, advance=lambda _: None,
                )  # fmt: skip
            self._redriver.reading, self._redriver.seen = reading, 0
            reading.run(self._redriver.visit, wait=True)

    def shown(self) -> Shown:
        """How many were sent, and which weren't."""
        redriver, plan, to = self._redriver, self._plan, self._to
        sent, unsent, undeleted = 0, list[str](), list[str]()
        if redriver is not None:
            sent, unsent, undeleted = redriver.redriven, redriver.unsent, redriver.undeleted
        notes, missed = list[str](), self._missed
        if missed:
            notes.append(f"{counted(missed, 'letter')} {OTHERS_HOLD}")
        if redriver is not None and redriver.stayed:
            notes.append(f"{counted(redriver.stayed, 'letter')} stayed: each has the id of a redriven one.")
        parts = ((unsent, "not sent"), (undeleted, "sent, and not deleted"))
        outcome = [f"{len(some)} {what}" for some, what in parts if some]
        outcome += [f"{missed} not read"] * bool(missed)
        return Shown(
            f"Redrive of {self.on}" + (f" to {to.name}" if to is not None else ""),
            dict(plan.chosen.given),
            plan.rate,
            sent,
            redriver.seen if redriver is not None else 0,
            self._total,
            self._numbers(
                redriver.seen if redriver is not None else 0,
                Number("redriven", sent),
                Number("not sent", len(unsent), is_bad=bool(unsent)),
            ),
            notes,
            [*unsent, *undeleted][:MOST_PROBLEMS],
            REST,
            outcome,
            plan.chosen.command(REDRIVE, self.on, plan.rate, to.name if to is not None else ""),
        )

    def let_go(self) -> None:
        """Forget which letters were sent."""
        self._redriver = None
