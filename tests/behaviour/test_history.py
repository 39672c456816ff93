"""A queue with `history=True` remembers how its tasks have run, and lists what has ended."""

import json
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from celeriac import Backoff, Context, Queue, task
from celeriac.aws.client import client
from celeriac.consume.visiting import MOST_DEATHS_ALONE
from celeriac.leases import history
from celeriac.leases.runs import NoHistoryError, Run
from celeriac.model import names
from celeriac.testing import Sandbox, WorkerDied
from tests.support.redrive import redrive_as_aws_does

kept = Queue("history-kept", history=True, batch_size=10)
ordered = Queue("history-ordered", history=True, fifo=True, batch_size=10)
plain = Queue("history-plain")
FAST = Backoff(base=timedelta(seconds=1), jitter=0, attempts=3)
MINUTE = timedelta(minutes=1)
fails: dict[str, int] = {}
_sandbox: list[Sandbox] = []


class BankDownError(Exception):
    """As a provider's library has one."""


@pytest.fixture(autouse=True)
def _empty(sandbox: Sandbox) -> None:
    fails.clear()
    _sandbox[:] = [sandbox]


def _fail(name: str) -> None:
    if fails.get(name, 0) > 0:
        fails[name] -= 1
        raise BankDownError("a secret of o-7")


@task(kept, key="name", retry=FAST)
def h_book(name: str) -> str:
    _fail(name)
    return name


@task(kept, retry=FAST)
def h_transfer(ctx: Context, name: str) -> None:
    _fail(name)
    with ctx.transaction() as tx:
        tx.put("orders", {"pk": name})


@task(ordered, retry=FAST)
def h_order(name: str) -> None:
    _fail(name)


@task(kept, delivery="at_least_once")
def h_mail(name: str) -> None: ...


@task(kept, delivery="at_most_once")
def h_launch(name: str) -> None:
    _fail(name)


@task(plain, key="name", retry=FAST)
def h_plain(name: str) -> None:
    _fail(name)


@task(kept, retry=FAST)
def h_count(ctx: Context, rows: int) -> None:
    for row in range(ctx.cursor or 0, rows):
        _sandbox[0].advance(timedelta(seconds=1))
        _fail(str(row))
        ctx.checkpoint(row + 1)


@task(kept, expires=timedelta(hours=1))
def h_greet() -> None: ...


def _told(run: Run) -> list[tuple[int, str, str]]:
    return [(each.attempt, each.outcome, each.error.rpartition(".")[2]) for each in run.attempts]


def test_runs_are_listed_the_latest_first(sandbox: Sandbox) -> None:
    fails.update({"b": 2, "c": 9})
    ids = {}
    for name in ("a", "b", "c"):
        ids[name] = h_book.enqueue(name=name).id
        sandbox.drain()
        sandbox.advance(MINUTE)

    found = h_book.runs()

    assert [(run.id, run.state, run.attempt) for run in found] == [
        (ids["c"], "dead", 3),
        (ids["b"], "succeeded", 3),
        (ids["a"], "succeeded", 1),
    ]
    assert _told(found[1]) == [(1, "failed", "BankDownError"), (2, "failed", "BankDownError"), (3, "succeeded", "")]
    assert found[0].error.endswith("BankDownError")
    attempts = found[1].attempts
    assert all(each.request_id for each in attempts)
    assert all(one.ended_at <= other.started_at for one, other in pairwise(attempts))
    assert abs(found[1].ended_at - attempts[-1].ended_at) < timedelta(milliseconds=2)


