"""Faults that other task queues have with batches, groups and chords. Each docstring says where it was reported."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest

import celeriac
from celeriac import RESULT, Backoff, Context, Queue, Reject, task
from celeriac.aws import sqs
from celeriac.aws.client import client
from celeriac.testing import Sandbox, die
from celeriac.testing.calls import Call

parts = Queue("elsewhere-parts", batch_size=10)
ends = Queue("elsewhere-ends")
SOON = Backoff(base=timedelta(seconds=1), jitter=0, attempts=2)
ran: Counter[str] = Counter()
kills: Counter[str] = Counter()


@pytest.fixture(autouse=True)
def _empty() -> None:
    ran.clear()
    kills.clear()


@task(parts, retry=SOON)
def e_part(name: str) -> str:
    if kills[name] > 0:
        kills[name] -= 1
        die()
    if name.startswith("bad"):
        raise Reject(name)
    ran[name] += 1
    return name


@task(parts, retry=SOON)
def e_large(size: int) -> str:
    return "x" * size


@task(ends)
def e_then() -> None:
    ran["then"] += 1


@task(ends)
def e_dead(ctx: Context) -> None:
    ran["dead"] += 1


@task(ends)
def e_take(text: str) -> None:
    ran["took"] += 1


def _batch(*names: str) -> celeriac.Batch:
    with celeriac.batch(then=e_then.bind(), dead=e_dead.bind()) as batch:
        batch.enqueue_many(e_part, ({"name": name} for name in names))
    return batch


@contextmanager
def _kept_copies(sandbox: Sandbox) -> Iterator[list[str]]:
    """Keep the body of each message that is sent to the members' queue."""
    bodies: list[str] = []

    def keep(call: Call) -> object:
        if call.operation == "SendMessageBatch" and str(call.arguments["QueueUrl"]).endswith(parts.name):
            bodies.extend(entry["MessageBody"] for entry in call.arguments["Entries"])
        return call.make()

    with sandbox.fault(keep), sandbox.worker():
        yield bodies


def test_a_member_whose_worker_is_killed_doesnt_keep_then_from_coming(sandbox: Sandbox) -> None:
    """Celery #2911 and #6932: the chord of a task whose worker gets SIGKILL is never unlocked."""
    kills.update({"b": 2})
    _batch("a", "b", "c")
    sandbox.drain()
    assert ran == Counter(a=1, b=1, c=1, then=1)


@pytest.mark.parametrize("after", [timedelta(), timedelta(minutes=2), timedelta(days=3)])
def test_a_duplicate_of_the_last_member_counts_once(sandbox: Sandbox, after: timedelta) -> None:
    """Sidekiq #6852: the last job of a batch runs twice, more than a minute apart, and the callbacks fire twice."""
    with _kept_copies(sandbox) as bodies:
        batch = _batch("a", "b")
    sandbox.drain()
    sandbox.advance(after)
    for body in bodies:
        sandbox.send(parts, body)
    sandbox.drain()
    assert ran == Counter(a=1, b=1, then=1)
    assert batch.status().succeeded == 2


def test_duplicates_make_up_for_no_member_that_runs(sandbox: Sandbox) -> None:
    """Sidekiq #4361 and #2268: a job that is counted twice makes the pending count reach zero early, or below zero."""
    with _kept_copies(sandbox) as bodies, celeriac.batch(then=e_then.bind()) as batch:
        batch.enqueue_many(e_part, ({"name": name} for name in "abc"))
        batch.enqueue(e_part.options(delay=timedelta(minutes=10)), name="late")
    for _ in range(3):
        for body in bodies[:3]:
            sandbox.send(parts, body)
        sandbox.run_once()
    status = batch.status()
    assert (status.succeeded, status.missing, ran["then"]) == (3, 1, 0)
    sandbox.drain()
    assert ran == Counter(a=1, b=1, c=1, late=1, then=1)


def test_one_member_is_enough(sandbox: Sandbox) -> None:
    """Celery #3597: a chord of one task raises ValueError, or hands over another shape of result."""
    _batch("a")
    sandbox.drain()
    assert ran == Counter(a=1, then=1)


def test_no_member_is_enough(sandbox: Sandbox) -> None:
    """Sidekiq #3050 and #5903: a batch to which nothing was added never calls its callbacks."""
    batch = _batch()
    sandbox.drain()
    assert ran == Counter(then=1)
    assert batch.status().state == "succeeded"


