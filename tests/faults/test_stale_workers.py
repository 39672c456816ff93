"""A stale worker, one that outlived its lease, can neither complete nor release its successor's lease."""

import json
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from celeriac import Context, Queue, task
from celeriac.aws.client import client
from celeriac.leases import lease
from celeriac.leases.claim import Claim
from celeriac.leases.store import LeaseLostError
from celeriac.model.failure import Failure
from celeriac.testing import Call, Sandbox
from tests.support.faults import registered

RETENTION = timedelta(days=18)
LEASE = timedelta(seconds=30)


FAILURE = Failure(reason="failed")


def _claim() -> lease.Lease:
    return _taken(_wanted("charge", "charge:p-1"))


def _taken(wanted: Claim) -> lease.Lease:
    try:
        return lease.claim(wanted)
    except lease.CrashSuspected as suspect:
        return lease.take_over(wanted, suspect)


def _wanted(task: str, key: str) -> Claim:
    return Claim(task, key, "the id", 1, datetime.now(UTC) + LEASE, RETENTION)


@pytest.fixture
def stale_and_successor(sandbox: Sandbox) -> tuple[lease.Lease, lease.Lease]:
    stale = _claim()
    sandbox.advance(LEASE + timedelta(seconds=1))
    return stale, _claim()


type Leases = tuple[lease.Lease, lease.Lease]


def test_a_stale_worker_cannot_complete_its_successors_lease(stale_and_successor: Leases) -> None:
    stale, successor = stale_and_successor
    with pytest.raises(LeaseLostError):
        stale.complete("the stale worker's result")
    successor.complete("the successor's result")
    with pytest.raises(lease.AlreadyDone):
        _claim()


def test_a_stale_worker_cannot_release_its_successors_lease(stale_and_successor: Leases) -> None:
    stale, _ = stale_and_successor
    with pytest.raises(LeaseLostError):
        stale.retrying(FAILURE)
    with pytest.raises(lease.Busy):
        _claim()


def test_a_stale_worker_cannot_undo_its_successors_success(stale_and_successor: Leases) -> None:
    stale, successor = stale_and_successor
    successor.complete(None)
    with pytest.raises(LeaseLostError):
        stale.retrying(FAILURE)
    with pytest.raises(lease.AlreadyDone):
        _claim()


def test_two_live_workers_never_hold_one_lease(sandbox: Sandbox) -> None:
    _claim()
    with pytest.raises(lease.Busy) as busy:
        _claim()
    assert busy.value.until == sandbox.now + LEASE


def test_a_released_lease_is_free_for_the_next_attempt_at_once(sandbox: Sandbox) -> None:
    _claim().retrying(FAILURE)
    lease.claim(replace(_wanted("charge", "charge:p-1"), attempt=2)).complete(None)


def test_a_key_can_be_claimed_again_after_its_records_retention(sandbox: Sandbox) -> None:
    _claim().complete(None)
    sandbox.advance(RETENTION + timedelta(seconds=1))
    _claim()  # TTL has not deleted the record yet, but it has expired


def test_a_stale_workers_transaction_commits_nothing_and_its_task_is_not_run_again(sandbox: Sandbox) -> None:
    jobs = Queue("stale", batch_size=10)
    runs: list[int] = []

    @task(jobs, key="name")
    def transfer(ctx: Context, name: str) -> None:
        runs.append(ctx.attempt)
        if len(runs) == 1:
            # The worker was frozen for longer than its lease, and its successor has done the work.
            sandbox.freeze(jobs.visibility + timedelta(seconds=1))
            transfer.enqueue(name=name)
            _taken(_wanted("transfer", ctx.key)).complete(None)
        with ctx.transaction() as tx:
            tx.put("payments", {"pk": f"{name}-{len(runs)}"})

    transfer.enqueue(name="a")
    sandbox.drain()

    assert runs == [1]
    assert client("dynamodb").scan(TableName="celeriac-test--payments")["Count"] == 0
    assert sandbox.dead_letters(jobs) == []


def test_a_worker_that_finds_its_lease_lost_in_its_transaction_sends_no_successor(sandbox: Sandbox) -> None:
    jobs = Queue("stale", batch_size=10)
    seen: list[int] = []

    @task(jobs)
    def slow(ctx: Context) -> None:
        seen.append(ctx.attempt)
        if len(seen) == 1:
            # The worker is frozen for longer than its lease. Meanwhile another worker takes over and runs the task.
            sandbox.freeze(timedelta(hours=1))
            wanted = Claim("slow", ctx.key, ctx.id, 1, sandbox.now + LEASE, RETENTION)
            _taken(wanted)
        with ctx.transaction() as tx:
            tx.put("payments", {"pk": "p-1"})

    handle = slow.enqueue()
    sandbox.run_once()
    assert sandbox.calls["sqs", "SendMessage"] == 1
    sandbox.drain()
    assert seen == [1, 1]
    assert handle.status().state == "succeeded"


def test_a_record_is_read_consistently(sandbox: Sandbox) -> None:
    reads: list[dict[str, object]] = []

    def note(params: dict[str, str], **_: object) -> None:
        reads.append(json.loads(params["body"]))

    with registered("dynamodb", "before-call.dynamodb.GetItem", note):
        lease.look_up("charge", "charge:p-1", RETENTION)
    assert [read["ConsistentRead"] for read in reads] == [True]


def test_one_of_eight_workers_takes_over_and_no_other_worker_while_it_lives(sandbox: Sandbox) -> None:
    """All of them have met the record of the dead worker before the first one takes over."""
    lease.claim(_wanted("charge", "charge:p-1"))
    sandbox.advance(LEASE + timedelta(seconds=1))
    suspects: list[lease.CrashSuspected] = []
    for _ in range(8):
        with pytest.raises(lease.CrashSuspected) as met:
            lease.claim(_wanted("charge", "charge:p-1"))
        suspects.append(met.value)

    taken: list[lease.Lease] = []
    for suspect in suspects:
        with suppress(lease.Busy):
            taken.append(lease.take_over(_wanted("charge", "charge:p-1"), suspect))

    assert len(taken) == 1
    taken[0].complete(None)


def test_a_worker_whose_time_is_over_before_the_task_starts_does_not_start_it(sandbox: Sandbox) -> None:
    """Its claim has succeeded, and a call took the rest of its time. The task would be cut off at once, and charged."""
    jobs = Queue("stale", batch_size=10)
    seen: list[tuple[int, bool]] = []

    @task(jobs)
    def pay(ctx: Context) -> None:
        seen.append((ctx.attempt, ctx.remaining > timedelta()))

    handle = pay.enqueue()
    sandbox.crash_at(0)
    sandbox.run_once()
    sandbox.advance(
        jobs.visibility + timedelta(seconds=1)
    )  # the second receive has a visit, which ends after the claim
    updates: list[Call] = []

    def slow_at_the_visits_end(call: Call) -> object:
        answer = call.make()
        if call.operation == "UpdateItem":
            updates.append(call)
            if len(updates) == 2:
                sandbox.advance(jobs.timeout - timedelta(seconds=0.5))
        return answer

    with sandbox.fault(slow_at_the_visits_end):
        sandbox.run_once()
    assert seen == []
    sandbox.drain()
    assert seen == [(1, True)]
    assert handle.status().state == "succeeded"
