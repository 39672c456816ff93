"""Every fault at every call of every path: nothing is lost, no effect happens twice, and nothing is stuck.

`make faults` injects each fault at each call and prints the matrix. `make test` runs a sample, always the same one.
"""

from collections.abc import Callable, Sequence

import pytest

from celeriac.testing.points import Point
from tests.faults import matrix
from tests.faults.faults import FAULTS, PARTS
from tests.faults.paths import PATHS

# Size of a sample: calls of each path for the faults with the worst effects, and for the other faults.
DEATHS, OTHERS = 2, 1


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("path", PATHS)
def test_no_fault_at_any_call_loses_doubles_or_blocks_work(
    path: str,
    fault: str,
    pytestconfig: pytest.Config,
    record_property: Callable[[str, object], None],
) -> None:
    every_fault = pytestconfig.getoption("every_fault")
    points = matrix.points(path, fault)
    assert points or fault == "taken in part"
    if not every_fault:
        points = _sample(points, DEATHS if fault.startswith("dies") else OTHERS, salt=f"{path}{fault}")
    found = [problems for point in points if (problems := matrix.problems_of(path, fault, point))]
    record_property("cell", [path, fault, len(points), len(found)])
    assert not found, "\n".join(problem for problems in found for problem in problems)


def test_the_matrix_has_every_call_that_aws_may_carry_out_in_part() -> None:
    of_workers = {point.operation for path in PATHS for point in matrix.points(path, "taken in part")}
    assert of_workers == set(PARTS)


def _sample(points: Sequence[Point], number: int, *, salt: str) -> list[Point]:
    """A sample of `number` points, evenly spread. The salt sets where it begins."""
    step = max(1, len(points) // number)
    return list(points[sum(salt.encode()) % step :: step][:number])
