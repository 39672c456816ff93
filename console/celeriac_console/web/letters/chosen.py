"""The letters that a URL or a form chooses."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from celeriac_console.dlq.filter import Filter, filter_of
from celeriac_console.dlq.letter import kind_of
from celeriac_console.dlq.queue_reader import Taken
from celeriac_console.terminal.next_steps import command

NAMES = ("task", "error", "since", "until", "contains", "kind")


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

    def command(self, what: str, queue: str) -> str:
        """The command that chooses the same letters: a kind is a condition on the error there."""
        given = dict(self.given)
        kind = given.pop("kind", "")
        if kind and "error" not in given:
            given["error"] = kind
        return command("dlq", what, queue, *(word for name, text in given.items() for word in (f"--{name}", text)))

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
        return {name: "(not kept)" if name == "contains" else text for name, text in self.given.items()}


def chosen(query: Mapping[str, str]) -> Chosen:
    """The filter of a URL or a form. Raises UserError for a time that can't be read."""
    given = {name: query[name].strip() for name in NAMES if query.get(name, "").strip()}
    get = given.get
    wanted = filter_of(get("task"), get("error"), get("since"), get("until"), get("contains"))
    return Chosen(given, wanted, given.get("kind", ""))
