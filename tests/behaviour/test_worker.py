"""`celeriac worker`: the same tasks in a process that polls, with a heartbeat, and an end in order."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from celeriac import Backoff, Context, Queue, task
from celeriac.aws.client import client
from celeriac.consume.handler import Batch
from celeriac.model import names, notice
from celeriac.model.queue import WITHOUT_A_BEAT
from celeriac.testing import Call, Sandbox, die, every_fault, pollers
from celeriac.testing.worker import tell_to_end
from tests.support.faults import registered

# Longer than a message stays invisible, and a lease lasts, without a heartbeat.
LONG = timedelta(minutes=15)
MINUTE = timedelta(minutes=1)
# Moto delivers a message a millisecond after it has become visible.
INSTANT = timedelta(milliseconds=1)

films = Queue("films", timeout=LONG)
reels = Queue("reels", timeout=LONG, fifo=True, batch_size=10)
clips = Queue("clips", timeout=LONG, batch_size=10)
story: list[str] = []
released = threading.Event()
during: dict[int, Any] = {}
"""What happens in a minute of `cut`, at its next run only."""
_sandbox: list[Sandbox] = []


@pytest.fixture(autouse=True)
def _workers(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(pollers, "default_runner", "worker")
    story.clear()
    during.clear()
    released.clear()
    yield
    released.set()


def begin(sandbox: Sandbox) -> None:
    _sandbox[:] = [sandbox]
    story.clear()


def _work(first: int, last: int) -> Iterator[int]:
    for minute in range(first, last):
        _sandbox[0].advance(MINUTE)
        if (event := during.pop(minute, None)) is not None:
            event()
        yield minute


@task(films, key="film", retry=Backoff(attempts=2))
def cut(ctx: Context, film: str) -> str:
    story.append(f"begins {ctx.attempt}")
    for _ in _work(0, 12):
        pass
    with ctx.transaction() as tx:
        tx.put("orders", {"pk": film})
        tx.result(film)
    story.append("ends")
    return film


@task(films, key="film")
def cut_in_parts(ctx: Context, film: str) -> str:
    story.append(f"from {ctx.cursor or 0}")
    for minute in _work(ctx.cursor or 0, 12):
        ctx.checkpoint(minute + 1)
    return film


@task(films, key="film")
def splice(ctx: Context, film: str) -> str:
    """Two heartbeats, and an end that commits."""
    story.append("begins")
    for step in range(2):
        _sandbox[0].advance(2 * MINUTE)
        if (event := during.pop(step, None)) is not None:
            event()
    with ctx.transaction() as tx:
        tx.put("orders", {"pk": film}, condition="attribute_not_exists(pk)")
        tx.result(film)
    return film


@task(films, key="film")
def splice_in_parts(ctx: Context, film: str) -> str:
    for step in range(ctx.cursor or 0, 2):
        _sandbox[0].advance(2 * MINUTE)
        if (event := during.pop(step, None)) is not None:
            event()
        ctx.checkpoint(step + 1)
    return film


@task(films, delivery="at_most_once")
def show_once() -> None:
    story.append("shown")
    tell_to_end()
    _sandbox[0].advance(MINUTE)
    released.wait(10)


@task(reels)
def wind(ctx: Context, number: int) -> None:
    story.append(f"{ctx.group}{number}")
    if (event := during.pop(number, None)) is not None:
        event()


@task(clips, key="number")
def clip(number: int) -> None:
    story.append(f"clip {number}")
    if (event := during.pop(number, None)) is not None:
        event()


@task(clips, timeout=timedelta(seconds=0.2))
def short() -> None:
    """So the watch of the threads looks often."""


def in_flight() -> int:
    counts = client("sqs").get_queue_attributes(
        QueueUrl=client("sqs").get_queue_url(QueueName=films.physical_name("test"))["QueueUrl"],
        AttributeNames=["ApproximateNumberOfMessagesNotVisible"],
    )
    return int(counts["Attributes"]["ApproximateNumberOfMessagesNotVisible"])


def lease_left() -> timedelta:
    (record,) = client("dynamodb").scan(TableName=names.idempotency_table("test"))["Items"]
    ends_at = datetime.fromtimestamp(int(record["in_progress_expiration"]["N"]) / 1000, UTC)
    return ends_at - _sandbox[0].now


def test_while_a_task_runs_its_message_stays_invisible_and_its_lease_lasts(sandbox: Sandbox) -> None:
    begin(sandbox)
    seen: list[tuple[int, bool, int]] = []

    def look() -> None:
        with sandbox._calls.unobserved():
            seen.append((in_flight(), lease_left() > timedelta(minutes=2), sandbox.run_once()))

    during.update(dict.fromkeys(range(12), look))
    handle = cut.enqueue(film="M")
    sandbox.drain()
    assert seen == [(1, True, 0)] * 12
    assert story == ["begins 1", "ends"]
    assert handle.result() == "M"


def test_a_lease_that_begins_late_ends_with_its_batch(sandbox: Sandbox) -> None:
    begin(sandbox)
    during[11] = lambda: story.append(f"{lease_left() <= LONG - 12 * MINUTE}")
    cut.enqueue(film="M")
    sandbox.drain()
    assert story == ["begins 1", "True", "ends"]


def test_a_worker_that_was_killed_is_replaced_after_minutes_not_after_its_tasks_time(sandbox: Sandbox) -> None:
    begin(sandbox)
    killed_at: list[datetime] = []

    def kill() -> None:
        killed_at.append(sandbox.now)
        die()

    during[7] = kill
    handle = cut.enqueue(film="M")
    sandbox.run_once()
    while story == ["begins 1"]:
        sandbox.advance(timedelta(seconds=10))
        sandbox.run_once()
    assert story == ["begins 1", "begins 1", "ends"]
    assert killed_at[0] + WITHOUT_A_BEAT + timedelta(seconds=10) >= sandbox.now - 12 * MINUTE
    assert handle.status().state == "succeeded"


def test_a_task_that_kills_every_worker_is_dead_lettered(sandbox: Sandbox) -> None:
    begin(sandbox)
    for minute in range(4):
        during[minute] = die
    cut.enqueue(film="M")
    sandbox.drain()
    (letter,) = sandbox.dead_letters(films)
    assert letter.failure is not None
    assert letter.failure.reason == "worker lost"
    assert story == ["begins 1"] * 3


def test_a_task_goes_on_from_its_cursor_when_its_worker_was_killed(sandbox: Sandbox) -> None:
    begin(sandbox)
    during[7] = die
    handle = cut_in_parts.enqueue(film="M")
    sandbox.drain()
    assert story == ["from 0", "from 7"]
    assert handle.result() == "M"


def _fails(call: Call) -> Any:
    if call.operation in {"UpdateItem", "ChangeMessageVisibilityBatch"}:
        raise TimeoutError("AWS is out of reach")
    return call.make()


def test_an_outage_that_is_shorter_than_a_lease_changes_nothing(sandbox: Sandbox) -> None:
    begin(sandbox)
    outage = sandbox.fault(_fails)
    during[4] = outage.__enter__
    during[7] = lambda: outage.__exit__(None, None, None)
    during[11] = lambda: story.append(f"{lease_left() > MINUTE} {sandbox.run_once()}")
    cut.enqueue(film="M")
    sandbox.drain()
    assert story == ["begins 1", "True 0", "ends"]


def test_a_worker_whose_heartbeats_fail_commits_nothing_once_another_has_taken_over(sandbox: Sandbox) -> None:
    begin(sandbox)
    outage = sandbox.fault(_fails)

    def takes_over() -> None:
        outage.__exit__(None, None, None)
        assert lease_left() < timedelta()
        story.append("another")
        with sandbox._calls.unobserved():
            sandbox.run_once()  # the other worker runs it to its end
        story.append("the first again")

    during[1] = outage.__enter__
    during[8] = takes_over
    handle = cut.enqueue(film="M")
    sandbox.drain()
    assert story == ["begins 1", "another", "begins 1", "ends", "the first again"]
    assert handle.result() == "M"
    assert sandbox.items("orders") == [{"pk": "M"}]
    assert sandbox.dead_letters(films) == []


def test_a_lost_lease_is_not_renewed(sandbox: Sandbox) -> None:
    begin(sandbox)
    outage = sandbox.fault(_fails)

    def lapses() -> None:
        outage.__exit__(None, None, None)
        with sandbox._calls.unobserved():
            key = client("dynamodb").scan(TableName=names.idempotency_table("test"))["Items"][0]["id"]
            client("dynamodb").update_item(
                TableName=names.idempotency_table("test"),
                Key={"id": key},
                UpdateExpression="SET #token = :other, in_progress_expiration = :then",
                ExpressionAttributeNames={"#token": "token"},
                ExpressionAttributeValues={":other": {"S": "another's"}, ":then": {"N": "1"}},
            )

    during[4] = lapses
    outage.__enter__()
    during[10] = lambda: story.append(f"{lease_left() < timedelta()}")
    during[11] = die
    cut.enqueue(film="M")
    sandbox.run_once()
    assert story == ["begins 1", "True"]


def test_a_worker_that_is_told_to_end_gives_back_at_once_what_has_not_begun(sandbox: Sandbox) -> None:
    begin(sandbox)

    def told() -> None:
        tell_to_end()
        with sandbox._calls.unobserved():
            before = notice.ends_at
            notice.withdraw()  # the other worker has none
            story.append("another")
            sandbox.advance(INSTANT)
            sandbox.run_once()
            notice.give(timedelta(seconds=25))
            assert before is not None
        story.append("the first again")

    during[1] = told
    clip.enqueue_many({"number": number} for number in range(1, 4))
    sandbox.run_once()
    assert story[:2] == ["clip 1", "another"]
    assert sorted(story[2:4]) == ["clip 2", "clip 3"]
    assert story[4:] == ["the first again"]


def test_what_a_poll_brings_after_the_notice_goes_back_at_once(sandbox: Sandbox) -> None:
    begin(sandbox)
    clip.enqueue(number=1)

    def tell(call: Call) -> Any:
        answer = call.make()
        if call.operation == "ReceiveMessage":
            tell_to_end()
        return answer

    with sandbox.fault(tell):
        assert pollers_poll(sandbox, clips)
    assert story == []
    sandbox.advance(INSTANT)
    assert sandbox.run_once() == 1
    assert story == ["clip 1"]


def pollers_poll(sandbox: Sandbox, queue: Queue) -> bool:
    return sandbox._pollers.consume(queue, 10)


def test_a_task_hears_of_the_notice_and_goes_on_elsewhere_from_its_next_checkpoint(sandbox: Sandbox) -> None:
    begin(sandbox)

    def told() -> None:
        tell_to_end(timedelta(minutes=2))

    during[4] = told
    handle = cut_in_parts.enqueue(film="M")
    sandbox.drain()
    assert story == ["from 0", "from 5"]
    assert handle.result() == "M"


def test_the_remaining_time_shrinks_with_the_notice(sandbox: Sandbox) -> None:
    begin(sandbox)

    @task(films, key="film")
    def look(ctx: Context, film: str) -> str:
        before = ctx.remaining
        tell_to_end(timedelta(seconds=30))
        story.append(f"{before > MINUTE} {ctx.remaining.total_seconds()}")
        return film

    look.enqueue(film="M")
    sandbox.drain()
    assert story == ["True 25.0"]


def test_a_body_that_does_not_end_in_time_is_cut_off_and_runs_again_uncharged(sandbox: Sandbox) -> None:
    begin(sandbox)

    @task(clips, key="number", retry=Backoff(attempts=1))
    def hang(ctx: Context, number: int) -> None:
        story.append(f"hang {ctx.attempt}")
        if len(story) == 1:
            tell_to_end()
            sandbox.advance(timedelta(seconds=21))
            released.wait(10)

    handle = hang.enqueue(number=1)
    sandbox.drain()
    assert story == ["hang 1", "hang 1"]
    assert handle.status().state == "succeeded"


def test_an_async_body_is_cancelled_then(sandbox: Sandbox) -> None:
    begin(sandbox)

    @task(clips, key="number", retry=Backoff(attempts=1))
    async def hang(ctx: Context, number: int) -> None:
        story.append(f"hang {ctx.attempt}")
        if len(story) == 1:
            tell_to_end()
            sandbox.advance(timedelta(seconds=21))
            try:
                await asyncio.sleep(10)
            except asyncio.CancelledError:
                story.append("cancelled")
                raise

    handle = hang.enqueue(number=1)
    sandbox.drain()
    assert story == ["hang 1", "cancelled", "hang 1"]
    assert handle.status().state == "succeeded"


def test_an_at_most_once_task_that_is_cut_off_is_for_a_person_to_judge(sandbox: Sandbox) -> None:
    begin(sandbox)
    show_once.enqueue()
    sandbox.drain()
    (letter,) = sandbox.dead_letters(films)
    assert letter.failure is not None
    assert (letter.failure.reason, letter.failure.type) == ("interrupted", "celeriac.WorkerEndsError")
    assert story == ["shown"]


def test_no_message_overtakes_another_of_its_group_when_a_worker_is_told_to_end(sandbox: Sandbox) -> None:
    begin(sandbox)
    during[2] = tell_to_end
    for number in range(1, 6):
        wind.options(group="g").enqueue(number=number)
    sandbox.drain()
    assert story == [f"g{number}" for number in range(1, 6)]


def test_what_is_given_back_before_it_begins_keeps_its_followers_from_beginning(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker is told to end just when the group's turn comes: its first message is given back, the rest not yet."""
    begin(sandbox)
    run, batches = Batch.run, []

    def told(batch: Batch) -> None:
        batches.append(batch)
        if len(batches) == 1:
            batch._begun[batch._sqs_records[0][0].message_id] = False
        run(batch)

    monkeypatch.setattr(Batch, "run", told)
    for number in range(1, 4):
        wind.options(group="g").enqueue(number=number)
    sandbox.run_once()
    assert story == []
    sandbox.drain()
    assert story == ["g1", "g2", "g3"]


