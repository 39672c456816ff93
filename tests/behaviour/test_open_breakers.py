"""The sweeper counts breakers that are open, for their alarms, and forgets those for which nobody comes."""

import json
from collections.abc import Iterator
from datetime import timedelta

import pytest

from celeriac import Backoff, Breaker, Queue, task
from celeriac.aws.client import client
from celeriac.declare import registry
from celeriac.flow import breaker, open_breakers, overrides, rows
from celeriac.flow.overrides import Override
from celeriac.model import names
from celeriac.relay import count_breakers, sweeper
from celeriac.testing import Sandbox
from celeriac.worker.event import Invocation
from tests.support.faults import out_of_reach

lines = Queue("breaker-lines", timeout=timedelta(minutes=1))
host = Breaker("host", failures=1, of=5, pause=timedelta(minutes=2), by="name")
calm = Breaker("calm")
down: set[str] = set()


@pytest.fixture(autouse=True)
def _well() -> Iterator[None]:
    down.clear()
    overrides.forget()
    yield
    overrides.forget()


@task(lines, limits=[host], retry=Backoff(base=timedelta(seconds=1), factor=1, jitter=0, attempts=500))
def call(name: str) -> None:
    if name in down:
        raise ConnectionError


@task(lines, limits=[calm])
def rest() -> None: ...


def _sweep(sandbox: Sandbox) -> None:
    with sandbox.worker():
        sweeper.handler({}, Invocation(names.sweeper_function("test"), "r", sandbox.now + timedelta(minutes=1)))


def _counted(sandbox: Sandbox, capsys: pytest.CaptureFixture[str]) -> dict[str, float]:
    """What a sweep writes of each breaker."""
    capsys.readouterr()
    _sweep(sandbox)
    blobs = [json.loads(line) for line in capsys.readouterr().out.splitlines() if '"OpenBreakers"' in line]
    assert all(blob["_aws"]["CloudWatchMetrics"][0]["Dimensions"] == [["service", "stage", "limit"]] for blob in blobs)
    return {blob["limit"]: blob["OpenBreakers"][0] for blob in blobs}


def _open(sandbox: Sandbox, *hosts: str) -> None:
    down.update(hosts)
    for name in hosts:
        call.enqueue(name=name)
    sandbox.run_once()


def test_open_breakers_are_counted_by_name_and_closed_ones_are_zero(
    sandbox: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _counted(sandbox, capsys) == {"calm": 0, "host": 0}
    _open(sandbox, "a", "b", "c")
    assert _counted(sandbox, capsys) == {"calm": 0, "host": 3}
    down.clear()
    sandbox.drain()
    assert _counted(sandbox, capsys) == {"calm": 0, "host": 0}


def test_a_breaker_that_stays_open_counts_all_the_time(sandbox: Sandbox, capsys: pytest.CaptureFixture[str]) -> None:
    _open(sandbox, "a")
    for _ in range(120):
        sandbox.advance(timedelta(minutes=1))
        sandbox.run_once()
        assert _counted(sandbox, capsys)["host"] == 1


def test_one_for_which_nobody_comes_is_forgotten_and_counts_again_when_it_opens_again(
    sandbox: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    _open(sandbox, "a")
    client("sqs").purge_queue(QueueUrl=client("sqs").get_queue_url(QueueName=lines.physical_name("test"))["QueueUrl"])
    sandbox.advance(host.pause + count_breakers.FORGOTTEN_AFTER - timedelta(seconds=30))
    assert _counted(sandbox, capsys)["host"] == 1
    sandbox.advance(timedelta(minutes=1))
    assert _counted(sandbox, capsys)["host"] == 0
    assert not [one for shard in open_breakers.shards() for one in open_breakers.listed(shard)]
    (item,) = client("dynamodb").scan(TableName=rows.table())["Items"]
    assert "open_until" in item  # it is half-open still: the next task tries alone

    call.enqueue(name="a")
    sandbox.run_once()
    assert _counted(sandbox, capsys)["host"] == 1


def test_one_that_opens_again_meanwhile_is_not_forgotten(sandbox: Sandbox) -> None:
    _open(sandbox, "a")
    (seen,) = [one for shard in open_breakers.shards() for one in open_breakers.listed(shard)]
    sandbox.advance(host.pause + timedelta(seconds=1))
    token = breaker.take_probe(seen.key, sandbox.now + timedelta(minutes=1), {seen.key: rows.read(seen.key)})
    assert token is not None
    breaker.probed(seen.key, token, host, failed=True)
    assert not open_breakers.leave(seen)
    (now,) = [one for shard in open_breakers.shards() for one in open_breakers.listed(shard)]
    assert now.due_at > seen.due_at


def test_one_that_an_operator_holds_open_counts(sandbox: Sandbox, capsys: pytest.CaptureFixture[str]) -> None:
    overrides.put("calm", Override(is_open=True))
    assert _counted(sandbox, capsys) == {"calm": 1, "host": 0}


@pytest.mark.parametrize("operation", ["Query", "GetItem"])
def test_a_table_out_of_reach_writes_no_number_and_stops_no_sweep(
    sandbox: Sandbox, capsys: pytest.CaptureFixture[str], operation: str
) -> None:
    _open(sandbox, "a")
    with out_of_reach("dynamodb", operation):
        assert _counted(sandbox, capsys) == {}
    assert _counted(sandbox, capsys)["host"] == 1


def _reads(sandbox: Sandbox) -> tuple[int, int]:
    """The queries and reads of DynamoDB that a sweep makes."""
    sandbox.calls.clear()
    _sweep(sandbox)
    return sandbox.calls["dynamodb", "Query"], sandbox.calls["dynamodb", "GetItem"]


def test_a_stage_without_breakers_pays_nothing(sandbox: Sandbox) -> None:
    _sweep(sandbox)  # what a worker does once only
    queries, reads = _reads(sandbox)
    limited = [one for one in registry.tasks.values() if one.limits]
    for one in limited:
        del registry.tasks[one.name]
    try:
        assert _reads(sandbox) == (queries - breaker.SHARDS, reads - 1)
    finally:
        registry.tasks.update({one.name: one for one in limited})


def test_a_sweep_forgets_a_few_of_many(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(count_breakers, "MOST_FORGOTTEN", 1)
    monkeypatch.setattr(breaker, "SHARDS", 1)
    monkeypatch.setattr(open_breakers, "SHARDS", 1)
    _open(sandbox, "a", "b", "c")
    sandbox.advance(host.pause + count_breakers.FORGOTTEN_AFTER + timedelta(minutes=1))
    for left in (2, 1, 0):
        _sweep(sandbox)
        assert len(open_breakers.listed("due-0")) == left


def test_of_more_than_can_be_listed_those_that_are_open_come_first(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(breaker, "SHARDS", 1)
    monkeypatch.setattr(open_breakers, "SHARDS", 1)
    monkeypatch.setattr(open_breakers, "MOST_LISTED", 2)
    _open(sandbox, "a", "b", "c")
    client("sqs").purge_queue(QueueUrl=client("sqs").get_queue_url(QueueName=lines.physical_name("test"))["QueueUrl"])
    sandbox.advance(timedelta(minutes=16, seconds=30))
    _open(sandbox, "d")
    sandbox.advance(timedelta(minutes=1))
    assert _counted(sandbox, capsys)["host"] == 1
