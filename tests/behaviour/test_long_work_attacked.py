"""Long work against everything around it: other messages of its key, late answers, late copies, redrives, operators."""

import asyncio
import json
from collections import Counter
from datetime import timedelta
from threading import Event as Signal
from typing import Any

import pytest
from botocore.exceptions import ReadTimeoutError

import celeriac
from celeriac import Backoff, Context, Queue, Unique, task
from celeriac.aws import sqs
from celeriac.aws.client import client
from celeriac.consume import quarantine
from celeriac.leases import cancelling
from celeriac.leases.cancelling import TooManyCancelledError
from celeriac.testing import Call, Sandbox, WorkerDied
from tests.support.redrive import redrive_as_aws_does

SECOND = timedelta(seconds=1)
mill = Queue("mill", timeout=30 * SECOND)
slow_mill = Queue("slow-mill", timeout=900 * SECOND)
belt = Queue("belt", timeout=30 * SECOND, fifo=True)
ground: list[int] = []
begun: Counter[str] = Counter()
fails_at: set[int] = set()
handles: list[Any] = []
_sandbox: list[Sandbox] = []
ONCE_A_MINUTE = Backoff(base=timedelta(minutes=1), jitter=0, attempts=3)


@pytest.fixture(autouse=True)
def _empty(sandbox: Sandbox) -> None:
    for each in (ground, fails_at, handles, begun):
        each.clear()
    _sandbox[:] = [sandbox]


def _counters() -> dict[str, int]:
    items = client("dynamodb").scan(TableName="celeriac-test--orders")["Items"]
    return {item["pk"]["S"]: int(item["count"]["N"]) for item in items}


def _commit(ctx: Context, row: int) -> None:
    with ctx.transaction() as tx:
        tx.update("orders", key={"pk": f"row-{row}"}, add={"count": 1})
        tx.checkpoint(row + 1)


def _count(ctx: Context, by: str, rows: int) -> None:
    begun[by] += ctx.cursor is None
    for row in range(ctx.cursor or 0, rows):
        _sandbox[0].advance(4 * SECOND)
        if row in fails_at:
            fails_at.discard(row)
            raise ConnectionError("not now")
        _commit(ctx, row)


@task(mill, key="file", retry=ONCE_A_MINUTE)
def m_import(ctx: Context, file: str, by: str, rows: int = 20) -> None:
    _count(ctx, by, rows)


@task(belt, key="file", retry=ONCE_A_MINUTE)
def b_import(ctx: Context, file: str, by: str, rows: int = 20) -> None:
    _count(ctx, by, rows)


@task(belt, expires=10 * SECOND)
def b_grind(ctx: Context) -> None:
    _grind(ctx)


@task(belt, unique=Unique(by="file", until="started"))
def b_once(ctx: Context, file: str) -> None:
    _grind(ctx)


@task(mill, expires=10 * SECOND)
def m_grind(ctx: Context) -> None:
    _grind(ctx)


@task(mill, key="name")
def m_mail(name: str) -> None:
    ground.append(-1)


def _grind(ctx: Context) -> None:
    for row in range(ctx.cursor or 0, 60):
        _sandbox[0].advance(SECOND)
        ground.append(row)
        ctx.checkpoint(row + 1)


class _Trouble:
    """The first claim of a later part is answered late, or its answer is lost."""

    def __init__(self, how: str) -> None:
        self.how = [how]
        self.body = ""

    def __call__(self, call: Call) -> Any:
        if call.operation == "SendMessage" and not self.body:
            self.body = str(call.arguments["MessageBody"])
        if call.operation != "UpdateItem" or ":new_status" not in str(call.arguments) or not (self.how and ground):
            return call.make()
        if self.how.pop() == "late":
            _sandbox[0].advance(16 * SECOND)
            return call.make()
        call.make()
        raise ReadTimeoutError(endpoint_url="https://aws.example")


@pytest.mark.parametrize("its", [m_import, b_import])
@pytest.mark.parametrize("failing", [set(), {3, 9}])
def test_another_message_of_the_key_waits_until_it_has_ended(sandbox: Sandbox, its: Any, failing: set[int]) -> None:
    fails_at.update(failing)
    its = [its.options(group=by) if its.queue.fifo else its for by in "ab"]
    first, second = its[0].enqueue("x", by="a"), its[1].enqueue("x", by="b")
    sandbox.drain()
    assert begun in ({"a": 1}, {"b": 1})
    assert set(_counters().values()) == {1}
    assert len(_counters()) == 20
    assert {first.status().state, second.status().state} == {"succeeded"}


def test_another_message_of_the_key_goes_on_with_the_same_arguments(sandbox: Sandbox) -> None:
    handles.extend(m_import.enqueue("x", by="a") for _ in range(2))
    sandbox.drain()
    assert set(_counters().values()) == {1}
    assert begun["a"] == 1


