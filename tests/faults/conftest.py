"""Print the matrix as a table after its tests."""

from collections import defaultdict
from typing import Any

import pytest

type Cells = dict[str, dict[str, tuple[int, int]]]
"""By path and fault: at how many calls the fault happened, and after how many of them something was wrong."""


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    cells: Cells = defaultdict(dict)
    for report in [*terminalreporter.stats.get("passed", []), *terminalreporter.stats.get("failed", [])]:
        for name, value in getattr(report, "user_properties", []):
            if name == "cell":
                path, fault, struck, wrong = value
                cells[path][fault] = struck, wrong
    if cells and config.getoption("every_fault"):
        terminalreporter.section("faults of a worker, at each of its calls to AWS")
        for line in _table(cells):
            terminalreporter.write_line(line)


def _table(cells: Cells) -> list[str]:
    faults = list(dict.fromkeys(fault for row in cells.values() for fault in row))
    widths = [max(len(fault), 7) for fault in faults]
    lines = [" " * 16 + "  ".join(fault.rjust(width) for fault, width in zip(faults, widths, strict=True))]
    for path, row in sorted(cells.items()):
        shown = [_cell(*row.get(fault, (0, 0))) for fault in faults]
        lines.append(path.ljust(16) + "  ".join(cell.rjust(width) for cell, width in zip(shown, widths, strict=True)))
    struck = sum(number for row in cells.values() for number, _ in row.values())
    wrong = sum(number for row in cells.values() for _, number in row.values())
    return [*lines, "", f"{struck} points, {struck - wrong} ok, {wrong} wrong"]


def _cell(struck: int, wrong: int) -> str:
    if not struck:
        return "-"
    return f"{struck} ok" if not wrong else f"{wrong}/{struck} WRONG"
