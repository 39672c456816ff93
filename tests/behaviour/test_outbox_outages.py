"""The outbox while something can't be reached: what is healthy is sent once, in time and in order."""

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest

import celeriac
from celeriac import Context, Outbox, Queue, task
from celeriac.aws.client import client
from celeriac.testing import Call, Sandbox, WorkerDied
from celeriac.testing.kinds import never_arrived, throttled
from tests.application import tables

well = Queue("outage-well", fifo=True, batch_size=10)
ill = Queue("outage-ill", fifo=True, batch_size=10)
plain = Queue("outage-plain", batch_size=10)
told: list[tuple[str, str, int]] = []
OUTAGE = timedelta(hours=2)


@pytest.fixture(autouse=True)
def _empty() -> None:
    told.clear()


@task(well, on="outage.*")
def book(ctx: Context, number: int) -> None:
    told.append(("book", ctx.group or "", number))


@task(ill, on="outage.both")
def tell(ctx: Context, number: int) -> None:
    told.append(("tell", ctx.group or "", number))


@task(plain)
def later(number: int) -> None:
    told.append(("later", "", number))


class Sends:
    """Counts what AWS took, message by message, and lets the calls fail that match while it lasts."""

    def __init__(self) -> None:
        self.messages: Counter[tuple[str, int]] = Counter()
        self.tries: Counter[str] = Counter()

    @contextmanager
    def without(
        self, sandbox: Sandbox, operation: str, target: str = "", strike: Any = never_arrived
    ) -> Iterator[None]:
        def hook(call: Call) -> Any:
            name = str(call.arguments.get("QueueUrl", ""))
            if call.operation == operation and target in name and _by_relay(call):
                self.tries[operation] += 1
                return strike(call)
            answer = call.make()
            if call.operation == "SendMessageBatch":
                bodies = [json.loads(entry["MessageBody"]) for entry in call.arguments["Entries"]]
                self.messages.update((body["task"], body["args"]["number"]) for body in bodies)
            return answer

        with sandbox.fault(hook):
            yield


def _by_relay(call: Call) -> bool:
    """Whether a write is one of the relay's or the sweeper's: it updates rows of the outbox."""
    if call.operation != "TransactWriteItems":
        return True
    return all("Update" in action for action in call.arguments["TransactItems"])


def _emit(event: str, number: int, aggregate: str | None) -> None:
    with celeriac.transaction() as tx:
        tx.emit(event, {"number": number}, aggregate=aggregate)


def _ran(name: str, aggregate: str) -> list[int]:
    return [number for ran, group, number in told if (ran, group) == (name, aggregate)]


