"""How many tasks of a batch are worth claiming ahead, by the pace of this worker's last tasks.

While one task runs, the calls to AWS of others can be made: claims before their turns, records of success after them.
So many are begun as it takes to keep the turns busy. A task that is claimed and waits long would hold its lease for
nothing, and would have to be given back if the worker's time ends.
"""

from math import ceil

MOST_AHEAD = 9
"""With nine, a batch of ten is begun at once. More threads would mostly wait for the interpreter."""
LONGEST_WAIT_SECONDS = 1.0
"""A task is claimed ahead if it is expected to start within this time."""
LEAST_BESIDE_SECONDS = 0.004
"""If AWS takes less time for a task, helpers would cost more CPU than they save time (benchmarks/consumer_cpu.py)."""
_SHORTEST_CALL_SECONDS = 0.001
_KEPT = 0.8
"""The weight of earlier tasks."""

_call = 0.0
_beside: float | None = None


def note(call: float, beside: float) -> None:
    """A task's function took `call` seconds, and AWS and all else of its message `beside` seconds.

    A slow function counts in full at once: the next one may be as slow.
    """
    global _call, _beside  # noqa: PLW0603 - a worker has one pace
    _call = max(call, _KEPT * _call + (1 - _KEPT) * call)
    _beside = beside if _beside is None else _KEPT * _beside + (1 - _KEPT) * beside


def ahead(at_once: int) -> int:
    """How many tasks to begin beside the `at_once` that run. If no pace is known, one."""
    if _beside is None:
        return 1
    if _beside < LEAST_BESIDE_SECONDS:
        return 0
    turns_a_second = at_once / max(_call, _SHORTEST_CALL_SECONDS)
    return min(MOST_AHEAD, ceil(_beside * turns_a_second), int(LONGEST_WAIT_SECONDS * turns_a_second))


def forget() -> None:
    """Know no pace, as a new worker."""
    global _call, _beside
    _call, _beside = 0.0, None
