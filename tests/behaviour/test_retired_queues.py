"""A retired queue takes nothing new, and what it has comes to its end."""

import pytest

from celeriac import Backoff, Queue, RetiredQueueError, Task, task, transaction
from celeriac.enqueue.send import send
from celeriac.testing import Sandbox

old = Queue("retired", retired=True)
before = Queue("retired")
attempts: list[int] = []


@task(old, retry=Backoff(attempts=3))
def work(number: int) -> None:
    attempts.append(number)
    if len(attempts) < 3:
        raise ConnectionError


def test_nothing_new_is_sent_to_it(sandbox: Sandbox) -> None:
    with pytest.raises(RetiredQueueError, match=r"task 'work': its queue 'retired' is retired, .* former_queues"):
        work.enqueue(number=1)
    with pytest.raises(RetiredQueueError):
        work.enqueue_many([{"number": 1}])
    with pytest.raises(RetiredQueueError), transaction() as tx:
        tx.enqueue(work, number=1)
    assert sandbox.calls == {}


def test_what_was_sent_before_runs_and_is_retried(sandbox: Sandbox) -> None:
    attempts.clear()
    earlier: Task[..., None, None] = Task(
        work.function,
        before,
        name="work",
        key=None,
        delivery="effectively_once",
        policy=Backoff(),
        timeout=None,
        on=None,
        cron=None,
        timezone="UTC",
    )
    send(earlier.parcel(number=7))
    sandbox.drain()
    assert attempts == [7, 7, 7]
    assert sandbox.dead_letters(old) == []