def test_a_message_that_can_not_come_any_more_holds_nobody_up(sandbox: Sandbox) -> None:
    m_import.enqueue("x", by="a")

    def lose_the_next_part(call: Call) -> Any:
        return {"MessageId": "gone"} if call.operation == "SendMessage" else call.make()

    with sandbox.fault(lose_the_next_part):
        sandbox.drain()
    sandbox.advance(mill.retention - timedelta(hours=1))
    waiting = m_import.enqueue("x", by="b")
    sandbox.run_once()
    assert begun == {"a": 1}
    sandbox.drain()
    assert waiting.status().state == "succeeded"
    assert begun == {"a": 1, "b": 1}


def test_a_dead_letter_holds_nobody_up(sandbox: Sandbox) -> None:
    @task(mill, key="file", retry=Backoff(attempts=1))
    def m_dead(ctx: Context, file: str, by: str) -> None:
        ctx.checkpoint(1, every=timedelta())
        begun[by] += 1
        if by == "a":
            raise ConnectionError

    m_dead.enqueue("x", by="a")
    sandbox.drain()
    m_dead.enqueue("x", by="b")
    sandbox.drain()
    assert begun == {"a": 1, "b": 1}


def test_a_commit_that_nobody_has_seen_is_not_repeated_in_the_same_run(sandbox: Sandbox) -> None:
    lost = ["TransactWriteItems", "GetItem"]

    def lose(call: Call) -> Any:
        if lost and call.operation == lost[0]:
            lost.pop(0)
            call.make()
            raise ReadTimeoutError(endpoint_url="https://aws.example")
        return call.make()

    said: list[str] = []

    @task(slow_mill)
    def m_stubborn(ctx: Context) -> None:
        for row in range(ctx.cursor or 0, 3):
            try:
                _commit(ctx, row)
            except ReadTimeoutError:
                try:
                    _commit(ctx, row)
                except celeriac.TransactionError as error:
                    said.append(str(error))
                    raise

    handle = m_stubborn.enqueue()
    with sandbox.fault(lose):
        sandbox.drain()
    assert lost == []
    assert "it isn't known whether an earlier transaction of this run was carried out" in said[0]
    assert _counters() == {"row-0": 1, "row-1": 1, "row-2": 1}
    assert handle.status().state == "succeeded"


def test_a_commit_that_an_async_task_did_not_wait_for_is_not_repeated(sandbox: Sandbox) -> None:
    has_left, is_first = Signal(), [True]

    def wait(call: Call) -> Any:
        if call.operation == "TransactWriteItems" and is_first:
            is_first.pop()
            assert has_left.wait(10)
        return call.make()

    async def commit(ctx: Context, row: int) -> None:
        async with ctx.transaction() as tx:
            tx.update("orders", key={"pk": f"row-{row}"}, add={"count": 1})
            tx.checkpoint(row + 1)

    @task(slow_mill)
    async def m_hasty(ctx: Context) -> None:
        for row in range(ctx.cursor or 0, 3):
            its = asyncio.ensure_future(commit(ctx, row))
            if is_first:
                while is_first:  # noqa: ASYNC110 - its commit is in a thread
                    await asyncio.sleep(0)
                its.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await its
                has_left.set()
                while not _counters():  # noqa: ASYNC110 - see above
                    await asyncio.sleep(0)
                its = asyncio.ensure_future(commit(ctx, row))
            await its

    handle = m_hasty.enqueue()
    with sandbox.fault(wait):
        sandbox.drain()
    assert _counters() == {"row-0": 1, "row-1": 1, "row-2": 1}
    assert handle.status().state == "succeeded"


@pytest.mark.parametrize("how", ["lost", "late"])
def test_what_has_begun_does_not_expire_between_its_parts(sandbox: Sandbox, how: str) -> None:
    handle, trouble = b_grind.options(group="g").enqueue(), _Trouble(how)
    with sandbox.fault(trouble):
        sandbox.drain()
    assert not trouble.how
    assert ground == list(range(60))
    assert handle.status().state == "succeeded"


def test_what_has_begun_is_not_skipped_as_a_duplicate_of_itself(sandbox: Sandbox) -> None:
    handles.append(b_once.options(group="g").enqueue(file="a"))
    trouble = _Trouble("lost")
    with sandbox.fault(trouble):
        sandbox.run_once()
        handles.append(b_once.options(group="g").enqueue(file="a"))
        sandbox.drain()
    assert not trouble.how
    assert Counter(ground) == dict.fromkeys(range(60), 2)
    assert {handle.status().state for handle in handles} == {"succeeded"}


