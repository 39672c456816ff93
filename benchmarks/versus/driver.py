"""What drives a contestant's producer: numbers on standard input, one line back when so many tasks are enqueued."""

import sys
import time
from collections.abc import Callable


def serve(enqueue: Callable[[int], object]) -> None:
    """For each number read: enqueue that many, then print when the first was begun and when the last was taken."""
    for line in sys.stdin:
        started = time.time()
        enqueue(int(line))
        print(started, time.time(), flush=True)