def _pass(sandbox: Sandbox, time: timedelta) -> None:
    """Let time pass as on AWS: relay and sweeper run each minute."""
    for _ in range(time // timedelta(minutes=1)):
        sandbox.run_once()
        sandbox.advance(timedelta(minutes=1))
    sandbox.run_once()


def test_a_queue_that_cannot_be_reached_for_hours_repeats_and_delays_nothing_else(sandbox: Sandbox) -> None:
    sends = Sends()
    with sends.without(sandbox, "SendMessageBatch", "outage-ill"):
        for number in range(10):
            _emit("outage.both", number, f"item-{number % 2}")
            _emit("outage.well", 100 + number, "other")
        sandbox.run_once()
        assert _ran("book", "other") == list(range(100, 110))  # within the first second
        _pass(sandbox, OUTAGE)
        assert _ran("book", "item-0") == [0, 2, 4, 6, 8]  # the other subscriber of the same events
    assert [times for (name, _), times in sends.messages.items() if name == "book"] == [1] * 20
    # The relay tried once, and each sweep once.
    assert sends.tries["SendMessageBatch"] <= 1 + OUTAGE // timedelta(minutes=1)

    with sends.without(sandbox, "nothing"):
        _pass(sandbox, timedelta(minutes=2))
    assert _ran("tell", "item-0") == [0, 2, 4, 6, 8]
    assert _ran("tell", "item-1") == [1, 3, 5, 7, 9]
    assert set(sends.messages.values()) == {1}
    assert all("waiting" not in row for row in _rows())


def test_no_later_event_overtakes_those_that_wait_for_the_sweeper(sandbox: Sandbox) -> None:
    sends = Sends()
    with sends.without(sandbox, "SendMessageBatch", "outage-ill"):
        for number in range(3):
            _emit("outage.both", number, "item")
        sandbox.run_once()
    sandbox.advance(timedelta(seconds=1))
    sandbox.replace_workers()  # another worker has the next records
    _emit("outage.both", 3, "item")  # the queue is back, the sweeper hasn't run yet
    sandbox.run_once()
    assert _ran("tell", "item") == []
    _emit("outage.both", 4, "free")
    sandbox.advance(timedelta(minutes=1))
    sandbox.run_once()
    assert _ran("tell", "free") == [4]
    sandbox.drain()
    assert _ran("tell", "item") == [0, 1, 2, 3]
    _emit("outage.both", 5, "item")
    sandbox.run_once()
    assert _ran("tell", "item") == [0, 1, 2, 3, 5]  # the aggregate is free again: the relay itself sends


def test_events_are_sent_twice_at_most_while_they_cannot_be_marked(sandbox: Sandbox) -> None:
    sends = Sends()
    with sends.without(sandbox, "TransactWriteItems", strike=throttled):
        for number in range(20):
            _emit("outage.well", number, f"item-{number % 3}")
        _pass(sandbox, timedelta(minutes=10))
    assert max(sends.messages.values()) <= 2
    assert len(told) == 20
    sandbox.drain()
    assert all("published_at" in row and "waiting" not in row for row in _rows())


def test_a_bus_that_cannot_be_reached_repeats_no_message(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "outbox", Outbox(bus=True), raising=False)
    client("events").create_event_bus(Name="celeriac-test")
    sends = Sends()
    with sends.without(sandbox, "PutEvents", strike=throttled):
        for number in range(20):
            _emit("outage.well", number, "item")
        _pass(sandbox, timedelta(minutes=10))
        _emit("outage.well", 20, "item")
        sandbox.run_once()
        assert _ran("book", "item") == list(range(21))  # a bus has no order, so no queue waits for it
    assert set(sends.messages.values()) == {1}
    sandbox.drain()
    assert all("published_at" in row for row in _rows())


def test_a_queue_that_cannot_be_reached_repeats_no_event_on_the_bus(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "outbox", Outbox(bus=True), raising=False)
    client("events").create_event_bus(Name="celeriac-test")
    sends = Sends()
    with sends.without(sandbox, "SendMessageBatch", "outage-ill"):
        for number in range(5):
            _emit("outage.both", number, "item")
        _pass(sandbox, timedelta(minutes=10))
    assert sandbox.calls["events", "PutEvents"] == 1
    sandbox.drain()
    assert sandbox.calls["events", "PutEvents"] == 1
    assert _ran("tell", "item") == _ran("book", "item") == [0, 1, 2, 3, 4]


def test_a_scheduler_that_cannot_be_reached_is_tried_once_in_a_minute(sandbox: Sandbox) -> None:
    sends = Sends()
    with sends.without(sandbox, "CreateSchedule"):
        with celeriac.transaction() as tx:
            for number in range(20):
                tx.enqueue(later.options(delay=timedelta(hours=1)), number=number)
                tx.emit("outage.well", {"number": number}, aggregate="item")
        sandbox.run_once()
        assert sends.tries == {"CreateSchedule": 1}
        _pass(sandbox, timedelta(minutes=10))
        assert sends.tries["CreateSchedule"] <= 11
    assert _ran("book", "item") == list(range(20))
    assert max(sends.messages.values()) == 1
    sandbox.drain()
    assert len([name for name, *_ in told if name == "later"]) == 20


def test_a_payload_bucket_that_cannot_be_reached_is_tried_once_in_a_minute(sandbox: Sandbox) -> None:
    @task(plain, on="bulky.event")
    def read(number: int, filler: str) -> None:
        told.append(("read", "", number))

    sends = Sends()
    with sends.without(sandbox, "PutObject"):
        for number in range(5):
            with celeriac.transaction() as tx:
                tx.emit("bulky.event", {"number": number, "filler": "x" * 300_000})
        _emit("outage.well", 0, "item")
        sandbox.run_once()
        assert sends.tries == {"PutObject": 1}
        assert _ran("book", "item") == [0]
    sandbox.drain()
    assert len(told) == 6


def test_while_its_table_cannot_be_read_an_ordered_event_waits_and_the_others_do_not(sandbox: Sandbox) -> None:
    @task(plain, on="plain.event")
    def hear(number: int) -> None:
        told.append(("hear", "", number))

    sends = Sends()
    with sends.without(sandbox, "BatchGetItem", strike=throttled):
        for number in range(5):
            _emit("outage.well", number, "item")
            _emit("plain.event", number, None)
        _pass(sandbox, timedelta(minutes=10))
        assert len([name for name, *_ in told if name == "hear"]) == 5
    sandbox.drain()
    assert _ran("book", "item") == [0, 1, 2, 3, 4]
    assert set(sends.messages.values()) == {1}


def test_if_the_order_cannot_be_noted_lambda_delivers_again_and_nothing_is_repeated(sandbox: Sandbox) -> None:
    """Neither the queue nor the table answers. The record is named, and those behind it are done."""
    sends = Sends()
    with sends.without(sandbox, "SendMessageBatch", "outage-ill"):

        def no_notes(call: Call) -> Any:
            if call.operation == "TransactWriteItems" and "celeriac#held#" in str(call.arguments):
                return throttled(call)
            return call.make()

        with sandbox.fault(no_notes):
            for number in range(5):
                _emit("outage.both", number, "item")
                _emit("outage.well", 100 + number, "other")
            for _ in range(3):  # Lambda is back while the records are young
                sandbox.run_once()
                sandbox.advance(timedelta(seconds=4))
            _pass(sandbox, timedelta(minutes=3))
            _emit("outage.both", 5, "item")
            _pass(sandbox, timedelta(minutes=3))
    assert _ran("book", "other") == [100, 101, 102, 103, 104]
    sandbox.replace_workers()
    _emit("outage.both", 6, "item")  # a relay that knows nothing of the outage gets this one behind the others
    sandbox.drain()
    assert _ran("tell", "item") == [0, 1, 2, 3, 4, 5, 6]
    assert max(sends.messages.values()) == 1


def test_no_event_overtakes_one_that_the_stream_gave_up_on(sandbox: Sandbox) -> None:
    """The relay has never seen it. The sweeper could not send it, and notes that its aggregate waits."""
    sends = Sends()
    with sends.without(sandbox, "SendMessageBatch", "outage-ill"):
        _emit("outage.both", 0, "item")
        sandbox.advance(OUTAGE)
        sandbox.run_once()
    sandbox.replace_workers()
    _emit("outage.both", 1, "item")
    sandbox.run_once()
    assert _ran("tell", "item") == []
    sandbox.drain()
    assert _ran("tell", "item") == [0, 1]


def test_a_relay_that_dies_after_sending_repeats_only_that_batch(sandbox: Sandbox) -> None:
    for number in range(5):
        _emit("outage.well", number, "item")
    before = sandbox.calls["sqs", "SendMessageBatch"]
    sandbox.crash_at(7)  # five batches of one event, and the marks are the seventh call
    sandbox.run_once()
    sandbox.drain()
    assert _ran("book", "item") == [0, 1, 2, 3, 4]
    assert sandbox.calls["sqs", "SendMessageBatch"] - before <= 2 * 5


def test_records_that_the_relay_gets_late_are_not_sent_again(sandbox: Sandbox) -> None:
    """The sweeper has published them while the relay was behind."""
    for number in range(10):
        _emit("outage.well", number, "item")
    sends = Sends()
    with sends.without(sandbox, "nothing"):
        sandbox._pollers._next_relay = sandbox.now + timedelta(minutes=5)
        _pass(sandbox, timedelta(minutes=10))
    assert _ran("book", "item") == list(range(10))
    assert set(sends.messages.values()) == {1}


def test_workers_that_die_in_an_outage_lose_no_order(sandbox: Sandbox) -> None:
    sends = Sends()
    for nth in range(1, 8):
        with sends.without(sandbox, "SendMessageBatch", "outage-ill"):
            left = nth

            def die(call: Call) -> Any:
                nonlocal left
                left -= 1
                if left == 0:
                    raise WorkerDied
                return call.make()

            with sandbox.fault(die):
                for number in range(3):
                    _emit("outage.both", number, f"item-{nth}")
                sandbox.run_once()
        _emit("outage.both", 3, f"item-{nth}")
        sandbox.drain()
        assert _ran("tell", f"item-{nth}") == [0, 1, 2, 3]


def _rows() -> list[dict[str, Any]]:
    return client("dynamodb").scan(TableName="celeriac-test--outbox")["Items"]
