"""Limits: tasks that wait for a provider are charged nothing."""

from datetime import datetime, timedelta

import pytest

from celeriac import Breaker, Queue, Rate, Throttled, Unique, task
from celeriac.testing import Sandbox

mail = Queue("mail", timeout=timedelta(minutes=1))
provider = Rate("provider", 2, burst=1)
server = Breaker("server", failures=1, of=1, pause=timedelta(minutes=1), on=(ConnectionError,))
sent: list[datetime] = []
trouble: list[Exception] = []


@pytest.fixture(autouse=True)
def _empty() -> None:
    sent.clear()
    trouble.clear()


@task(mail, limits=[provider])
def send(letter: int) -> None:
    if trouble:
        raise trouble.pop()
    sent.append(datetime.now().astimezone())


@task(mail, limits=[server])
def call_server() -> None:
    sent.append(datetime.now().astimezone())
    if trouble:
        raise trouble[0]


@task(mail, unique=Unique(by="customer"))
def summarise(customer: str) -> None:
    sent.append(datetime.now().astimezone())


def test_tasks_start_no_faster_than_their_rate(sandbox: Sandbox) -> None:
    handles = send.enqueue_many({"letter": letter} for letter in range(10))
    sandbox.drain()
    gaps = [later - earlier for earlier, later in zip(sorted(sent), sorted(sent)[1:], strict=False)]
    assert min(gaps) >= timedelta(seconds=0.5)
    assert {handle.status().attempts for handle in handles} == {1}


def test_a_provider_that_says_too_many_makes_everybody_wait(sandbox: Sandbox) -> None:
    trouble.append(Throttled(retry_after=timedelta(minutes=5)))
    begin = sandbox.now
    handles = send.enqueue_many({"letter": letter} for letter in range(3))
    sandbox.drain()
    assert min(sent) >= begin + timedelta(minutes=5)
    assert {handle.status().attempts for handle in handles} == {1}


def test_while_a_server_is_down_tasks_wait(sandbox: Sandbox) -> None:
    trouble.append(ConnectionError())
    for _ in range(3):
        call_server.enqueue()
    sandbox.run_once()
    assert len(sent) == 1  # the others wait for the pause, uncharged
    trouble.clear()
    sandbox.drain()
    assert len(sent) == 4  # the first one again, and the others
    assert sandbox.dead_letters(mail) == []


def test_of_equal_tasks_one_waits_or_runs(sandbox: Sandbox) -> None:
    first, second = summarise.enqueue(customer="c-1"), summarise.enqueue(customer="c-1")
    sandbox.drain()
    assert second.duplicate
    assert second.id == first.id
    assert len(sent) == 1
