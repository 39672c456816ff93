"""A task runs out of memory, and its worker lives: what the task held is free again before its failure is recorded."""

import weakref
from datetime import timedelta
from typing import Any

import pytest

from celeriac import Backoff, Queue, task
from celeriac.testing import Call, Sandbox

jobs = Queue("jobs")
ONCE = Backoff(base=timedelta(seconds=1), attempts=1)
held: list[weakref.ref["_Large"]] = []


class _Large:
    pass


@task(jobs, retry=ONCE)
def read_everything() -> None:
    _hold()


@task(jobs, retry=ONCE)
async def read_everything_async() -> None:
    _hold()


@task(jobs, retry=ONCE)
def read_everything_in_a_library() -> None:
    try:
        _hold()
    except MemoryError as error:
        raise ValueError("can't be read") from error


def _hold() -> None:
    large = _Large()
    held.append(weakref.ref(large))
    raise MemoryError


@pytest.mark.parametrize("declared", [read_everything, read_everything_async, read_everything_in_a_library])
def test_what_a_task_out_of_memory_held_is_free_before_its_failure_is_sent(sandbox: Sandbox, declared: Any) -> None:
    held.clear()
    is_free: list[bool] = []

    def look(call: Call) -> Any:
        if call.operation == "SendMessage":
            is_free.append(held[-1]() is None)
        return call.make()

    declared.enqueue()
    with sandbox.fault(look):
        sandbox.drain()

    (letter,) = sandbox.dead_letters(jobs)
    assert letter.failure is not None
    assert letter.failure.reason == "exhausted"
    assert "in _hold" in letter.failure.traceback
    assert is_free == [True]
