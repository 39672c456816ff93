"""As many tasks are begun ahead as keep the turns busy, and none that would wait long."""

from collections.abc import Iterator

import pytest

from celeriac.execute import pace


@pytest.fixture(autouse=True)
def _unknown() -> Iterator[None]:
    pace.forget()
    yield
    pace.forget()


def test_an_unknown_pace_is_tried_with_one() -> None:
    assert pace.ahead(1) == 1


@pytest.mark.parametrize(
    ("call", "beside", "at_once", "ahead"),
    [
        (0.0, 0.04, 1, 9),  # nothing but AWS
        (0.02, 0.04, 1, 2),  # one is claimed and one recorded while a third one runs
        (0.2, 0.04, 1, 1),
        (0.02, 0.04, 4, 8),
        (1.5, 0.04, 1, 0),  # it would wait for more than a second
        (1.5, 0.04, 2, 1),
        (0.0, 0.0002, 1, 0),  # AWS answers at once
    ],
)
def test_the_pace_decides_how_many(call: float, beside: float, at_once: int, ahead: int) -> None:
    pace.note(call, beside)
    assert pace.ahead(at_once) == ahead


def test_one_slow_task_counts_at_once_and_quick_ones_after_some() -> None:
    pace.note(0.01, 0.04)
    pace.note(5.0, 0.04)
    assert pace.ahead(1) == 0
    for _ in range(10):
        pace.note(0.01, 0.04)
    assert pace.ahead(1) == 1
