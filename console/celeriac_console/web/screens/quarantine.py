"""The quarantine: tasks and kinds of failure whose messages become dead letters without a run."""

from dataclasses import dataclass

from celeriac.consume import quarantine
from celeriac.declare import registry
from celeriac_console.application import quarantined
from celeriac_console.terminal.errors import UserError
from celeriac_console.terminal.next_steps import command
from celeriac_console.web.activity.noted import noted
from celeriac_console.web.screen import Action, Asked, Done, Room, Screen, View

LONGEST = 500
"""The most characters of a kind of failure."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What is in quarantine."""

    entry: str
    task: str
    """Empty for a kind of failure."""
    kind: str
    """Empty for a task."""
    queue: str
    """Of a task that is known here; else empty."""


def read(asked: Asked) -> View:
    """The entries, and a form for a further one."""
    found = asked.shared.live.quarantines.get(fresh=True)
    if found.at is None and found.error is not None:
        raise found.error
    data = {
        "entries": [_entry(each) for each in sorted(found.value)],
        "tasks": sorted(registry.tasks),
        "task": asked.query.get("task", ""),
        "kind": asked.query.get("kind", "")[:LONGEST],
        "problem": found.problem,
    }
    return View(data, command("quarantine", "list"))


def add(asked: Asked) -> Done:
    """Put a task, or a kind of failure, in quarantine."""
    task, kind = asked.form.get("task", ""), asked.form.get("kind", "").strip()
    if bool(task) == bool(kind):
        raise UserError("Choose a task, or write a kind of failure: one of the two.")
    if len(kind) > LONGEST:
        raise UserError(f"A kind of failure has at most {LONGEST} characters: copy it from a dead letter.")
    entry = quarantined.entry_of(task or None, kind or None)
    with noted(asked.operator, "quarantine add", {"entry": entry}):
        quarantine.add(entry)
    return Done(f"{entry} is in quarantine. Workers apply this within a minute.", "/quarantine")


def lift(asked: Asked) -> Done:
    """End a quarantine."""
    entry = asked.form.get("entry", "")
    with noted(asked.operator, "quarantine lift", {"entry": entry[:LONGEST]}):
        quarantined.lift(entry)
    said = f"{entry} is free again within a minute. What it has dead-lettered stays dead until it is redriven."
    return Done(said, "/quarantine")


def _entry(entry: str) -> Entry:
    what, _, name = entry.partition(":")
    if what == "task":
        return Entry(entry, name, "", registry.tasks[name].queue.name if name in registry.tasks else "")
    return Entry(entry, "", name, "")


ROOM = Room(
    (Screen("/quarantine", "Quarantine", "quarantine.html", read, menu="Quarantine"),),
    (Action("/quarantine/add", add), Action("/quarantine/lift", lift)),
)