def test_what_is_done_is_acknowledged_by_the_next_heartbeat(sandbox: Sandbox) -> None:
    """A mate that runs for longer would keep it from its acknowledgement, and a killed worker would run it again."""
    begin(sandbox)

    @task(clips, delivery="at_least_once")
    def done() -> None:
        story.append("done")

    @task(clips, delivery="at_least_once")
    def long() -> None:
        story.append("long")
        sandbox.advance(6 * MINUTE)
        if len(story) == 2:
            die()

    done.enqueue()
    long.enqueue()
    sandbox.drain()
    assert story == ["done", "long", "long"]


SPLICES: dict[str, Any] = {"splice": splice, "splice_in_parts": splice_in_parts}


@pytest.mark.parametrize("name", SPLICES)
def test_every_fault_at_every_call_of_a_worker_with_a_heartbeat(name: str) -> None:
    handles: list[Any] = []

    def scenario(sandbox: Sandbox) -> None:
        begin(sandbox)
        during.clear()
        handles[:] = [SPLICES[name].enqueue(film="M")]

    faults = every_fault(scenario)
    for sandbox in faults:
        assert handles[0].result() == "M", faults.story
        assert sandbox.items("orders") == ([{"pk": "M"}] if name == "splice" else []), faults.story
        assert not sandbox.dead_letters(films), faults.story
    assert {"ReceiveMessage", "ChangeMessageVisibilityBatch", "DeleteMessageBatch"} <= struck(scenario)


