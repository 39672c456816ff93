"""`make realities`: runs tests on implementations of AWS that aren't moto, and prints how many ran on which.

Arguments go to pytest: `-n 1`, or `-k retry`. A part that can't run on this machine is left out, with its reason. In CI
that is an error.
"""

import ast
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree as ET

from tests.realities.installed import why_no_dynamodb, why_no_lambda, why_no_sqs
from tests.realities.plugin import CALLS, REALITIES

ROOT = Path(__file__).parents[2]
NO_TESTS = 5
"""pytest's exit code if it found no tests."""
FAULTS = ("tests/fundamentals", "tests/faults/test_matrix.py")


@dataclass(frozen=True)
class Part:
    """Tests on one reality."""

    name: str
    arguments: Sequence[str]
    why_not: str
    """Why it can't run here. Empty if it can."""


@dataclass
class Outcome:
    """What became of a part's tests."""

    held: int = 0
    broken: list[str] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)
    """By reason."""
    calls: Counter[str] = field(default_factory=Counter)
    """By reality."""


def parts() -> list[Part]:
    """The parts, the quick ones first."""
    return [
        Part(
            "the bundle under awslambdaric",
            ["--realities", "tests/realities/test_bundle.py", "tests/realities/test_the_realities.py", "-n", "0"],
            why_no_lambda() or why_no_sqs() or why_no_dynamodb(),
        ),
        Part(
            "real threads on DynamoDB Local",
            ["--realities", "tests/realities/test_races.py", "-n", "0"],
            why_no_dynamodb(),
        ),
        Part(
            "DynamoDB Local",
            [*_on("dynamodb"), *FAULTS, *OF_DYNAMODB],
            why_no_dynamodb(),
        ),
        Part("LocalStack's SQS", [*_on("sqs"), *FAULTS, *OF_SQS], why_no_sqs()),
    ]


def _on(name: str) -> list[str]:
    return ["-p", "tests.realities.plugin", f"--reality={name}", "--reality=validation"]


# Tests of behaviour in which the service's own decisions matter.
_BEHAVIOUR = "tests/behaviour/test_{}.py"
OF_DYNAMODB = [
    _BEHAVIOUR.format(name)
    for name in (
        "idempotency",
        "transactions",
        "transactions_refused",
        "outbox",
        "outbox_order",
        "relay",
        "sweeper",
        "cancel",
        "cancel_races",
        "cancel_running",
        "progress",
    )
]
OF_SQS = [
    _BEHAVIOUR.format(name)
    for name in ("enqueue_in_order", "fifo_waits", "redelivery", "retries", "uncharged_retries", "crashes", "visits")
]


def main(arguments: Sequence[str]) -> int:
    """Run all parts. Returns the exit code."""
    began = time.monotonic()
    lines, code = [], 0
    for part in parts():
        if part.why_not:
            lines.append(f"{part.name:34}   left out: {part.why_not}")
            code = code or int("CI" in os.environ)
            continue
        sys.stdout.write(f"{part.name}\n")
        sys.stdout.flush()
        since = time.monotonic()
        outcome, failed = _run(part, arguments)
        if failed != NO_TESTS or not arguments:  # `-k` may leave nothing of a part
            code = code or failed
        calls = ", ".join(f"{number} by {REALITIES[name]}" for name, number in sorted(outcome.calls.items()))
        lines.append(
            f"{part.name:34}{outcome.held:5} held, {len(outcome.broken):3} broken, {outcome.skipped.total():3} skipped,"
            f" {time.monotonic() - since:4.0f} s{'; calls: ' if calls else ''}{calls}"
        )
        lines += [f"    broken: {name}" for name in outcome.broken]
        lines += [f"    skipped {number}: {reason}" for reason, number in outcome.skipped.items()]
    sys.stdout.write("\n" + "\n".join(lines) + f"\n\n{time.monotonic() - began:.0f} seconds in all\n")
    return code


def _run(part: Part, arguments: Sequence[str]) -> tuple[Outcome, int]:
    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder) / "results.xml"
        command = [sys.executable, "-m", "pytest", "-q", "-r", "fE", "-n", "auto", *arguments, *part.arguments]
        done = subprocess.run([*command, f"--junit-xml={results}"], cwd=ROOT, check=False)
        return _read(results) if results.exists() else Outcome(), done.returncode


def _read(results: Path) -> Outcome:
    outcome = Outcome()
    for case in ET.parse(results).iter("testcase"):  # noqa: S314 - pytest has just written it
        if (skipped := case.find("skipped")) is not None:
            outcome.skipped[skipped.get("message", "")] += 1
        elif case.find("failure") is not None or case.find("error") is not None:
            outcome.broken.append(f"{case.get('classname')}::{case.get('name')}")
        else:
            outcome.held += 1
        for told in case.iter("property"):
            if told.get("name") == CALLS:
                outcome.calls.update(ast.literal_eval(told.get("value", "{}")))
    return outcome


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
