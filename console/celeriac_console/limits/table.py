"""Limits as a table. On a terminal that is too narrow for it, each limit gets a few lines."""

from collections.abc import Sequence

from rich.console import Console, Group, RenderableType
from rich.text import Text

from celeriac.flow.standing import Standing
from celeriac_console.limits.rows import Row, Set
from celeriac_console.limits.words import now_text, row_text
from celeriac_console.terminal.text import line
from celeriac_console.terminal.times import instant_text

_COLUMNS = ("limit", "declared", "now", "set")
_GAP = "  "


def table(rows: Sequence[Row], screen: Console) -> RenderableType:
    """The rows in the form that fits `screen`. Names are never cut. Output to a file or a pipe may have any width."""
    cells = [pair for row in rows for pair in _cells(row)]
    widths = [max(map(len, column)) for column in zip(_COLUMNS, *(each for each, _ in cells), strict=True)]
    if screen.is_terminal and sum(widths) + len(_GAP) * (len(widths) - 1) > screen.width:
        return Group(*(Text(_block(each), style=style) for each, style in cells))
    return Group(
        Text(_line(_COLUMNS, widths), style="bold"), *(Text(_line(each, widths), style=style) for each, style in cells)
    )


def _cells(row: Row) -> list[tuple[list[str], str]]:
    """The row's cells with their style, then those of its items."""
    first = [row.name, row.declared, row_text(row), set_text(row.override)]
    style = _style(row.standing) or ("" if row.kind else "yellow")
    return [
        (first, style),
        *(([f"  {each.item}", "", now_text(each.standing), ""], _style(each.standing)) for each in row.items),
    ]


def set_text(override: Set | None) -> str:
    """What is set, by whom and when; a dash for nothing."""
    if override is None:
        return "-"
    by = f" by {override.by}" if override.by else ""
    at = f" at {instant_text(override.at)}" if override.at is not None else ""
    return line(f"{override.text}{by}{at}")


def _style(stands: Standing | None) -> str:
    if stands is None:
        return ""
    return "red" if stands.state in {"open", "held open"} else "yellow" if stands.holds else ""


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return _GAP.join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()


def _block(cells: Sequence[str]) -> str:
    name, declared, now, is_set = cells
    lines = [name, *(f"  {each}" for each in (declared, now) if each)]
    return "\n".join([*lines, f"  set: {is_set}"] if is_set not in {"", "-"} else lines)