@pytest.mark.parametrize("name", SPLICES)
def test_every_death_at_every_call_of_a_worker_that_is_told_to_end(name: str) -> None:
    handles: list[Any] = []

    def scenario(sandbox: Sandbox) -> None:
        begin(sandbox)
        during.clear()
        during[0] = lambda: tell_to_end(5 * MINUTE)
        handles[:] = [SPLICES[name].enqueue(film="M")]

    faults = every_fault(scenario, kinds={"dies before", "dies after", "answer lost"})
    for sandbox in faults:
        assert handles[0].result() == "M", faults.story
        assert not sandbox.dead_letters(films), faults.story


def struck(scenario: Callable[[Sandbox], object]) -> set[str]:
    """The operations that a worker calls in a scenario."""
    with Sandbox() as sandbox:
        scenario(sandbox)
        sandbox.drain()
        return {operation for _, operation in sandbox.calls}


def test_a_delete_that_sqs_refuses_is_tried_again(sandbox: Sandbox) -> None:
    begin(sandbox)
    tries: list[int] = []

    def refuse(**_: object) -> None:
        tries.append(len(tries))
        if len(tries) == 1:
            raise TimeoutError

    clip.enqueue(number=1)
    with registered("sqs", "before-call.sqs.DeleteMessageBatch", refuse):
        sandbox.run_once()
    assert len(tries) == 2
    sandbox.drain()
    assert story == ["clip 1"]
