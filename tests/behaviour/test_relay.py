"""The relay: how events reach their subscribers, what that costs, and what happens to unpublishable events."""

import json
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest

import celeriac
from celeriac import Context, Outbox, Queue, task
from celeriac.aws import sqs
from celeriac.aws.client import client
from celeriac.enqueue.outbox_row import PARKED, new_row, read, task_start
from celeriac.enqueue.transaction import Transaction
from celeriac.relay.batches import spread
from celeriac.relay.mark import mark
from celeriac.testing import Sandbox
from tests.application import tables
from tests.support.clients import every_client
from tests.support.faults import out_of_reach, refused, registered

shop = Queue("relayed", batch_size=10)
ledger = Queue("relayed-ledger", fifo=True, batch_size=10)
told: list[tuple[str, int]] = []


@pytest.fixture(autouse=True)
def _empty() -> None:
    told.clear()


@task(shop, on="stock.changed")
def count(number: int) -> None:
    told.append(("count", number))


@task(ledger, on="stock.*")
def book(ctx: Context, number: int) -> None:
    told.append((ctx.group or "", number))


def _emit(number: int, aggregate: str, tx: Transaction | None = None) -> None:
    if tx is not None:
        tx.emit("stock.changed", {"number": number}, aggregate=aggregate)
        return
    with celeriac.transaction() as one:
        one.emit("stock.changed", {"number": number}, aggregate=aggregate)


def _booked(aggregate: str) -> list[int]:
    return [number for name, number in told if name == aggregate]


def _rows() -> list[dict[str, Any]]:
    return client("dynamodb").scan(TableName="celeriac-test--outbox")["Items"]


@pytest.mark.parametrize("aggregates", [1, 7, 100])
def test_a_hundred_events_cost_ten_calls_for_each_queue_and_one_to_mark_them(sandbox: Sandbox, aggregates: int) -> None:
    with celeriac.transaction() as tx:
        for number in range(100):
            _emit(number, f"item-{number % aggregates}", tx)
    before = Counter(sandbox.calls)
    sandbox.run_once()
    spent = sandbox.calls - before
    assert spent["sqs", "SendMessageBatch"] == 2 * 10
    assert spent["dynamodb", "TransactWriteItems"] == 1
    assert spent["sqs", "SendMessage"] == 0

    sandbox.drain()
    assert sorted(_booked("count")) == list(range(100))
    for aggregate in range(aggregates):
        assert _booked(f"item-{aggregate}") == list(range(aggregate, 100, aggregates))


def test_events_of_one_transaction_keep_their_order(sandbox: Sandbox) -> None:
    with celeriac.transaction() as tx:
        for number in range(20):
            _emit(number, "item", tx)
    sandbox.drain()
    assert _booked("item") == list(range(20))


def test_the_refused_part_of_a_batch_is_sent_again_before_it_is_handed_back(sandbox: Sandbox) -> None:
    with refused(lambda message: message["args"] == {"number": 3}, times=2):
        for number in range(6):
            _emit(number, f"item-{number % 2}")
        sandbox.run_once()
        assert sorted(_booked("count")) == list(range(6))
    assert all("published_at" in row for row in _rows())


def test_an_event_that_sqs_refuses_holds_back_only_its_own_aggregate(sandbox: Sandbox) -> None:
    with refused(lambda message: message["args"] == {"number": 0} and message["task"] == "book", times=3):
        for number in range(50):  # five batches: the events behind number 0 are in other batches
            _emit(number, "held" if number % 20 == 0 else f"item-{number}")
        sandbox.run_once()
        assert _booked("held") == []
        assert len(told) == 50 + 47
    sandbox.drain()
    assert _booked("held") == [0, 20, 40]
    assert len(told) == 50 + 50


def test_a_failed_call_is_handed_back_and_made_again(sandbox: Sandbox) -> None:
    with out_of_reach("sqs", "SendMessageBatch", calls=range(1, 4)):
        for number in range(3):
            _emit(number, "item")
        sandbox.drain()
    assert _booked("item") == [0, 1, 2]
    assert sorted(_booked("count")) == [0, 1, 2]


