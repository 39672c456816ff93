"""Ended runs as a table. On a terminal that is too narrow for it, each run gets a few lines."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from msgspec import to_builtins
from rich.console import Console, Group, RenderableType
from rich.text import Text

from celeriac.leases.history import Attempt
from celeriac.leases.runs import Run
from celeriac_console.terminal.text import line
from celeriac_console.terminal.times import duration_text, instant_text

_COLUMNS = ("ended", "state", "attempt", "took", "id", "error")
_GAP = "  "
_STYLES = {"dead": "red", "cancelled": "yellow"}
_SECOND = timedelta(seconds=1)


def table(runs: Sequence[Run], screen: Console, *, attempts: bool) -> RenderableType:
    """The runs in the form that fits `screen`. Output to a file or a pipe may have any width."""
    cells = [_cells(run) for run in runs]
    widths = [max(map(len, column)) for column in zip(_COLUMNS, *cells, strict=True)]
    is_narrow = screen.is_terminal and sum(widths) + len(_GAP) * (len(widths) - 1) > screen.width
    lines = [] if is_narrow else [Text(_line(_COLUMNS, widths), style="bold")]
    for run, some in zip(runs, cells, strict=True):
        lines.append(Text(_block(some) if is_narrow else _line(some, widths), style=_STYLES.get(run.state, "")))
        lines += [Text(f"  {attempt_text(each)}") for each in run.attempts] if attempts else []
    return Group(*lines)


def attempt_text(each: Attempt) -> str:
    """One attempt as a line."""
    error = f": {each.error}" if each.error else ""
    logs = f", request {each.request_id}" if each.request_id else ""
    return line(f"attempt {each.attempt} {instant_text(each.started_at)} {took(each)} {each.outcome}{error}{logs}")


def took(each: Attempt) -> str:
    """How long an attempt took, as text."""
    length = each.ended_at - each.started_at
    if length >= _SECOND:
        return duration_text(length)
    return f"{max(length, timedelta()) / timedelta(milliseconds=1):.0f} ms"


def as_json(run: Run) -> dict[str, Any]:
    """A run as plain data. Times are texts, in ISO 8601."""
    attempts = [{name: getattr(each, name) for name in each.__struct_fields__} for each in run.attempts]
    plain: dict[str, Any] = to_builtins(
        {
            "task": run.task,
            "id": run.id,
            "state": run.state,
            "ended_at": run.ended_at,
            "attempt": run.attempt,
            "error": run.error,
            "attempts": attempts,
        }
    )
    return plain


def _cells(run: Run) -> list[str]:
    last = run.attempts[-1] if run.attempts else None
    took_ = took(last) if last is not None else "-"
    return [instant_text(run.ended_at), run.state, str(run.attempt), took_, line(run.id), line(run.error) or "-"]


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return _GAP.join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()


def _block(cells: Sequence[str]) -> str:
    ended, state, attempt, took_, its_id, error = cells
    lines = [f"{ended} {state}", f"  {its_id}", f"  attempt {attempt} took {took_}"]
    return "\n".join([*lines, f"  {error}"] if error != "-" else lines)
