"""Plants each fault of plants.py, and shows which harness finds it in what time.

A harness that ends well has not found the fault. It stops at its first failure, or after the time that it is given.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from tests.faults.plants import PLANTS, PROMISES

HARNESSES = {
    "faults": ["tests/faults/test_matrix.py"],
    "interleave": ["tests/faults/test_interleave.py"],
    "states": ["tests/faults/test_states.py", "--states", "40", "--hypothesis-seed", "1"],
    "fuzz": ["tests/faults/test_fuzz.py"],
    "tests": ["tests/behaviour", "tests/unit", "tests/fundamentals", "tests/tasks"],
}
OPTIONS = ["-q", "-x", "-n", "0", "-p", "tests.faults.planted", "-p", "no:cacheprovider", "--no-header", "--tb", "no"]
FAILED = 1
"""pytest's exit code for a failed test."""


def found_after(plant: str, harness: str, limit: float) -> float | None:
    """Seconds until the harness found the fault; None if it didn't. Raises RuntimeError if the harness is broken."""
    started = time.monotonic()
    command = [sys.executable, "-m", "pytest", *OPTIONS, *HARNESSES[harness]]
    try:
        done = subprocess.run(
            command, env=os.environ | {"PLANT": plant}, capture_output=True, text=True, check=False, timeout=limit
        )
    except subprocess.TimeoutExpired:
        return None
    if done.returncode not in {0, FAILED}:
        raise RuntimeError(f"{harness} with {plant!r} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return time.monotonic() - started if done.returncode == FAILED else None


def row(plant: str, harnesses: Sequence[str], limit: float) -> tuple[str, bool]:
    """A fault's row of the table, and whether any harness found it."""
    found = [found_after(plant, harness, limit) for harness in harnesses]
    cells = ["-" if seconds is None else f"{seconds:.0f} s" for seconds in found]
    its = PLANTS[plant]
    cells = [f"{its.promise} {PROMISES[its.promise]}", its.kind, plant, *cells]
    return f"| {' | '.join(cells)} |", any(seconds is not None for seconds in found)


def main() -> int:
    """Plant all faults, or those that are named. Prints a table. Returns 1 if no harness found one of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("plants", nargs="*", metavar="NAME", help="a fault of plants.py; all of them without a name")
    parser.add_argument("--limit", type=float, default=120, help="seconds that each harness may take (%(default)s)")
    parser.add_argument("--harness", action="append", choices=HARNESSES, help="only this one; may be given again")
    parser.add_argument("--at-once", type=int, default=os.cpu_count() or 1, help="harnesses that run at once")
    asked = parser.parse_args()
    harnesses = asked.harness or list(HARNESSES)
    columns = ["promise", "kind", "fault", *harnesses]
    sys.stdout.write(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}\n")
    with ThreadPoolExecutor(asked.at_once) as pool:
        rows = pool.map(lambda plant: row(plant, harnesses, asked.limit), asked.plants or list(PLANTS))
        missed = 0
        for text, was_found in rows:
            sys.stdout.write(f"{text}\n")
            sys.stdout.flush()
            missed += not was_found
    sys.stdout.write(f"\n{missed} faults were found by no harness.\n")
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
