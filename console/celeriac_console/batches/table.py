"""Batches as a table. On a terminal that is too narrow for it, each batch gets a few lines."""

from collections.abc import Sequence

from rich.console import Console, Group, RenderableType
from rich.text import Text

from celeriac_console.batches.found import Found
from celeriac_console.terminal.next_steps import LONGEST
from celeriac_console.terminal.text import line
from celeriac_console.terminal.times import duration_text

_COLUMNS = ("batch", "state", "succeeded", "dead", "missing", "age", "late")
_GAP = "  "


def table(found: Sequence[Found], screen: Console) -> RenderableType:
    """The batches in the form that fits `screen`. Ids are never cut. Output to a file or a pipe may have any width."""
    cells = [_cells(each) for each in found]
    widths = [max(map(len, column)) for column in zip(_COLUMNS, *cells, strict=True)]
    styles = ["red" if each.status.dead else "yellow" if each.late_by is not None else "" for each in found]
    if screen.is_terminal and sum(widths) + len(_GAP) * (len(widths) - 1) > screen.width:
        return Group(*(Text(_block(each), style=style) for each, style in zip(cells, styles, strict=True)))
    return Group(
        Text(_line(_COLUMNS, widths), style="bold"),
        *(Text(_line(each, widths), style=style) for each, style in zip(cells, styles, strict=True)),
    )


def late_text(found: Found) -> str:
    """For how long the batch should have ended; `no` if it isn't late."""
    return f"for {duration_text(found.late_by)}" if found.late_by is not None else "no"


def _cells(found: Found) -> list[str]:
    status = found.status
    counts = ["-", "-", "-"]
    if found.batch.is_sealed:
        counts = [f"{status.succeeded:,} of {status.total:,}", f"{status.dead:,}", f"{status.missing:,}"]
    return [line(found.batch.id, LONGEST), status.state, *counts, duration_text(found.age), late_text(found)]


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return _GAP.join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()


def _block(cells: Sequence[str]) -> str:
    batch_id, state, succeeded, dead, missing, age, late = cells
    counts = f"\n  {succeeded} succeeded, {dead} dead, {missing} missing" if succeeded != "-" else ""
    return f"{batch_id}\n  {state}, {age} old, late: {late}{counts}"
