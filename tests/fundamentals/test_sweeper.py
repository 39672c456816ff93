"""The sweeper: what the relay has left behind is published within minutes, the same way."""

import json
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest

import celeriac
from celeriac import Context, Queue, task
from celeriac.aws.client import client
from celeriac.enqueue.outbox_row import SHARDS, new_row, shard
from celeriac.relay import sweeper, unpublished
from celeriac.testing import Sandbox, WorkerDied
from celeriac.testing.lambda_ import Invocation
from tests.injection import out_of_reach, refused, registered

ledger = Queue("swept", fifo=True)
told: list[tuple[str, int]] = []


@pytest.fixture(autouse=True)
def _empty() -> None:
    told.clear()


@task(ledger, on="swept.event")
def book(ctx: Context, number: int) -> None:
    told.append((ctx.group or "", number))


def _emit(count: int, aggregates: int = 1) -> None:
    for number in range(count):
        with celeriac.transaction() as tx:
            tx.emit("swept.event", {"number": number}, aggregate=f"item-{number % aggregates}")


def test_what_the_stream_gave_up_on_is_published_in_order(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpublished, "PAGE", 10)
    _emit(25, aggregates=3)
    sandbox.advance(timedelta(hours=2))
    sandbox.drain()
    for aggregate in range(3):
        numbers = [number for group, number in told if group == f"item-{aggregate}"]
        assert numbers == list(range(aggregate, 25, 3))
    assert unpublished.lag() == (None, 0)


def test_an_event_younger_than_a_minute_is_the_relays(sandbox: Sandbox) -> None:
    _emit(1)
    assert sweeper.handle({}, _context(sandbox))["published"] == 0
    sandbox.advance(timedelta(minutes=1, seconds=1))
    assert sweeper.handle({}, _context(sandbox))["published"] == 1


def test_beside_a_running_relay_nothing_happens_twice(sandbox: Sandbox) -> None:
    _emit(30, aggregates=4)
    sandbox.advance(timedelta(minutes=2))  # the relay is late, and then both are at it
    assert sweeper.handle({}, _context(sandbox))["published"] == 30
    sandbox.drain()
    assert len(told) == len(set(told)) == 30


def test_an_aggregate_that_cannot_be_sent_starves_no_other_of_its_shard(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unpublished, "PAGE", 2)
    stuck, healthy = "stuck", next(name for name in map(str, range(1000)) if shard(name) == shard("stuck"))
    for aggregate in (stuck, stuck, stuck, healthy):
        with celeriac.transaction() as tx:
            tx.emit("swept.event", {"number": int(aggregate == healthy)}, aggregate=aggregate)
    sandbox.advance(timedelta(hours=2))
    with refused(lambda message: message["args"] == {"number": 0}, times=3), sandbox.worker():
        assert sweeper.handle({}, _context(sandbox))["published"] == 1


def test_events_of_many_aggregates_lie_in_many_shards() -> None:
    assert len({shard(f"item-{number}") for number in range(100)}) == SHARDS


def test_what_it_cannot_read_is_parked(sandbox: Sandbox) -> None:
    row = new_row("swept.event", "item") | {"data": {"S": "[]"}}
    client("dynamodb").put_item(TableName="celeriac-test-outbox", Item=row)
    sandbox.advance(timedelta(hours=2))
    assert sweeper.handle({}, _context(sandbox))["published"] == 0
    assert unpublished.lag() == (None, 1)


def test_what_the_index_still_shows_though_it_is_published_is_left_alone(sandbox: Sandbox) -> None:
    _emit(1)
    sandbox.advance(timedelta(minutes=2))

    def publish_first(**_: object) -> None:
        (row,) = client("dynamodb").scan(TableName="celeriac-test-outbox")["Items"]
        row.pop("waiting", None)
        client("dynamodb").put_item(TableName="celeriac-test-outbox", Item=row)

    with registered("dynamodb", "before-call.dynamodb.BatchGetItem", publish_first):
        assert sweeper.handle({}, _context(sandbox))["published"] == 0


