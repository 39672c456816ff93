"""Takes memory until the worker's limit (RLIMIT_AS) refuses more."""

import os
import resource
import signal

MOST_BYTES = 128 << 20
kept: list[bytearray] = []


def exhaust(held: list[bytearray]) -> None:
    """Raises MemoryError."""
    # Lambda's limit isn't one of the process, so a worker has none before it is out of memory.
    resource.setrlimit(resource.RLIMIT_AS, (_used() + MOST_BYTES, resource.RLIM_INFINITY))
    size = 64 << 20
    while True:
        try:
            held.append(bytearray(size))
        except MemoryError:
            if size == 4 << 10:
                raise
            size >>= 1


def exhaust_and_die() -> None:
    try:
        exhaust(kept)
    except MemoryError:
        os.kill(os.getpid(), signal.SIGKILL)  # what the kernel does to a worker at Lambda


def _used() -> int:
    with open("/proc/self/statm") as file:  # noqa: PTH123 - no memory for more
        return int(file.read().split()[0]) * resource.getpagesize()