def test_an_event_that_can_never_be_published_is_parked_with_its_reason_and_blocks_no_other(sandbox: Sandbox) -> None:
    gone = Queue("gone", batch_size=10)

    @task(gone, on="stock.changed")
    def unreachable(number: int) -> None: ...

    client("sqs").delete_queue(QueueUrl=sqs.url("celeriac-test--gone"))
    _emit(1, "item")
    with celeriac.transaction() as tx:
        tx.emit("stock.counted", {"number": 2}, aggregate="item")
    sandbox.drain()

    assert _booked("item") == [1, 2]  # the event's other subscribers get it, and the event behind it is published
    parked, published = sorted(_rows(), key=lambda row: row["type"]["S"])
    assert parked["waiting"]["S"] == PARKED
    assert "there is no queue celeriac-test--gone" in parked["reason"]["S"]
    assert "published_at" in published


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({"message": '{"task": "count"}', "queue": "nobody's"}, 'no queue is named "nobody\'s"'),
        ({"message": "no JSON", "queue": "relayed"}, "not a message"),
        ({"message": '{"task": "count"}'}, "not a row of an event or a task: KeyError"),
        ({"data": "[]"}, "not a row of an event or a task: TypeError"),
        ({"occurred_at": "yesterday"}, "not a row of an event or a task: ValueError"),
        ({"type": {"N": "7"}}, "not a row of an event or a task: TypeError"),
    ],
)
def test_an_unreadable_row_is_parked(sandbox: Sandbox, content: dict[str, Any], reason: str) -> None:
    written = {name: {"S": value} if isinstance(value, str) else value for name, value in content.items()}
    row = new_row("stock.changed", "item") | written
    if "queue" in content:
        row["pk"] = {"S": f"{task_start(content['queue'])}item"}
    client("dynamodb").put_item(TableName="celeriac-test--outbox", Item=row)
    _emit(1, "item")
    sandbox.drain()
    assert _booked("item") == [1]
    (parked,) = [row for row in _rows() if "reason" in row]
    assert parked["reason"]["S"].startswith(reason)


def test_published_events_expire_and_unpublished_events_stay(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "outbox", Outbox(retention=timedelta(days=30)), raising=False)
    _emit(1, "item")
    (row,) = _rows()
    assert "expires_at" not in row
    sandbox.drain()
    (row,) = _rows()
    assert int(row["expires_at"]["N"]) == pytest.approx((sandbox.now + timedelta(days=30)).timestamp(), abs=1)
    assert "waiting" not in row  # the index of unpublished rows holds no published row


def test_large_events_are_marked_in_transactions_that_dynamodb_takes(sandbox: Sandbox) -> None:
    for number in range(12):
        with celeriac.transaction() as tx:
            tx.emit("stock.moved", {"number": number, "bulk": "x" * 390_000}, aggregate=f"{number}")
    before = Counter(sandbox.calls)
    sandbox.drain()
    marks = (sandbox.calls - before)["dynamodb", "TransactWriteItems"]
    assert marks == 2
    assert all("published_at" in row for row in _rows())


def test_a_bus_receives_every_event_as_a_cloud_event(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "outbox", Outbox(bus=True), raising=False)
    received = _events_on_the_bus()
    _emit(7, "item")
    sandbox.drain()
    (event,) = received
    detail = event["detail"]
    assert (event["source"], event["detail-type"]) == ("celeriac-test", "stock.changed")
    assert detail | {"id": "", "time": ""} == {
        "specversion": "1.0",
        "id": "",
        "source": "celeriac-test",
        "type": "stock.changed",
        "subject": "item",
        "time": "",
        "datacontenttype": "application/json",
        "data": {"number": 7},
    }
    assert _booked("count") == [7]


def _events_on_the_bus() -> list[Any]:
    """The events as they are put on the stage's bus."""
    received: list[Any] = []
    client("events").create_event_bus(Name="celeriac-test")

    def receive(params: dict[str, Any], **_: object) -> None:
        entries = json.loads(params["body"])["Entries"]
        assert all(entry["EventBusName"] == "celeriac-test" for entry in entries)
        received.extend(
            {"source": e["Source"], "detail-type": e["DetailType"], "detail": json.loads(e["Detail"])} for e in entries
        )

    for each in every_client("events"):
        each.meta.events.register("before-call.events.PutEvents", receive)
    return received


def test_a_bus_that_is_out_of_reach_delays_events_and_loses_none(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "outbox", Outbox(bus=True), raising=False)
    received = _events_on_the_bus()
    with out_of_reach("events", "PutEvents", calls=range(1, 3)):
        _emit(7, "item")
        sandbox.run_once()
        assert all("published_at" not in row for row in _rows())
        sandbox.drain()
    assert len({event["detail"]["id"] for event in received}) == 1
    assert (_booked("count"), _booked("item")) == ([7], [7])
    assert all("published_at" in row for row in _rows())


@pytest.mark.parametrize("members", [1, 2, 5, 10])
def test_messages_of_one_group_go_into_different_batches_if_there_is_room(members: int) -> None:
    groups = [f"{i % (200 // members)}" for i in range(200)]
    order = spread(groups)
    batches = [order[i : i + 10] for i in range(0, 200, 10)]
    assert all(len({groups[position] for position in batch}) == len(batch) for batch in batches)


def test_no_event_overtakes_a_refused_event_of_its_aggregate(sandbox: Sandbox) -> None:
    with refused(lambda message: message["args"] == {"number": 0} and message["task"] == "book", times=1):
        for number in range(5):
            _emit(number, "item")
        sandbox.drain()
    assert _booked("item") == [0, 1, 2, 3, 4]