def test_it_measures_before_it_sweeps_since_a_sweep_may_hang(
    sandbox: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    _emit(1)
    sandbox.advance(timedelta(minutes=7))
    capsys.readouterr()
    sandbox.crash_at(SHARDS + 3)  # in the middle of the sweep
    with sandbox.worker(), pytest.raises(WorkerDied):
        sweeper.handle({}, _context(sandbox))
    assert _metrics(capsys.readouterr().out)["UnpublishedAge"] == 420


def test_where_it_cannot_measure_it_sweeps_all_the_same(sandbox: Sandbox, caplog: pytest.LogCaptureFixture) -> None:
    _emit(1)
    sandbox.advance(timedelta(minutes=2))
    with out_of_reach("dynamodb", "Query", calls=range(1, 2)):
        assert sweeper.handle({}, _context(sandbox)) == {"published": 1}
    assert "outbox not measured" in caplog.text


def test_an_idle_sweep_costs_a_query_for_each_shard_twice_and_writes_nothing(sandbox: Sandbox) -> None:
    sweeper.handle({}, _context(sandbox))
    assert sandbox.calls == Counter({("dynamodb", "Query"): 2 * SHARDS + 1})


def test_a_sweep_that_is_out_of_time_leaves_the_rest_to_the_next(sandbox: Sandbox) -> None:
    _emit(3, aggregates=3)
    sandbox.advance(timedelta(minutes=2))
    late = Invocation("sweeper", "r", sandbox.now + timedelta(seconds=5))
    assert sweeper.handle({}, late)["published"] == 0
    assert sweeper.handle({}, _context(sandbox))["published"] == 3


def test_it_measures_how_long_the_oldest_has_waited_and_what_is_parked(
    sandbox: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    _emit(1)
    with out_of_reach("sqs", "SendMessageBatch"):
        sandbox.advance(timedelta(minutes=7))
        capsys.readouterr()
        sweeper.handle({}, _context(sandbox))
    assert _metrics(capsys.readouterr().out) == {"UnpublishedAge": 420, "ParkedEvents": 0}

    sweeper.handle({}, _context(sandbox))
    capsys.readouterr()
    sweeper.handle({}, _context(sandbox))
    assert _metrics(capsys.readouterr().out) == {"UnpublishedAge": 0, "ParkedEvents": 0}


def test_parked_events_are_measured_and_left_alone(sandbox: Sandbox, capsys: pytest.CaptureFixture[str]) -> None:
    with celeriac.transaction() as tx:
        tx.emit("swept.event", {"number": 1}, aggregate="item")
    table = "celeriac-test-outbox"
    (row,) = client("dynamodb").scan(TableName=table)["Items"]
    client("dynamodb").put_item(TableName=table, Item=row | {"waiting": {"S": "parked"}, "reason": {"S": "why"}})
    sandbox.advance(timedelta(minutes=7))
    capsys.readouterr()
    assert sweeper.handle({}, _context(sandbox)) == {"published": 0, "parked": 1, "age_seconds": 0}
    assert _metrics(capsys.readouterr().out)["ParkedEvents"] == 1


def _context(sandbox: Sandbox) -> Invocation:
    return Invocation("sweeper", "r", sandbox.now + timedelta(minutes=1))


def _metrics(log: str) -> dict[str, Any]:
    """What CloudWatch reads in the log, by its embedded metric format."""
    (line,) = [json.loads(line) for line in log.splitlines() if '"_aws"' in line]
    (declared,) = line["_aws"]["CloudWatchMetrics"]
    assert declared["Namespace"] == "Celeriac"
    assert {line[name] for name in declared["Dimensions"][0]} == {"outbox", "test"}
    return {metric["Name"]: line[metric["Name"]][0] for metric in declared["Metrics"]}
