"""Drives a contestant's producer: reads numbers from standard input, enqueues that many tasks, answers with a line."""

import sys
import time
from collections.abc import Callable


def serve(enqueue: Callable[[int], object]) -> None:
    """For each number: enqueue that many tasks, then print the times before the first and after the last."""
    for line in sys.stdin:
        started = time.time()
        enqueue(int(line))
        print(started, time.time(), flush=True)
