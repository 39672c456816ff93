"""The faults that `make sabotage` plants still fit the code, and there are enough for each promise."""

import pytest

from tests.faults.plants import PLANTS, PROMISES


@pytest.mark.parametrize("name", PLANTS)
def test_a_fault_can_be_planted(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    PLANTS[name].plant(monkeypatch)


@pytest.mark.parametrize("promise", PROMISES)
def test_a_promise_has_three_faults_of_two_kinds(promise: int) -> None:
    found = [plant for plant in PLANTS.values() if plant.promise == promise]
    assert len(found) >= 3
    assert len({plant.kind for plant in found}) >= 2 or promise == 6  # a payload is logged in one way only
