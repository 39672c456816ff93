"""A small run of `make fuzz` in its own process. Its AWS is a stub that must not affect other tests."""

import subprocess
import sys
from pathlib import Path

from tests.faults.bodies import bodies

ROOT = Path(__file__).parents[2]


def test_the_consumer_accounts_for_every_generated_body() -> None:
    command = [sys.executable, "-m", "tests.faults.fuzz", "--seed", "7", "--count", "2000"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    fates = {line[8:].strip(): int(line[:8]) for line in done.stdout.splitlines()[1:]}
    assert sum(fates.values()) == 2000
    # Only nonsense, or only valid messages, would prove little, so the sample must have several outcomes.
    expected = {
        "succeeded",
        "malformed",
        "rejected",
        "exhausted",
        "unknown task",
        "unreadable: untouched",
        "the test event of S3",
    }
    assert expected <= fates.keys()


def test_one_seed_always_generates_the_same_bodies() -> None:
    made = [bodies(seed, [{"task": "work", "args": {"name": "a"}}]) for seed in (3, 3, 4)]
    first, same, other = ([next(one) for _ in range(300)] for one in made)
    assert first == same != other
