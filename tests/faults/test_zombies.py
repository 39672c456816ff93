"""A worker that outlived its lease can neither complete nor release its successor's."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from celeriac import Context, Queue, task
from celeriac.aws.client import client
from celeriac.leases import lease
from celeriac.model.failure import Failure
from celeriac.testing import Sandbox
from tests.injection import registered

RETENTION = timedelta(days=18)
LEASE = timedelta(seconds=30)


FAILURE = Failure(reason="failed")


def _claim() -> lease.Lease:
    return lease.take_over(_wanted("charge", "charge:p-1"))


def _wanted(task: str, key: str) -> lease.Claim:
    return lease.Claim(task, key, "the id", 1, datetime.now(UTC) + LEASE, RETENTION)


@pytest.fixture
def zombie_and_successor(sandbox: Sandbox) -> tuple[lease.Lease, lease.Lease]:
    zombie = _claim()
    sandbox.advance(LEASE + timedelta(seconds=1))
    return zombie, _claim()


type Leases = tuple[lease.Lease, lease.Lease]


def test_a_zombie_cannot_complete_its_successors_lease(zombie_and_successor: Leases) -> None:
    zombie, successor = zombie_and_successor
    with pytest.raises(lease.LeaseLostError):
        zombie.complete("the zombie's result")
    successor.complete("the successor's result")
    with pytest.raises(lease.AlreadyDone):
        _claim()


def test_a_zombie_cannot_release_its_successors_lease(zombie_and_successor: Leases) -> None:
    zombie, _ = zombie_and_successor
    with pytest.raises(lease.LeaseLostError):
        zombie.retrying(FAILURE)
    with pytest.raises(lease.Busy):
        _claim()


def test_a_zombie_cannot_undo_its_successors_success(zombie_and_successor: Leases) -> None:
    zombie, successor = zombie_and_successor
    successor.complete(None)
    with pytest.raises(lease.LeaseLostError):
        zombie.retrying(FAILURE)
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


def test_a_lease_ends_when_its_retention_does(sandbox: Sandbox) -> None:
    _claim().complete(None)
    sandbox.advance(RETENTION + timedelta(seconds=1))
    _claim()  # TTL hasn't come by, the record has expired all the same


def test_a_zombies_transaction_commits_nothing_and_its_message_stays(sandbox: Sandbox) -> None:
    jobs = Queue("zombies")
    runs: list[int] = []

    @task(jobs, key="name")
    def transfer(ctx: Context, name: str) -> None:
        runs.append(ctx.attempt)
        if len(runs) == 1:
            # The worker was frozen for longer than its lease, and its successor has done the work.
            sandbox.advance(jobs.visibility + timedelta(seconds=1))
            transfer.enqueue(name=name)
            lease.take_over(_wanted("transfer", ctx.key)).complete(None)
        with ctx.transaction() as tx:
            tx.put("payments", {"pk": f"{name}-{len(runs)}"})

    transfer.enqueue(name="a")
    sandbox.drain()

    assert runs == [1]
    assert client("dynamodb").scan(TableName="celeriac-test-payments")["Count"] == 0
    assert sandbox.dead_letters(jobs) == []


def test_a_zombie_that_learns_of_it_in_its_transaction_sends_no_successor(sandbox: Sandbox) -> None:
    jobs = Queue("zombies")
    seen: list[int] = []

    @task(jobs)
    def slow(ctx: Context) -> None:
        seen.append(ctx.attempt)
        if len(seen) == 1:
            # Frozen beyond its lease; meanwhile another worker takes over, and is at it.
            sandbox.advance(timedelta(hours=1))
            wanted = lease.Claim("slow", ctx.key, ctx.id, 1, sandbox.now + LEASE, RETENTION)
            lease.take_over(wanted)
        with ctx.transaction() as tx:
            tx.put("payments", {"pk": "p-1"})

    handle = slow.enqueue()
    sandbox.run_once()
    assert sandbox.calls["sqs", "SendMessage"] == 1
    sandbox.drain()
    assert seen == [1, 1]
    assert handle.status().state == "succeeded"


def test_a_record_is_read_as_it_is_now(sandbox: Sandbox) -> None:
    reads: list[dict[str, object]] = []

    def note(params: dict[str, str], **_: object) -> None:
        reads.append(json.loads(params["body"]))

    with registered("dynamodb", "before-call.dynamodb.GetItem", note):
        lease.look_up("charge", "charge:p-1", RETENTION)
    assert [read["ConsistentRead"] for read in reads] == [True]
