"""Print the matrix and the numbers of the interleavings as tables after their tests."""

from collections import Counter, defaultdict
from typing import Any

import pytest

type Cells = dict[str, dict[str, tuple[int, int]]]
"""By path and fault: at how many calls the fault happened, and after how many of them something was wrong."""


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    cells: Cells = defaultdict(dict)
    played: Counter[str] = Counter()
    broken: Counter[str] = Counter()
    for report in [*terminalreporter.stats.get("passed", []), *terminalreporter.stats.get("failed", [])]:
        for name, value in getattr(report, "user_properties", []):
            if name == "cell":
                path, fault, struck, wrong = value
                cells[path][fault] = struck, wrong
            elif name == "schedules":
                scene, number, not_held = value
                played[scene] += number
                broken[scene] += not_held
    if played and config.getoption("every_schedule"):
        terminalreporter.section("schedules of the interleavings")
        for scene, number in [*sorted(played.items()), ("all", played.total())]:
            wrong = broken.total() if scene == "all" else broken[scene]
            terminalreporter.write_line(f"{scene:26}{number:6} schedules, {number - wrong:6} held, {wrong:3} broken")
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