def test_a_claim_of_a_later_part_that_is_given_back_is_no_new_beginning(sandbox: Sandbox) -> None:
    handle, trouble = m_grind.enqueue(), _Trouble("lost")
    seen: list[celeriac.Status] = []

    def look(call: Call) -> Any:
        answer = trouble(call)
        if not trouble.how and ":before" in str(call.arguments) and not seen:  # the claim is given back
            seen.append(handle.status())
            client("sqs").send_message(QueueUrl=sqs.url(mill.physical_name("test")), MessageBody=trouble.body)
        return answer

    trouble.body = json.dumps({"task": "m_grind", "id": handle.id, "enqueued_at": "2026-01-01T00:00:00Z"})
    with sandbox.fault(look):
        sandbox.drain()
    assert ground == list(range(60))
    assert handle.status().state == "succeeded"
    assert [(status.state, status.attempts) for status in seen] == [("retrying", 1)]


def test_a_redriven_letter_has_the_attempts_of_its_policy(sandbox: Sandbox) -> None:
    moves, attempts = [True], []

    @task(mill, retry=ONCE_A_MINUTE)
    def m_refused(ctx: Context) -> None:
        attempts.append(ctx.attempt)
        if moves and (ctx.cursor or 0) < 10:
            sandbox.advance(2 * SECOND)
            ctx.checkpoint((ctx.cursor or 0) + 1)
        raise ConnectionError

    m_refused.enqueue()
    sandbox.drain()
    assert len(attempts) == 12
    attempts.clear()
    moves.clear()
    redrive_as_aws_does(mill)
    began = sandbox.now
    sandbox.drain()
    assert attempts == [1, 2, 3]
    assert sandbox.now - began >= timedelta(minutes=3)


def test_workers_that_die_after_each_step_end_it_with_a_reason(sandbox: Sandbox) -> None:
    @task(mill)
    def m_deadly(ctx: Context) -> None:
        sandbox.advance(2 * SECOND)
        ctx.checkpoint((ctx.cursor or 0) + 1)
        raise WorkerDied

    handle = m_deadly.enqueue()
    sandbox.drain()
    (letter,) = sandbox.dead_letters(mill)
    assert letter.failure is not None
    assert letter.failure.reason == "worker lost"
    assert "its workers die again and again" in letter.failure.message
    assert handle.status().state == "dead"


