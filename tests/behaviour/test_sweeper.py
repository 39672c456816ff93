"""The sweeper: it publishes, within minutes and in the same way, the events that the relay left behind."""

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest

import celeriac
from celeriac import Context, Queue, task
from celeriac.aws import schedules, sqs
from celeriac.aws.client import client
from celeriac.enqueue.outbox_row import PARKED, SHARDS, new_row, shard
from celeriac.flow.batches import root
from celeriac.model import names
from celeriac.relay import delayed, measure, sweeper, unpublished
from celeriac.testing import Call, Sandbox, WorkerDied
from celeriac.testing.account import lying_in
from celeriac.worker.event import Invocation
from tests.support.faults import out_of_reach, refused, registered

ledger = Queue("swept", fifo=True, batch_size=10)
reminders = Queue("swept-reminders")
told: list[tuple[str, int]] = []


@pytest.fixture(autouse=True)
def _empty() -> None:
    told.clear()


@task(ledger, on="swept.event")
def book(ctx: Context, number: int) -> None:
    told.append((ctx.group or "", number))


@task(reminders)
def remind(number: int) -> None: ...


def _emit(count: int, aggregates: int = 1) -> None:
    for number in range(count):
        with celeriac.transaction() as tx:
            tx.emit("swept.event", {"number": number}, aggregate=f"item-{number % aggregates}")


def test_events_that_the_stream_gave_up_on_are_published_in_order(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unpublished, "PAGE", 10)
    _emit(25, aggregates=3)
    sandbox.advance(timedelta(hours=13))
    sandbox.drain()
    for aggregate in range(3):
        numbers = [number for group, number in told if group == f"item-{aggregate}"]
        assert numbers == list(range(aggregate, 25, 3))
    assert unpublished.lag() == (None, 0)


def test_the_sweeper_leaves_events_younger_than_a_minute_to_the_relay(sandbox: Sandbox) -> None:
    _emit(1)
    assert sweeper.handler({}, _context(sandbox))["published"] == 0
    sandbox.advance(timedelta(minutes=1, seconds=1))
    assert sweeper.handler({}, _context(sandbox))["published"] == 1


def test_no_event_runs_twice_if_relay_and_sweeper_both_publish_it(sandbox: Sandbox) -> None:
    _emit(30, aggregates=4)
    sandbox.advance(timedelta(minutes=2))  # the relay is late, so the sweeper and the relay both publish
    assert sweeper.handler({}, _context(sandbox))["published"] == 30
    sandbox.drain()
    assert len(told) == len(set(told)) == 30


def test_an_aggregate_that_cannot_be_sent_does_not_block_others_of_its_shard(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unpublished, "PAGE", 2)
    stuck, healthy = "stuck", next(name for name in map(str, range(1000)) if shard(name) == shard("stuck"))
    for aggregate in (stuck, stuck, stuck, healthy):
        with celeriac.transaction() as tx:
            tx.emit("swept.event", {"number": int(aggregate == healthy)}, aggregate=aggregate)
    sandbox.advance(timedelta(hours=13))
    with refused(lambda message: message["args"] == {"number": 0}, times=3), sandbox.worker():
        assert sweeper.handler({}, _context(sandbox))["published"] == 1


def test_events_of_many_aggregates_are_spread_over_all_shards() -> None:
    assert len({shard(f"item-{number}") for number in range(100)}) == SHARDS


def test_the_sweeper_parks_an_unreadable_row(sandbox: Sandbox) -> None:
    row = new_row("swept.event", "item") | {"data": {"S": "[]"}}
    client("dynamodb").put_item(TableName="celeriac-test--outbox", Item=row)
    sandbox.advance(timedelta(hours=13))
    assert sweeper.handler({}, _context(sandbox))["published"] == 0
    assert unpublished.lag() == (None, 1)