def test_the_death_of_a_member_is_told_once(sandbox: Sandbox) -> None:
    """Celery #3317, #3709 and #9107: the error callback isn't called for a task that fails in a chord's header.

    Dramatiq #868: a group with a member that has failed for good hangs for ever, and nobody is told.
    """
    _batch("a", "bad 1", "bad 2")
    sandbox.drain()
    assert ran == Counter(a=1, dead=1)


def test_a_result_that_is_gone_ends_the_chain_with_a_letter(sandbox: Sandbox) -> None:
    """Celery #1094 and #5237: a group's result has expired, and the chord's body is never called; nothing says why."""
    celeriac.chain(e_large.bind(size=300_000), e_take.bind(text=RESULT)).enqueue()
    sandbox.drain()
    (letter,) = sandbox.dead_letters(parts)
    assert letter.failure is not None
    assert letter.failure.reason == "result lost"
    assert "too large" in letter.failure.message
    assert not ran


def test_a_step_that_is_gone_ends_the_chain_with_a_letter(sandbox: Sandbox) -> None:
    """As above, if somebody has deleted what is stored of the chain."""
    celeriac.chain(e_part.bind(name="a"), e_take.bind(text=RESULT)).enqueue()
    for item in client("dynamodb").scan(TableName="celeriac-test--flow")["Items"]:
        client("dynamodb").delete_item(TableName="celeriac-test--flow", Key={"pk": item["pk"]})
    sandbox.drain()
    (letter,) = sandbox.dead_letters(parts)
    assert letter.failure is not None
    assert letter.failure.reason == "chain lost"
    assert ran == Counter(a=1)


def test_members_that_would_be_skipped_are_refused(sandbox: Sandbox) -> None:
    """Sidekiq #1255: unique jobs that aren't enqueued are counted by their batch, which then never ends."""

    @task(parts, unique=celeriac.Unique(by="name"))
    def e_unique(name: str) -> None: ...

    with pytest.raises(TypeError, match="key="), celeriac.batch(then=e_then.bind()) as batch:
        batch.enqueue(e_unique, name="a")


# No message names what follows it.


def test_a_stranger_can_report_no_member(sandbox: Sandbox) -> None:
    """Somebody who may send to the members' queue knows the batch's id, which isn't secret, and not its epoch."""
    with celeriac.batch(then=e_then.bind(), dead=e_dead.bind(), key="known") as batch:
        batch.enqueue(e_part.options(delay=timedelta(hours=1)), name="a")
    for name in ("x", "bad"):
        for epoch in ("", "guessed"):
            member = {"id": batch.id, "epoch": epoch, "index": 0}
            sandbox.send(parts, {"v": 4, "task": "e_part", "args": {"name": name}, "batch": member})
    sandbox.run_once()
    status = batch.status()
    assert (status.state, status.succeeded, status.dead) == ("running", 0, 0)
    assert not ran["then"] + ran["dead"]
    sandbox.drain()
    assert (ran["then"], ran["dead"]) == (1, 0)


def test_a_stranger_can_start_nothing_elsewhere(sandbox: Sandbox) -> None:
    """A message names the queue of the next step, and nothing stands there under a chain that its sender invents."""
    its = {"id": "0" * 32, "at": 0, "queue": ends.name, "takes": True}
    sandbox.send(parts, {"v": 4, "task": "e_part", "args": {"name": "a"}, "chain": its})
    sandbox.drain()
    (letter,) = sandbox.dead_letters(parts)
    assert letter.failure is not None
    assert letter.failure.reason == "chain lost"
    assert ran == Counter(a=1)


def test_no_message_names_what_follows_it(sandbox: Sandbox) -> None:
    with _kept_copies(sandbox) as bodies:
        _batch("a")
        celeriac.chain(e_part.bind(name="b"), e_take.bind(text=RESULT)).enqueue()
    url = sqs.url(parts.physical_name("test"))
    received = client("sqs").receive_message(QueueUrl=url, MaxNumberOfMessages=10)["Messages"]
    for body in [*bodies, *(message["Body"] for message in received)]:
        assert not any(name in body for name in ("e_then", "e_dead", "e_take")), body
