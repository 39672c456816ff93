"""Chapter 9: a task that crashes its worker runs alone from then on, and is a dead letter after three crashes."""

from collections import Counter
from datetime import timedelta

import pytest

from celeriac import Queue, task
from celeriac.testing import Sandbox, WorkerDied

images = Queue("chapter-9", timeout=timedelta(seconds=20))
ran: Counter[str] = Counter()


@pytest.fixture(autouse=True)
def _empty() -> None:
    ran.clear()


@task(images)
def resize(name: str) -> None:
    ran[name] += 1
    if name == "huge":
        raise WorkerDied  # as when Lambda runs out of memory


def test_a_crashing_task_is_a_dead_letter_after_three_crashes(sandbox: Sandbox) -> None:
    resize.enqueue("huge")
    sandbox.drain()
    assert ran == {"huge": 3}
    (letter,) = sandbox.dead_letters(images)
    assert letter.failure is not None
    assert letter.failure.reason == "worker lost"


def test_the_rest_of_its_batch_succeeds(sandbox: Sandbox) -> None:
    names = [f"small {number}" for number in range(9)]
    resize.enqueue_many({"name": name} for name in [*names, "huge"])
    sandbox.drain()
    assert [letter.args["name"] for letter in sandbox.dead_letters(images)] == ["huge"]
    assert {name: count for name, count in ran.items() if name != "huge"} == dict.fromkeys(names, 1)


def test_a_crash_by_accident_is_forgiven(sandbox: Sandbox) -> None:
    handle = resize.enqueue("small")
    sandbox.crash_at(1)
    sandbox.drain()
    assert handle.status().state == "succeeded"