def test_runs_that_move_and_fail_are_bounded_as_parts_are(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("celeriac.consume.decide.MOST_PARTS", 20)
    runs = []

    @task(mill, retry=ONCE_A_MINUTE)
    def m_limping(ctx: Context) -> None:
        runs.append(ctx.cursor)
        sandbox.advance(2 * SECOND)
        ctx.checkpoint((ctx.cursor or 0) + 1)
        raise ConnectionError

    m_limping.enqueue()
    sandbox.drain()
    (letter,) = sandbox.dead_letters(mill)
    assert letter.failure is not None
    assert letter.failure.reason == "exhausted"
    assert len(runs) == 20


def test_a_transaction_with_a_cursor_hears_of_a_cancel(sandbox: Sandbox) -> None:
    @task(slow_mill)
    def m_steady(ctx: Context) -> None:
        for row in range(ctx.cursor or 0, 600):
            if row == 10:
                handles[0].cancel("a storm")
            sandbox.advance(SECOND)
            _commit(ctx, row)

    handles.append(m_steady.enqueue())
    sandbox.drain()
    assert 10 < len(_counters()) <= 20
    assert handles[0].status().state == "cancelled"


def test_a_dead_letter_between_two_parts_is_one(sandbox: Sandbox) -> None:
    @task(mill)
    def m_held(ctx: Context) -> None:
        for row in range(ctx.cursor or 0, 100):
            if row == 5:
                quarantine.add(quarantine.of_task("m_held"))
                quarantine.refresh()
            sandbox.advance(SECOND)
            ctx.checkpoint(row + 1)

    handle = m_held.enqueue()
    sandbox.drain()
    assert len(sandbox.dead_letters(mill)) == 1
    sandbox.advance(SECOND)
    assert handle.status().state == "dead"
    with pytest.raises(celeriac.TaskFailedError):
        handle.result(timeout=0)


def test_a_checkpoint_in_an_open_transaction_is_refused(sandbox: Sandbox) -> None:
    @task(mill, retry=Backoff(attempts=1))
    def m_mixed(ctx: Context) -> None:
        with ctx.transaction() as tx:
            tx.put("orders", {"pk": "row-0"})
            ctx.checkpoint(1)

    m_mixed.enqueue()
    sandbox.drain()
    (letter,) = sandbox.dead_letters(mill)
    assert letter.failure is not None
    assert "call tx.checkpoint(...)" in letter.failure.message


def test_a_transaction_for_one_of_many_items_must_save_its_cursor(sandbox: Sandbox) -> None:
    @task(mill, retry=Backoff(attempts=1))
    def m_partly(ctx: Context) -> None:
        for row in ctx.iterate(range(3), cursor_of=lambda row: row + 1):
            with ctx.transaction() as tx:
                tx.put("orders", {"pk": f"row-{row}"})

    @task(mill)
    def m_wholly(ctx: Context) -> None:
        for row in ctx.iterate(range(3), cursor_of=lambda row: row + 1):
            _commit(ctx, row)
        with ctx.transaction() as tx:
            tx.update("orders", key={"pk": "end"}, add={"count": 1})

    m_partly.enqueue()
    whole = m_wholly.enqueue()
    sandbox.drain()
    (letter,) = sandbox.dead_letters(mill)
    assert letter.failure is not None
    assert "ctx.iterate(...) has more items: call tx.checkpoint(cursor)" in letter.failure.message
    assert _counters() == {"row-0": 1, "row-1": 1, "row-2": 1, "end": 1}
    assert whole.status().state == "succeeded"


def test_after_a_break_a_transaction_may_end_the_task(sandbox: Sandbox) -> None:
    @task(mill)
    def m_leaves(ctx: Context) -> None:
        for row in ctx.iterate(range(3), cursor_of=lambda row: row + 1):
            if row == 1:
                break
            _commit(ctx, row)
        with ctx.transaction() as tx:
            tx.update("orders", key={"pk": "end"}, add={"count": 1})

    @task(mill)
    async def m_leaves_async(ctx: Context) -> None:
        async for row in ctx.aiterate(range(3), cursor_of=lambda row: row + 1):
            if row == 1:
                break
        with ctx.transaction() as tx:  # before the loop turns, and could close a generator
            tx.update("orders", key={"pk": "async-end"}, add={"count": 1})

    handles.extend([m_leaves.enqueue(), m_leaves_async.enqueue()])
    sandbox.drain()
    assert [handle.status().state for handle in handles] == ["succeeded", "succeeded"]
    assert _counters() == {"row-0": 1, "end": 1, "async-end": 1}


def test_in_an_outage_a_checkpoint_is_tried_as_often_as_it_would_be_written(sandbox: Sandbox) -> None:
    tries = []

    def away(call: Call) -> Any:
        if call.operation == "UpdateItem" and ":cursor" in str(call.arguments):
            tries.append(sandbox.now)
            raise ReadTimeoutError(endpoint_url="https://aws.example")
        return call.make()

    @task(slow_mill)
    def m_patient(ctx: Context) -> None:
        for row in range(1000):
            sandbox.advance(timedelta(milliseconds=100))
            ctx.checkpoint(row + 1)

    m_patient.enqueue()
    with sandbox.fault(away):
        sandbox.drain()
    assert 90 <= len(tries) <= 101


def test_a_record_remembers_so_many_cancelled_messages(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cancelling, "MOST_CANCELLED", 3)
    waiting = [m_mail.enqueue(name="a") for _ in range(5)]
    for handle in waiting[:3]:
        assert handle.cancel("a storm")
    assert waiting[0].cancel("again")
    with pytest.raises(TooManyCancelledError, match="messages of this key are cancelled already"):
        waiting[3].cancel("a storm")
    sandbox.drain()
    assert ground == [-1]


def test_a_part_waits_for_a_release_that_knows_parts(sandbox: Sandbox) -> None:
    sent = []

    def note(call: Call) -> Any:
        if call.operation == "SendMessage":
            sent.append(json.loads(call.arguments["MessageBody"]))
        return call.make()

    with sandbox.fault(note):
        m_grind.enqueue()
        sandbox.drain()
    assert [(body["v"], body.get("part", 0)) for body in sent] == [(3, 1), (3, 2)]


@pytest.mark.parametrize("every", [1, None, 0.5])
def test_the_time_between_two_checkpoints_is_a_timedelta(sandbox: Sandbox, every: Any) -> None:
    ctx = Context("id", "key", "name", 1, sandbox.now)
    with pytest.raises(TypeError, match="write a timedelta"):
        ctx.checkpoint(1, every=every)


def test_half_of_a_character_is_no_cursor(sandbox: Sandbox) -> None:
    ctx = Context("id", "key", "name", 1, sandbox.now)
    with pytest.raises(ValueError, match="must be JSON"):
        ctx.checkpoint("\ud83d")


@pytest.mark.parametrize("number", [10**400, float("inf"), float("nan"), -1])
def test_a_number_that_says_nothing_is_no_progress(sandbox: Sandbox, number: Any) -> None:
    ctx = Context("id", "key", "name", 1, sandbox.now)
    with pytest.raises(ValueError, match="isn't a number from 0 to"):
        ctx.progress(number)


@pytest.mark.parametrize("ref", [None, 5, b"a/b"])
def test_what_is_no_text_is_no_reference(ref: Any) -> None:
    with pytest.raises(celeriac.InvalidReferenceError, match="is no reference of a task"):
        celeriac.handle(ref)
