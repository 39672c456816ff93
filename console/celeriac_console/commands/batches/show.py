"""`celeriac batches show`: show what a batch waits for, and its dead members."""

from collections.abc import Sequence
from typing import Annotated

import msgspec
import typer

from celeriac.flow.batches.status import DeadMember, dead_members
from celeriac_console.batches.found import Found, named
from celeriac_console.batches.table import late_text
from celeriac_console.batches.words import waits_for
from celeriac_console.commands.batches.options import BatchId
from celeriac_console.options import Json
from celeriac_console.terminal.next_steps import LONGEST, command
from celeriac_console.terminal.screen import say
from celeriac_console.terminal.text import line
from celeriac_console.terminal.times import duration_text, instant_text

_COLUMNS = ("member", "queue", "reference")


def show(
    batch_id: BatchId,
    *,
    after: Annotated[int, typer.Option(min=-1, help="Only dead members behind this number.")] = -1,
    limit: Annotated[int, typer.Option(min=1, max=1_000, help="At most so many dead members.")] = 50,
    json_: Json = False,
) -> None:
    """Show a batch: its counts, what it waits for, its dead members, and what can be done.

    Example: celeriac --stage prod batches show 'calls#summarise:import-7'
    """
    found = named(batch_id)
    # One more tells whether there is another page.
    more = dead_members(found.batch, after=after, most=limit + 1)
    members = more[:limit]
    is_cut = len(more) > limit
    if json_:
        shown = [{"index": each.index, "ref": each.ref, "queue": each.queue} for each in members]
        following = members[-1].index if is_cut else None
        typer.echo(msgspec.json.encode(found.as_json() | {"dead_members": shown, "next": following}).decode())
        return
    _show(found)
    if members:
        _show_members(members)
    if is_cut:
        on = command("batches", "show", batch_id, "--after", str(members[-1].index), "--limit", str(limit))
        say(f"next: {on}", stderr=True)


def _show(found: Found) -> None:
    batch, status = found.batch, found.status
    say(line(batch.id, LONGEST), style="bold")
    sealed = f", complete since {instant_text(batch.sealed_at)}" if batch.sealed_at is not None else ""
    say(f"{status.state}, begun {instant_text(batch.opened_at)}, {duration_text(found.age)} ago{sealed}")
    if found.late_by is not None:
        say(f"late {late_text(found)}", style="yellow")
    if batch.is_sealed:
        say(
            f"{status.succeeded:,} of {status.total:,} members have succeeded, {status.dead:,} dead, "
            f"{status.missing:,} missing"
        )
    for sentence in waits_for(found):
        say(sentence)


def _show_members(members: Sequence[DeadMember]) -> None:
    say()
    rows = [(str(each.index), line(each.queue) or "-", line(each.ref, LONGEST) or "not known") for each in members]
    widths = [max(map(len, column)) for column in zip(_COLUMNS, *rows, strict=True)]
    for number, row in enumerate([_COLUMNS, *rows]):
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        say("  ".join(cells).rstrip(), style="bold" if number == 0 else None)
    known = next((each for each in members if each.ref), None)
    if known is not None:
        say()
        say(f"see why one failed: {command('status', known.ref)}")
        if known.queue:
            say(f"see its letter: {command('dlq', 'show', known.queue, known.ref)}")
