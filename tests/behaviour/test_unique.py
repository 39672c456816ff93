"""`Unique`: of equal messages one waits or runs, and nobody is told so in vain."""

from datetime import timedelta

import pytest

from celeriac import Backoff, Queue, Unique, task
from celeriac.testing import Sandbox

imports = Queue("imports", timeout=timedelta(minutes=1))
ran: list[tuple[str, int]] = []
fails: set[int] = set()


@pytest.fixture(autouse=True)
def _empty() -> None:
    ran.clear()
    fails.clear()


@task(imports, unique=Unique(by="tenant"), retry=Backoff(base=timedelta(minutes=1), jitter=0, attempts=3))
def load(tenant: str, number: int) -> None:
    ran.append((tenant, number))
    if number in fails:
        raise ValueError(number)


def test_a_second_message_is_a_duplicate_until_the_first_has_ended(sandbox: Sandbox) -> None:
    first = load.enqueue(tenant="a", number=1)
    second = load.enqueue(tenant="a", number=2)
    other = load.enqueue(tenant="b", number=3)
    assert (first.duplicate, second.duplicate, other.duplicate) == (False, True, False)
    assert second == first
    sandbox.drain()
    assert ran == [("a", 1), ("b", 3)]
    assert second.status().state == "succeeded"
    assert not load.enqueue(tenant="a", number=4).duplicate
    sandbox.drain()
    assert ran[2:] == [("a", 4)]
