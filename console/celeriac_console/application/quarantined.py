"""The entries of the quarantine, as an operator names them."""

from celeriac.consume import quarantine
from celeriac_console.application import by_name
from celeriac_console.terminal.errors import UserError


def entry_of(task: str | None, kind: str | None) -> str:
    """The entry for a task or for a kind of failure. Raises UserError unless exactly one of them is given."""
    if (task is None) == (kind is None):
        raise UserError("give one of --task and --kind")
    return quarantine.of_task(by_name.task(task).name) if task is not None else quarantine.of_failure(kind or "")


def lift(entry: str) -> None:
    """End the quarantine of an entry. Raises UserError if it isn't in quarantine."""
    if entry not in quarantine.entries():
        raise UserError(f"{entry} isn't in quarantine: celeriac quarantine list shows what is")
    quarantine.lift(entry)
