"""Queues as a table. On a terminal that is too narrow for it, each queue gets a few lines."""

from collections.abc import Sequence
from datetime import timedelta

from rich.console import Console, Group, RenderableType
from rich.text import Text

from celeriac_console.queues.rows import NOT_DEPLOYED, Row
from celeriac_console.terminal.times import duration_text

_LIMITS = "limits, and who waits"
_COLUMNS = ("queue", "waiting", "delayed", "scheduled", "in flight", "dead", "oldest", "consumer", "alarm")
_NUMBERS = range(1, 6)
_GAP = "  "


def table(rows: Sequence[Row], screen: Console) -> RenderableType:
    """The rows in the form that fits `screen`. Names are never cut. Output to a file or a pipe may have any width."""
    has_limits = any(row["limits"] for row in rows)
    columns = (*_COLUMNS, _LIMITS) if has_limits else _COLUMNS
    cells = [[*_cells(row), *([limits_text(row)] if has_limits else [])] for row in rows]
    widths = [max(map(len, column)) for column in zip(columns, *cells, strict=True)]
    if screen.is_terminal and sum(widths) + len(_GAP) * (len(widths) - 1) > screen.width:
        return Group(*(Text(_block(row), style=_style(row)) for row in rows))
    return Group(
        Text(_line(columns, widths), style="bold"),
        *(Text(_line(some, widths), style=_style(row)) for row, some in zip(rows, cells, strict=True)),
    )


def _cells(row: Row) -> list[str]:
    age = row["oldest_seconds"]
    counts = (row[name] for name in ("waiting", "delayed", "scheduled", "in_flight", "dead"))
    shown = ["-" if count is None else str(count) for count in counts]
    shown[2] += "+" * bool(row["scheduled_is_more"])
    return [
        row["queue"],
        *shown,
        "-" if age is None else duration_text(timedelta(seconds=age)),
        row["consumer"],
        row["alarm"],
    ]


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    aligned = (
        cell.rjust(width) if column in _NUMBERS else cell.ljust(width)
        for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
    )
    return _GAP.join(aligned).rstrip()


def _block(row: Row) -> str:
    if row["consumer"] == NOT_DEPLOYED:
        return f"{row['queue']}\n  {NOT_DEPLOYED}"
    name, waiting, delayed, scheduled, in_flight, dead, oldest, consumer, alarm = _cells(row)
    counts = f"{waiting} waiting, {delayed} delayed, {in_flight} in flight, {dead} dead"
    limits = f"\n  limits {limits_text(row)}" if row["limits"] else ""
    return f"{name}\n  {counts}\n  {scheduled} scheduled, oldest {oldest}, consumer {consumer}, alarm {alarm}{limits}"


def limits_text(row: Row) -> str:
    """The limits of the queue's tasks, each with about how many wait for it, if that is known."""
    return ", ".join(f"{name} ({waiting:,})" if waiting else name for name, waiting in row["limits"].items())


def _style(row: Row) -> str:
    return "red" if row["dead"] or row["consumer"] != "on" else ""