def test_the_list_is_of_one_task_in_one_state_and_time(sandbox: Sandbox) -> None:
    fails["c"] = 9
    times = []
    for name in "abcd":
        times.append(datetime.now(UTC))
        h_book.enqueue(name=name)
        h_transfer.enqueue(name=name)
        sandbox.drain()
        sandbox.advance(MINUTE)

    assert len(h_transfer.runs()) == 4
    assert [run.state for run in h_book.runs()] == ["succeeded", "dead", "succeeded", "succeeded"]
    assert len(h_book.runs(state="succeeded")) == 3
    assert len(h_book.runs(state="dead", since=times[2])) == 1
    assert h_book.runs(state="dead", since=times[3]) == []
    assert len(h_book.runs(since=times[1], until=times[3] - timedelta(seconds=1))) == 2
    latest = h_book.runs(limit=1)
    assert len(latest) == 1
    assert h_book.runs(until=latest[0].ended_at)[0].id == latest[0].id


def test_a_long_list_is_read_to_its_end(sandbox: Sandbox) -> None:
    handles = h_book.enqueue_many([{"name": f"n-{number}"} for number in range(500)])
    sandbox.drain()
    assert {run.id for run in h_book.runs(limit=1000)} == {handle.id for handle in handles}
    times = [run.ended_at for run in h_book.runs(limit=200)]
    assert times == sorted(times, reverse=True)
    assert len(times) == 200


def test_ends_are_spread_over_the_index(sandbox: Sandbox) -> None:
    h_book.enqueue_many([{"name": f"n-{number}"} for number in range(200)])
    sandbox.drain()
    assert len({item["run_of"]["S"] for item in _records()}) > history.SHARDS // 2


def test_a_success_that_a_transaction_commits_is_listed(sandbox: Sandbox) -> None:
    fails["a"] = 1
    h_transfer.enqueue(name="a")
    sandbox.drain()
    (run,) = h_transfer.runs()
    assert run.state == "succeeded"
    assert _told(run) == [(1, "failed", "BankDownError"), (2, "succeeded", "")]


def test_a_fifo_queue_remembers_the_same(sandbox: Sandbox) -> None:
    fails.update({"a": 1, "b": 9})
    for name in "ab":
        h_order.options(group="g").enqueue(name=name)
    sandbox.drain()
    dead, done = sorted(h_order.runs(), key=lambda run: run.state)
    assert (dead.state, dead.attempt) == ("dead", 3)
    assert _told(done) == [(1, "failed", "BankDownError"), (2, "succeeded", "")]

    fails["b"] = 0
    redrive_as_aws_does(ordered)
    sandbox.drain()
    assert h_order.runs(state="dead") == []
    assert len(h_order.runs(state="succeeded")) == 2


def test_a_redriven_letter_is_out_of_the_list_while_it_runs(sandbox: Sandbox) -> None:
    fails["a"] = 4
    h_book.enqueue(name="a")
    sandbox.drain()
    assert [run.state for run in h_book.runs()] == ["dead"]

    redrive_as_aws_does(kept)
    sandbox.run_once()
    assert h_book.runs() == []

    sandbox.drain()
    (run,) = h_book.runs()
    assert run.state == "succeeded"
    assert [outcome for _, outcome, _ in _told(run)] == ["failed"] * 4 + ["succeeded"]


def test_a_worker_that_died_is_an_attempt_that_was_lost(sandbox: Sandbox) -> None:
    handle = h_book.enqueue(name="a")
    sandbox.crash_at(2)  # the first is the claim
    sandbox.drain()

    (run,) = h_book.runs()
    assert handle.status().state == "succeeded"
    lost, done = run.attempts
    assert (lost.attempt, lost.outcome, lost.request_id) == (1, "lost", "")
    assert (done.attempt, done.outcome) == (1, "succeeded")
    assert lost.started_at < lost.ended_at <= done.started_at


def test_the_parts_of_an_attempt_are_one_run(sandbox: Sandbox) -> None:
    fails["70"] = 1
    h_count.enqueue(rows=100)
    begun = datetime.now(UTC)
    sandbox.drain()

    (run,) = h_count.runs()
    assert [outcome for _, outcome, _ in _told(run)] == ["failed", "succeeded"]
    assert run.attempts[0].started_at - begun < timedelta(seconds=1)
    assert run.attempts[0].ended_at - begun > timedelta(seconds=70)


