"""The letters that a URL or a form chooses."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from celeriac.flow.batches.root import Batch
from celeriac_console.dlq.filter import Filter, filter_of
from celeriac_console.dlq.letter import kind_of
from celeriac_console.dlq.queue_reader import Taken
from celeriac_console.terminal.next_steps import command

NAMES = ("task", "error", "since", "until", "text", "kind")
FORMER = {"text": "contains"}
"""What older links call a name. A form's field can't be called so: `form.contains` is the browser's own."""
OPTIONS = {"text": "contains"}
"""Names that the command calls otherwise."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """A filter as it was written."""

    given: Mapping[str, str]
    """What was asked for, without what is empty."""
    filter: Filter
    kind: str

    def matches(self, one: Taken) -> bool:
        """Whether the letter is meant."""
        return self.filter.matches(one.letter) and self.kind in {"", kind_of(one.letter)}

    def command(self, what: str, queue: str, rate: float | None = None, to: str = "") -> str:
        """The command that chooses the same letters: a kind is a condition on the error there.

        rate, to: its further options, if there are any.
        """
        given = dict(self.given)
        if self.filter.batch is not None:
            paced = ["--rate", f"{rate:g}"] if rate else []
            return command("batches", "repair", self.filter.batch.id, "--redrive", *paced)
        kind = given.pop("kind", "")
        if kind and "error" not in given:
            given["error"] = kind
        options = {OPTIONS.get(name, name): text for name, text in given.items()}
        options |= {"rate": f"{rate:g}" if rate else "", "to": to}
        words = (word for name, text in options.items() if text for word in (f"--{name}", text))
        return command("dlq", what, queue, *words)

    def until(self, now: datetime) -> "Chosen":
        """The same with absolute times, and without letters that die after `now`: a preview doesn't show them."""
        wanted = self.filter
        last = min(wanted.until, now) if wanted.until is not None else now
        given = dict(self.given) | {"until": last.isoformat()}
        if wanted.since is not None:
            given["since"] = wanted.since.isoformat()
        return chosen(given)

    @property
    def noted(self) -> dict[str, str]:
        """For the activity: a text that letters contain may be an argument, so it isn't told."""
        return {name: "(not kept)" if name == "text" else text for name, text in self.given.items()}


def chosen(query: Mapping[str, str]) -> Chosen:
    """The filter of a URL or a form. Raises UserError for a time that can't be read."""
    asked = {name: (query.get(name) or query.get(FORMER.get(name, name)) or "").strip() for name in NAMES}
    given = {name: text for name, text in asked.items() if text}
    get = given.get
    wanted = filter_of(get("task"), get("error"), get("since"), get("until"), get("text"))
    return Chosen(given, wanted, given.get("kind", ""))


def of_batch(batch: Batch) -> Chosen:
    """The letters of a batch's members. No URL chooses them: a job does."""
    return Chosen({"batch": batch.id}, Filter(batch=batch.member()), "")