def test_the_sweeper_skips_published_rows_that_the_index_still_shows(sandbox: Sandbox) -> None:
    _emit(1)
    sandbox.advance(timedelta(minutes=2))

    def publish_first(**_: object) -> None:
        (row,) = client("dynamodb").scan(TableName="celeriac-test--outbox")["Items"]
        row.pop("waiting", None)
        client("dynamodb").put_item(TableName="celeriac-test--outbox", Item=row)

    with registered("dynamodb", "before-call.dynamodb.BatchGetItem", publish_first):
        assert sweeper.handler({}, _context(sandbox))["published"] == 0


def test_the_sweeper_measures_before_it_sweeps_because_a_sweep_may_hang(
    sandbox: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    _emit(1)
    sandbox.advance(timedelta(minutes=7))
    capsys.readouterr()
    sandbox.crash_at(SHARDS + 3)  # in the middle of the sweep
    with sandbox.worker(), pytest.raises(WorkerDied):
        sweeper.handler({}, _context(sandbox))
    assert _metrics(capsys.readouterr().out)["UnpublishedAge"] == 420


def test_the_sweeper_sweeps_even_if_it_cannot_measure(sandbox: Sandbox, caplog: pytest.LogCaptureFixture) -> None:
    _emit(1)
    sandbox.advance(timedelta(minutes=2))
    with out_of_reach("dynamodb", "Query", calls=range(1, 2)):
        assert sweeper.handler({}, _context(sandbox)) == {"published": 1}
    assert "outbox not measured" in caplog.text


def test_an_idle_sweep_makes_two_queries_for_each_shard_and_writes_nothing(sandbox: Sandbox) -> None:
    sandbox.advance(timedelta(minutes=1))  # delayed tasks are counted in every fifth minute
    sweeper.handler({}, _context(sandbox))
    # And one each for the parked rows, the rows of the future in one shard, and the unclaimed events of one type. And
    # those for batches that are due, and that are late.
    batches = 2 * root.SHARDS
    assert sandbox.calls == Counter({("dynamodb", "Query"): 2 * SHARDS + 3 + batches, ("sqs", "ListQueues"): 1})
    sandbox.advance(timedelta(minutes=16))
    sandbox.calls.clear()
    sweeper.handler({}, _context(sandbox))  # the worker is old: unclaimed events were found in its first minutes
    assert sandbox.calls == Counter({("dynamodb", "Query"): 2 * SHARDS + 2 + batches, ("sqs", "ListQueues"): 1})


def test_messages_in_queues_that_no_declaration_knows_are_measured(
    sandbox: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    of_rules = names.aws_event_dead_letters("test")  # known, whether or not a task has a rule
    kept = ("celeriac-test--swept-gone", "celeriac-test--swept-gone-dlq.fifo", "celeriac-test-eu--swept-gone", of_rules)
    for name in kept:
        fifo = {"FifoQueue": "true", "ContentBasedDeduplication": "true"} if name.endswith(".fifo") else {}
        client("sqs").create_queue(QueueName=name, Attributes=fifo)  # type: ignore[arg-type]  # literals
        sqs.send(name, sqs.Entry("{}", group="g" if fifo else None))
    sqs.send(ledger.physical_name("test"), sqs.Entry("{}", group="g", deduplication="d"))
    sweeper.handler({}, _context(sandbox))
    lines = capsys.readouterr().out.splitlines()
    found = [json.loads(line).get("MessagesInRemovedQueues") for line in lines if '"_aws"' in line]
    assert [each for each in found if each] == [[2.0]]


def test_a_sweep_that_cant_list_the_queues_still_ends(sandbox: Sandbox, caplog: pytest.LogCaptureFixture) -> None:
    with out_of_reach("sqs", "ListQueues"):
        assert sweeper.handler({}, _context(sandbox))["published"] == 0
    assert "removed queues not measured" in caplog.text


def test_a_sweep_that_runs_out_of_time_leaves_the_rest_to_the_next_sweep(sandbox: Sandbox) -> None:
    _emit(3, aggregates=3)
    sandbox.advance(timedelta(minutes=2))
    late = Invocation("sweeper", "r", sandbox.now + timedelta(seconds=5))
    assert sweeper.handler({}, late)["published"] == 0
    assert sweeper.handler({}, _context(sandbox))["published"] == 3


def test_the_sweeper_measures_the_age_of_the_oldest_event_and_the_number_of_parked_events(
    sandbox: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    _emit(1)
    with out_of_reach("sqs", "SendMessageBatch"):
        sandbox.advance(timedelta(minutes=7))
        capsys.readouterr()
        sweeper.handler({}, _context(sandbox))
    assert _metrics(capsys.readouterr().out) == {"UnpublishedAge": 420}

    sandbox.advance(timedelta(minutes=1))
    sweeper.handler({}, _context(sandbox))
    capsys.readouterr()
    sweeper.handler({}, _context(sandbox))
    assert _metrics(capsys.readouterr().out) == {"UnpublishedAge": 0}


def test_parked_events_are_measured_and_left_alone(sandbox: Sandbox, capsys: pytest.CaptureFixture[str]) -> None:
    with celeriac.transaction() as tx:
        tx.emit("swept.event", {"number": 1}, aggregate="item")
    table = "celeriac-test--outbox"
    (row,) = client("dynamodb").scan(TableName=table)["Items"]
    client("dynamodb").put_item(TableName=table, Item=row | {"waiting": {"S": "parked"}, "reason": {"S": "why"}})
    sandbox.advance(timedelta(minutes=7))
    capsys.readouterr()
    assert sweeper.handler({}, _context(sandbox)) == {"published": 0, "parked": 1, "age_seconds": 0}
    assert _metrics(capsys.readouterr().out)["ParkedEvents"] == 1


def test_delayed_tasks_are_counted_in_every_fifth_minute_up_to_a_thousand(
    sandbox: Sandbox, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    capsys.readouterr()
    assert sweeper.handler({}, _context(sandbox))["delayed"] == 0
    assert "Delayed" not in capsys.readouterr().out  # a metric costs money for each hour in which it is written
    monkeypatch.setattr(schedules, "PAGE", 5)
    monkeypatch.setattr(delayed, "MOST_COUNTED", 50)
    for number in range(61):
        remind.options(delay=timedelta(hours=2)).enqueue(number=number)
    counted = []
    for _ in range(10):
        sandbox.calls.clear()
        capsys.readouterr()
        sweeper.handler({}, _context(sandbox))
        listed = sandbox.calls["scheduler", "ListSchedules"]
        lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if '"Delayed"' in line]
        assert [(line["service"], line["stage"]) for line in lines] == [("tasks", "celeriac-test")] * len(lines)
        counted.append(([line["Delayed"] for line in lines], listed))
        sandbox.advance(timedelta(minutes=1))
    assert counted == [([[50]], 10), *[([], 0)] * 4] * 2


def test_a_sweep_goes_on_if_delayed_tasks_cannot_be_counted(
    sandbox: Sandbox, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    _emit(1)
    sandbox.advance(timedelta(minutes=5))
    with sandbox.outage("scheduler"), sandbox.worker():
        assert sweeper.handler({}, _context(sandbox)) == {"published": 1, "parked": 0, "age_seconds": 300}
    assert "delayed tasks not counted" in caplog.text


def test_a_sweep_without_time_counts_no_delayed_tasks(sandbox: Sandbox) -> None:
    late = Invocation("sweeper", "r", sandbox.now + timedelta(seconds=5))
    assert "delayed" not in sweeper.handler({}, late)
    assert sandbox.calls["scheduler", "ListSchedules"] == 0


def _context(sandbox: Sandbox) -> Invocation:
    return Invocation("sweeper", "r", sandbox.now + timedelta(minutes=1))


def _metrics(log: str) -> dict[str, Any]:
    """The metrics that CloudWatch reads in the log, in its embedded metric format."""
    (line,) = [json.loads(line) for line in log.splitlines() if '"_aws"' in line]
    (declared,) = line["_aws"]["CloudWatchMetrics"]
    assert declared["Namespace"] == "Celeriac"
    assert {line[name] for name in declared["Dimensions"][0]} == {"outbox", "celeriac-test"}
    return {metric["Name"]: line[metric["Name"]][0] for metric in declared["Metrics"]}


def test_a_sweep_counts_parked_rows_in_one_call_and_only_as_far_as_an_alarm_needs(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measure, "MOST_COUNTED", 10)
    for number in range(25):
        row = new_row("swept.event", f"item-{number}") | {"waiting": {"S": PARKED}, "reason": {"S": "why"}}
        client("dynamodb").put_item(TableName="celeriac-test--outbox", Item=row)
    sandbox.calls.clear()
    sandbox.advance(timedelta(minutes=16))
    assert sweeper.handler({}, _context(sandbox))["parked"] == 10
    assert sandbox.calls["dynamodb", "Query"] <= 2 * SHARDS + 3 + 2 * root.SHARDS
    assert unpublished.lag() == (None, 25)  # the command counts them all


def test_each_minute_another_shard_comes_first_and_none_starves(sandbox: Sandbox) -> None:
    """In the first shard is a row that takes all the time of a sweep and is refused."""
    names = {shard(name): name for name in map(str, range(1000))}
    for number, name in enumerate(names[each] for each in unpublished.shards()):
        with celeriac.transaction() as tx:
            tx.emit("swept.event", {"number": number}, aggregate=name)
    sandbox.advance(timedelta(minutes=10))
    with (
        refused(lambda message: message["args"]["number"] == 0, times=1_000_000),
        _slow(sandbox, "SendMessageBatch", timedelta(seconds=17)),
        sandbox.worker(),
    ):
        for _ in range(2 * SHARDS):
            _sweep(sandbox)
    assert sorted(_sent(sandbox)) == list(range(1, SHARDS))


def test_rows_that_cannot_be_sent_keep_no_row_behind_them_from_being_swept(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They and the rows behind them take all the time of a sweep. The next sweep goes on there, and keeps the order."""
    monkeypatch.setattr(unpublished, "PAGE", 2)
    mine = [name for name in map(str, range(1000)) if shard(name) == "shard-3"]
    for number in range(40):
        with celeriac.transaction() as tx:
            tx.emit("swept.event", {"number": number}, aggregate=mine[number % 4])
    sandbox.advance(timedelta(minutes=1))
    with celeriac.transaction() as tx:
        tx.emit("swept.event", {"number": 99}, aggregate=mine[5])
    sandbox.advance(timedelta(hours=13))
    with (
        refused(lambda message: message["args"]["number"] < 4, times=1_000_000),
        _slow(sandbox, "BatchGetItem", timedelta(seconds=5)),
        sandbox.worker(),
    ):
        for _ in range(2 * SHARDS):
            _sweep(sandbox)
    assert _sent(sandbox) == [99]
    sandbox.drain()
    for nth, name in enumerate(mine[:4]):
        assert [number for group, number in told if group == name] == list(range(nth, 40, 4))


def test_sweeper_and_stream_do_not_send_the_same_events(sandbox: Sandbox) -> None:
    """The relay was late by more than a minute, and the sweeper was there before it."""
    _emit(20, aggregates=3)
    sandbox.advance(timedelta(minutes=2))
    assert sweeper.handler({}, _context(sandbox))["published"] == 20
    sent = sandbox.calls["sqs", "SendMessageBatch"]
    sandbox.drain()
    assert sandbox.calls["sqs", "SendMessageBatch"] == sent
    assert len(told) == 20


@contextmanager
def _slow(sandbox: Sandbox, operation: str, time: timedelta) -> Iterator[None]:
    """Let a call of this operation take so long."""

    def hook(call: Call) -> Any:
        if call.operation == operation:
            sandbox.advance(time)
        return call.make()

    with sandbox.fault(hook):
        yield


def _sweep(sandbox: Sandbox) -> None:
    """Sweep once, and wait for the next minute."""
    begun = sandbox.now
    sweeper.handler({}, _context(sandbox))
    sandbox.advance(max(begun + timedelta(minutes=1) - sandbox.now, timedelta()))


def _sent(sandbox: Sandbox) -> list[int]:
    """The numbers of the messages in the queue, in the order in which they were sent."""
    found = lying_in(sqs.url(ledger.physical_name("test")))
    return [json.loads(message["Body"])["args"]["number"] for message in found]
