"""Print the demo's report."""

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from celeriac.dead_letters.dead_letter import DeadLetter
from celeriac.model import names
from celeriac.observe.text import line
from celeriac_local.cloud.environment import STAGE
from celeriac_local.demo.cases import COLUMNS, QUEUES, Counts, Totals
from celeriac_local.demo.next_steps import command_to_send
from celeriac_local.folders import celeriac


def report(console: Console, found: Totals, letters: dict[str, list[DeadLetter]]) -> None:
    """Print the outcome: each queue, each dead letter with its reason, the outbox, the payment provider and SES."""
    console.print()
    console.print(_queues(found))
    console.print()
    console.print(_dead_letters(letters))
    console.print()
    console.print(f"Outbox    {found.relayed} events relayed, each to the two tasks that wait for it")
    twice = f"[red]{found.overcharged} more than once[/red]" if found.overcharged else "none more than once"
    console.print(f"Provider  {found.charged} orders charged, {twice}, though it was busy, down and silent")
    console.print(f"SES       {found.mails} e-mails sent")


def verdict(console: Console, differences: list[str], found: Totals, seconds: float) -> None:
    """Print whether every count is as expected."""
    console.print()
    total = sum(counts.sent for counts in found.queues.values())
    if not differences:
        console.print(f"[green]Every count is what it must be:[/green] {total} messages in {seconds:.0f} s")
        return
    console.print("[red]Not every count is what it must be:[/red]")
    for difference in differences:
        console.print(f"  {escape(difference)}")
    console.print(
        f"The functions' logs are in the log groups /aws/lambda/{names.start(STAGE)}*, "
        "the emulator's log is in .celeriac/"
    )


def next_steps(console: Console) -> None:
    """Print three commands to try next."""
    console.print()
    console.print("Try next:")
    letters, down = f"{celeriac()} --stage local dlq list payments", f"{celeriac()} local down"
    for command in (command_to_send(), letters, down):
        console.print(f"  {command}", markup=False)


def _queues(found: Totals) -> Table:
    table = Table("queue", title="What each queue saw", title_justify="left", box=None, pad_edge=False)
    for label in COLUMNS.values():
        table.add_column(label, justify="right")
    total = Counts()
    for queue in QUEUES:
        counts = found.queues[queue]
        total += counts
        table.add_row(queue, *_cells(counts))
    table.add_row("all", *_cells(total), style="bold")
    return table


def _cells(counts: Counts) -> list[str]:
    return [str(getattr(counts, column)) for column in COLUMNS]


def _dead_letters(letters: dict[str, list[DeadLetter]]) -> Table:
    table = Table("queue", "task", "reason", title="Dead letters", title_justify="left", box=None, pad_edge=False)
    table.add_column("because", overflow="fold")
    for queue, found in letters.items():
        for letter in sorted(found, key=lambda letter: letter.sent_at):
            failure = letter.failure
            because = failure.message.splitlines()[0] if failure and failure.message else ""
            reason = failure.reason if failure else "none given"
            cells = (queue, letter.task or "(unreadable)", reason, because)
            table.add_row(*(Text(line(cell)) for cell in cells))  # rich would read a plain string as markup
    return table
