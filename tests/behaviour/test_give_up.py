"""`give_up_after` is asked before each start, by the time since the first attempt was due."""

from datetime import datetime, timedelta

import pytest

from celeriac import Backoff, Queue, task
from celeriac.testing import Sandbox
from tests.support.redrive import redrive_as_aws_does

jobs = Queue("give-up", batch_size=10)
ledger = Queue("give-up-ledger", fifo=True, batch_size=10)
LIMIT = timedelta(hours=2)


@pytest.mark.parametrize("queue", [jobs, ledger])
@pytest.mark.parametrize("delivery", ["effectively_once", "at_least_once", "at_most_once"])
def test_a_task_that_comes_too_late_is_not_started_and_runs_when_it_is_redriven(
    sandbox: Sandbox, queue: Queue, delivery: str
) -> None:
    runs: list[datetime] = []
    attempts = 1 if delivery == "at_most_once" else 3

    @task(queue, delivery=delivery, retry=Backoff(give_up_after=LIMIT, attempts=attempts))  # type: ignore[arg-type]  # a parametrized literal
    def work() -> None:
        runs.append(sandbox.now)

    handle = work.options(group="a").enqueue()
    sandbox.advance(LIMIT + timedelta(seconds=1))
    sandbox.drain()

    (letter,) = sandbox.dead_letters(queue)
    assert letter.failure is not None
    assert (letter.failure.reason, letter.failure.attempts) == ("expired", 0)
    assert handle.status().state == "dead"
    assert runs == []

    if not queue.fifo:
        redrive_as_aws_does(queue)
        sandbox.drain()
        assert len(runs) == 1


def test_a_retry_that_comes_too_late_is_not_started(sandbox: Sandbox) -> None:
    runs: list[datetime] = []

    @task(jobs, retry=Backoff(base=timedelta(minutes=1), give_up_after=LIMIT))
    def work() -> None:
        runs.append(sandbox.now)
        raise ValueError

    work.enqueue()
    sandbox.run_once()
    sandbox.advance(timedelta(hours=3))
    sandbox.drain()

    (letter,) = sandbox.dead_letters(jobs)
    assert letter.failure is not None
    assert (letter.failure.reason, letter.failure.attempts) == ("expired", 1)
    assert len(runs) == 1


@pytest.mark.parametrize("delay", [timedelta(minutes=10), timedelta(days=3)])
def test_a_delay_that_was_asked_for_does_not_count(sandbox: Sandbox, delay: timedelta) -> None:
    runs: list[datetime] = []

    @task(jobs, retry=Backoff(base=timedelta(minutes=1), give_up_after=timedelta(minutes=5)))
    def work() -> None:
        runs.append(sandbox.now)
        if len(runs) == 1:
            raise ValueError

    work.options(delay=delay).enqueue()
    sandbox.drain()
    assert len(runs) == 2
    assert sandbox.dead_letters(jobs) == []