def test_only_the_last_ten_attempts_are_kept(sandbox: Sandbox) -> None:
    fails["a"] = 15
    often = Backoff(base=timedelta(seconds=1), jitter=0, attempts=20)

    @task(kept, retry=often)
    def h_often() -> None:
        _fail("a")

    h_often.enqueue()
    sandbox.drain()
    (run,) = h_often.runs()
    assert [each.attempt for each in run.attempts] == list(range(7, 17))


def test_what_was_stopped_or_expired_is_cancelled(sandbox: Sandbox) -> None:
    @task(kept)
    def h_stop(ctx: Context) -> None:
        handles[0].cancel("a storm")
        ctx.checkpoint(1, every=timedelta())

    handles = [h_stop.enqueue()]
    h_greet.enqueue()
    sandbox.advance(timedelta(hours=2))
    sandbox.drain()

    (stopped,) = h_stop.runs(state="cancelled")
    assert _told(stopped) == [(1, "cancelled", "cancelled")]
    (expired,) = h_greet.runs()
    assert (expired.state, expired.attempts, expired.attempt, expired.error) == ("cancelled", (), 0, "")


def test_an_interrupted_run_that_never_runs_again_is_dead(sandbox: Sandbox) -> None:
    h_launch.enqueue(name="a")
    sandbox.crash_at(2)
    sandbox.drain()
    (run,) = h_launch.runs()
    assert run.state == "dead"
    assert (run.attempts[-1].outcome, run.error) == ("lost", "interrupted")


def test_an_end_that_could_not_be_sent_is_the_run_of_the_worker_that_made_it(sandbox: Sandbox) -> None:
    @task(kept, retry=FAST)
    def h_slow() -> None:
        sandbox.advance(timedelta(seconds=5))
        raise BankDownError

    h_slow.enqueue()
    with sandbox.outage("sqs", "SendMessage"):
        sandbox.run_once()
        sandbox.advance(MINUTE)
    sandbox.drain()
    (run,) = h_slow.runs()
    assert [(attempt, outcome) for attempt, outcome, _ in _told(run)] == [(1, "failed"), (2, "failed"), (3, "failed")]
    lengths = [each.ended_at - each.started_at for each in run.attempts]
    assert all(timedelta(seconds=5) <= length < timedelta(seconds=6) for length in lengths)


def test_another_message_of_the_key_takes_the_row_over(sandbox: Sandbox) -> None:
    fails["a"] = 3
    h_book.enqueue(name="a")
    sandbox.drain()
    second = h_book.enqueue(name="a")
    sandbox.drain()
    (run,) = h_book.runs()
    assert (run.id, run.state, len(run.attempts)) == (second.id, "succeeded", 1)


def test_a_queue_without_a_history_writes_nothing_of_it(sandbox: Sandbox) -> None:
    fails["a"] = 1
    h_plain.enqueue(name="a")
    sandbox.drain()
    assert not {"run_of", "runs"} & {name for item in _records() for name in item}


def test_a_history_costs_no_call(sandbox: Sandbox) -> None:
    counts = []
    for its in (h_plain, h_book):
        fails["a"] = 1
        sandbox.calls.clear()
        its.enqueue(name="a")
        sandbox.drain()
        counts.append({call: number for call, number in sandbox.calls.items() if call[0] == "dynamodb"})
    assert counts[0] == counts[1]


def test_texts_of_errors_and_arguments_are_not_in_it(sandbox: Sandbox) -> None:
    fails["secret-key"] = 9
    h_book.enqueue(name="secret-key")
    sandbox.drain()
    (record,) = _records()
    assert "secret" not in json.dumps([record["runs"], record["run_of"]])


def test_who_asks_in_vain_is_told_why(sandbox: Sandbox) -> None:
    with pytest.raises(NoHistoryError, match="'history-plain' keeps no history: declare it with history=True"):
        h_plain.runs()
    with pytest.raises(NoHistoryError, match="at_least_once"):
        h_mail.runs()
    with pytest.raises(ValueError, match="limit is 0, write 1 to 1,000"):
        h_book.runs(limit=0)
    with pytest.raises(ValueError, match="since has no zone"):
        h_book.runs(since=datetime(2026, 1, 1))  # noqa: DTZ001 - what is refused
    with pytest.raises(ValueError, match="'failed' is no end of a run, write succeeded, dead, cancelled"):
        h_book.runs(state="failed")  # type: ignore[arg-type]  # what is refused


