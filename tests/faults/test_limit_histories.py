"""Random histories of limited tasks hold their promises; `make limits` plays thousands."""

import pytest

from tests.faults import limit_histories


@pytest.mark.parametrize("seed", range(60))
def test_a_history_holds(seed: int) -> None:
    limit_histories.play(seed)