def test_no_event_overtakes_an_event_whose_payload_could_not_be_stored(sandbox: Sandbox) -> None:
    @task(ledger, on="parcel.packed")
    def pack(ctx: Context, number: int, filler: str) -> None:
        told.append((ctx.group or "", number))

    with out_of_reach("s3", "PutObject", calls=range(1, 2)) as calls:
        for number, length in enumerate((300_000, 1, 1)):  # the first event is too large for a message
            with celeriac.transaction() as tx:
                tx.emit("parcel.packed", {"number": number, "filler": "x" * length}, aggregate="item")
        sandbox.drain()
    assert len(calls) > 1
    assert _booked("item") == [0, 1, 2]


def test_tasks_of_transactions_keep_the_order_of_their_group(sandbox: Sandbox) -> None:
    with refused(lambda message: message["args"] == {"number": 0}, times=4):
        for number in range(8):
            with celeriac.transaction() as tx:
                tx.enqueue(book.options(group="g"), number=number)
        sandbox.drain()
    assert _booked("g") == list(range(8))


def test_an_aggregate_whose_name_is_not_a_valid_sqs_group_keeps_its_order(sandbox: Sandbox) -> None:
    for number in range(3):
        _emit(number, "Müller & Söhne, Köln")
    sandbox.drain()
    assert [number for group, number in told if group not in {"count", ""}] == [0, 1, 2]


def test_an_entry_that_a_bus_refuses_is_sent_again_later(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "outbox", Outbox(bus=True), raising=False)
    client("events").create_event_bus(Name="celeriac-test")
    refusals = 0

    def refuse(**_: object) -> Any:
        nonlocal refusals
        refusals += 1
        if refusals > 3:
            return None
        return type("Answer", (), {"status_code": 200}), {"Entries": [{"ErrorCode": "InternalFailure"}]}

    with registered("events", "before-call.events.PutEvents", refuse):
        _emit(1, "item")
        sandbox.run_once()
        assert all("published_at" not in row for row in _rows())
        sandbox.drain()
    assert refusals == 4
    assert all("published_at" in row for row in _rows())


def test_an_entry_that_a_bus_refuses_permanently_is_parked(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "outbox", Outbox(bus=True), raising=False)
    answer = {"Entries": [{"ErrorCode": "MalformedDetail", "ErrorMessage": "no"}]}
    with registered(
        "events", "before-call.events.PutEvents", lambda **_: (type("Answer", (), {"status_code": 200}), answer)
    ):
        _emit(1, "item")
        sandbox.drain()
    assert [row["reason"]["S"] for row in _rows()] == ["MalformedDetail: no"]


def test_an_event_that_a_bus_cannot_carry_harms_no_other_event(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "outbox", Outbox(bus=True), raising=False)
    received = _events_on_the_bus()
    odd = new_row("stock.moved", "odd", data='{"text": "\\ud800"}')
    client("dynamodb").put_item(TableName="celeriac-test--outbox", Item=odd)
    _emit(1, "item")
    sandbox.drain()
    assert len(received) == 1
    assert [row["reason"]["S"] for row in _rows() if "reason" in row] == [
        "it has no JSON form that a bus takes: UnicodeEncodeError"
    ]


def test_other_rows_are_marked_even_if_one_is_deleted_meanwhile(sandbox: Sandbox) -> None:
    def delete_one(**_: object) -> None:
        row = min(_rows(), key=lambda row: row["sk"]["S"])
        client("dynamodb").delete_item(TableName="celeriac-test--outbox", Key={"pk": row["pk"], "sk": row["sk"]})

    with registered("sqs", "before-call.sqs.SendMessageBatch", delete_one), celeriac.transaction() as tx:
        for number in range(5):
            _emit(number, f"item-{number}", tx)
    with registered("sqs", "before-call.sqs.SendMessageBatch", delete_one):
        sandbox.run_once()
    left = _rows()
    assert 0 < len(left) < 5
    assert all("published_at" in row for row in left)


def test_a_parked_event_does_not_expire_even_if_it_was_published_before(sandbox: Sandbox) -> None:
    _emit(1, "item")
    sandbox.drain()
    (row,) = _rows()
    assert "expires_at" in row
    published_at = row["published_at"]
    mark([], [(read(row), "x" * 5000)])
    (row,) = _rows()
    assert "expires_at" not in row
    assert row["published_at"] == published_at  # a replay has to know it
    assert len(row["reason"]["S"]) == 400
    mark([read(row)], [])
    (row,) = _rows()
    assert "reason" not in row


def test_spreading_keeps_the_order_of_each_group() -> None:
    groups = [*"aaaaaaaaaa", *"bbb", *"cdefg"]
    order = spread(groups)
    assert sorted(order) == list(range(len(groups)))
    for group in set(groups):
        mine = [position for position in order if groups[position] == group]
        assert mine == sorted(mine)
