"""What runs in the Sandbox use of AWS: calls, requests, units, and dollars."""

import argparse
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import prices
from counted import WriteUnits
from quiet import say

from celeriac.model import declared
from celeriac.testing import Call, Sandbox

MILLION = 1_000_000
TEN = 10
RECEIVED = 2 / TEN
"""SQS requests for one delivery of a message in a full batch: its part of the receive, and of the delete."""


@dataclass(frozen=True, slots=True)
class Used:
    """Of AWS, for one task, or for one of what tasks do."""

    calls: float
    sqs_requests: float
    write_units: float
    read_units: float

    @property
    def dollars(self) -> float:
        """For a million."""
        return MILLION * (
            self.sqs_requests * prices.SQS_REQUEST.dollars
            + self.write_units * prices.WRITE_UNIT.dollars
            + self.read_units * prices.READ_UNIT.dollars
        )

    def more_than(self, other: "Used") -> "Used":
        return Used(*(one - its for one, its in zip(asdict(self).values(), asdict(other).values(), strict=True)))

    def __truediv__(self, number: int) -> "Used":
        return Used(*(one / number for one in asdict(self).values()))

    @property
    def figures(self) -> dict[str, float]:
        """For the report."""
        return {**asdict(self), "dollars": self.dollars}


class _Reads:
    """Counts read units: a strong read of up to 4 KB is one, a weak one half."""

    def __init__(self) -> None:
        self.total = 0.0

    def __call__(self, call: Call) -> Any:
        match call.operation:
            case "GetItem":
                self.total += 1 if call.arguments.get("ConsistentRead") else 0.5
            case "BatchGetItem":
                self.total += sum(len(table["Keys"]) for table in call.arguments["RequestItems"].values()) / 2
        return call.make()


def used(start: Callable[[Sandbox], object]) -> Used:
    """What a producer uses that does this, and the workers that run what it sends."""
    with declared.application("tests.application"), Sandbox() as sandbox:
        writes, reads = WriteUnits(), _Reads()
        with sandbox.fault(writes), sandbox.fault(reads):
            with sandbox.worker():  # so that the producer's calls are seen too
                start(sandbox)
            sandbox.drain()
        calls = sandbox.calls.copy()
    sqs = sum(count for (service, _), count in calls.items() if service == "sqs")
    # Each message that was sent is received and deleted. Only copies leave in tens.
    messages = calls["sqs", "SendMessage"] + TEN * calls["sqs", "SendMessageBatch"]
    return Used(sum(calls.values()), sqs + RECEIVED * messages, writes.total, reads.total)


def tell(doc: str | None, measure: Callable[[], dict[str, dict[str, float]]], *, sign: str = "") -> None:
    """Print what a benchmark has measured, as text or, with `--json`, as JSON.

    sign: `+` for figures that are added to others.
    """
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="the figures as JSON")
    options = parser.parse_args()
    found = measure()
    if options.json:
        say(json.dumps(found))
        return
    for name, its in found.items():
        calls, writes, reads, dollars = (
            format(its[figure], f"{sign}6.2f") for figure in ("calls", "write_units", "read_units", "dollars")
        )
        say(f"{name:50} {calls} calls, {writes} write units, {reads} read units: {dollars} dollars a million")
