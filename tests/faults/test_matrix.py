"""Every path, every call of it, every fault: nothing is lost, no effect is doubled, and nothing is stuck.

`make faults` lets each fault strike each call, and prints the matrix; `make test` a sample that is always the same.
"""

from collections.abc import Callable, Sequence

import pytest

from tests.faults import matrix
from tests.faults.faults import FAULTS, PARTS
from tests.faults.matrix import Point
from tests.faults.paths import PATHS

# Of a sample: so many calls of each path for the faults that strike hardest, and for the others.
DEATHS, OTHERS = 2, 1


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("path", PATHS)
def test_whatever_befalls_a_call_nothing_is_lost_doubled_or_stuck(
    path: str, fault: str, pytestconfig: pytest.Config, record_property: Callable[[str, object], None]
) -> None:
    points = matrix.points(path, fault)
    assert points or fault == "taken in part"
    if not pytestconfig.getoption("every_fault"):
        points = _sample(points, DEATHS if fault.startswith("dies") else OTHERS, salt=f"{path}{fault}")
    found = [problems for point in points if (problems := matrix.problems_of(path, fault, point))]
    record_property("cell", [path, fault, len(points), len(found)])
    assert not found, "\n".join(problem for problems in found for problem in problems)


def test_every_call_that_aws_may_carry_out_in_part_is_among_them() -> None:
    of_workers = {point.operation for path in PATHS for point in matrix.points(path, "taken in part")}
    assert of_workers == set(PARTS)


def _sample(points: Sequence[Point], number: int, *, salt: str) -> list[Point]:
    """So many of them, evenly spread, beginning at another one for each salt."""
    step = max(1, len(points) // number)
    return list(points[sum(salt.encode()) % step :: step][:number])
