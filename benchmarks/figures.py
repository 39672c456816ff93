"""The results of benchmarks: ratios of paired rounds with their spread, as plain data."""

import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Ratio:
    """Quartiles of the ratios of paired rounds: half of the pairs lie between `low` and `high`."""

    median: float
    low: float
    high: float
    pairs: int

    def __str__(self) -> str:
        return f"{self.median:.2f} ({self.low:.2f} to {self.high:.2f}, {self.pairs} pairs)"


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> Ratio:
    """Ours divided by theirs, round by round."""
    ratios = [mine / other for mine, other in zip(ours, theirs, strict=True)]
    # Python 3.12 wants two of them. One round is what the tests play.
    low, median, high = statistics.quantiles(ratios, n=4, method="inclusive") if len(ratios) > 1 else ratios * 3
    return Ratio(median, low, high, len(ratios))


def as_json(figures: Any) -> str:
    """A benchmark's dataclass as JSON, for another process."""
    return json.dumps(asdict(figures))