def test_without_its_index_the_cure_is_told(sandbox: Sandbox) -> None:
    client("dynamodb").update_table(
        TableName=names.idempotency_table("test"),
        GlobalSecondaryIndexUpdates=[{"Delete": {"IndexName": names.runs_index()}}],
    )
    with pytest.raises(NoHistoryError, match="'test' has no index of runs yet: deploy it"):
        h_book.runs()


def _records() -> list[dict[str, Any]]:
    pages = client("dynamodb").get_paginator("scan").paginate(TableName=names.idempotency_table("test"))
    return [item for page in pages for item in page["Items"]]


@task(kept, key="name", retry=Backoff(base=MINUTE, jitter=0, attempts=5, give_up_after=timedelta(hours=1)))
def h_fragile(name: str) -> None:
    if fails.get(name, 0) > 0:
        fails[name] -= 1
        raise WorkerDied
    _fail(f"{name}'s provider")


def _fate(run: Run) -> list[tuple[int, str, str]]:
    return [(each.attempt, each.outcome, each.error) for each in run.attempts]


def test_every_worker_that_died_is_an_attempt(sandbox: Sandbox) -> None:
    fails["a"] = 2
    h_fragile.enqueue(name="a")
    sandbox.drain()
    (run,) = h_fragile.runs()
    assert _fate(run) == [(1, "lost", ""), (1, "lost", ""), (1, "succeeded", "")]
    assert all(one.ended_at <= other.started_at for one, other in pairwise(run.attempts))


def test_a_verdict_without_a_run_is_no_attempt(sandbox: Sandbox) -> None:
    fails["a"] = 9
    h_fragile.enqueue(name="a")
    sandbox.drain()
    (run,) = h_fragile.runs()
    assert (run.state, run.error) == ("dead", "worker lost")
    assert {outcome for _, outcome, _ in _fate(run)} == {"lost"}
    assert len(run.attempts) == MOST_DEATHS_ALONE


def test_what_comes_too_late_for_another_attempt_has_those_that_it_had(sandbox: Sandbox) -> None:
    fails["b's provider"] = 1
    h_fragile.enqueue(name="b")
    sandbox.run_once()
    sandbox.advance(timedelta(hours=3))
    sandbox.drain()
    (run,) = h_fragile.runs(state="dead")
    assert _fate(run) == [(1, "failed", _name(BankDownError))]
    (letter,) = sandbox.dead_letters(kept)
    assert letter.failure is not None
    assert letter.failure.attempts == run.attempt == 1


@pytest.mark.parametrize("its", [h_book, h_order], ids=lambda its: its.name)
def test_what_is_cancelled_between_two_attempts_is_listed_with_those_that_it_had(sandbox: Sandbox, its: Any) -> None:
    fails["c"] = 2
    its = its.options(group="g") if its.queue.fifo else its
    handle = its.enqueue(name="c")
    sandbox.run_once()
    assert handle.cancel("not wanted")
    (run,) = handle_task(its).runs()
    assert (run.id, run.state) == (handle.id, "cancelled")
    assert _fate(run) == [(1, "failed", _name(BankDownError))]
    sandbox.drain()
    assert [each.id for each in handle_task(its).runs()] == [handle.id]
    fails.clear()
    if not its.queue.fifo:
        again = its.enqueue(name="c")
        sandbox.drain()
        assert [(each.id, each.state) for each in h_book.runs()] == [(again.id, "succeeded")]


def handle_task(its: Any) -> Any:
    return h_order if its.queue.fifo else h_book


def _name(error: type) -> str:
    return f"{error.__module__}.{error.__qualname__}"
