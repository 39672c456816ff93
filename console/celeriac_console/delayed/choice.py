"""The delayed tasks that a command works on: those that are named, or those that a filter matches."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import batched

from celeriac.aws import schedules
from celeriac_console.application import by_name
from celeriac_console.delayed.filter import Filter
from celeriac_console.delayed.name import named
from celeriac_console.delayed.waiting import Waiting, look
from celeriac_console.terminal.errors import UserError
from celeriac_console.terminal.plural import counted
from celeriac_console.terminal.progress import progress
from celeriac_console.terminal.screen import say
from celeriac_console.terminal.text import line

# So many bodies are in memory at once, of up to 256 KB each.
_AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class Choice:
    """The schedules to look at, and the filter for what they hold."""

    names: Sequence[str]
    wanted: Filter
    is_named: bool
    """Whether each was named. Else schedules that hold no task of the stage are left out."""

    def walk(self, what: str, visit: Callable[[Sequence[Waiting]], None]) -> int:
        """Visit the tasks, some at a time, under a progress bar. Returns how many schedules were left out."""
        left_out = 0
        with progress(what, len(self.names)) as advance:
            for some in batched(self.names, _AT_ONCE):
                matched = [one for one in look(some) if self.wanted.matches(one)]
                meant = [one for one in matched if self.is_named or one.message is not None]
                left_out += len(matched) - len(meant)
                visit(meant)
                advance(len(some))
        return left_out


def choice_of(names: Sequence[str] | None, queue: str | None, wanted: Filter) -> Choice:
    """The choice for a command's arguments.

    Raises UserError for a name that isn't there, for names beside a filter, and if nothing is chosen.
    """
    has_filter = queue is not None or not wanted.is_everything
    if names and has_filter:
        raise UserError("name tasks, or choose them with --queue, --task, --from and --until, but not both")
    if names:
        return Choice(list(dict.fromkeys(named(name).name for name in names)), Filter(), is_named=True)
    if not has_filter:
        raise UserError("name tasks, or choose them with --queue, --task, --from or --until")
    prefix = f"{by_name.queue(queue).name}." if queue is not None else ""
    return Choice(list(_listed(prefix)), wanted, is_named=False)


def _listed(prefix: str) -> Iterator[str]:
    for page in schedules.pages(prefix):
        yield from page.names


def preview(choice: Choice, *, stderr: bool = False) -> list[str]:
    """Show what is chosen, by queue and task. Returns the names of the schedules."""
    counts, names = Counter[tuple[str, str]](), list[str]()

    def visit(some: Sequence[Waiting]) -> None:
        names.extend(one.name for one in some)
        counts.update((one.queue, one.task) for one in some)

    choice.walk("reading", visit)
    say(counted(len(names), "delayed task"), stderr=stderr)
    for (queue, task), number in sorted(counts.items()):
        say(line(f"    {number} {task or '(unreadable)'} in {queue or '(another target)'}"), stderr=stderr)
    return names
