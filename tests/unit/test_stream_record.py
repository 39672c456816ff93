"""Records of the outbox's stream: the relay reads them in Lambda's form, and the Sandbox hands them over like that."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import celeriac
from celeriac import Context, Queue, task
from celeriac.aws.client import client
from celeriac.enqueue.outbox_row import new_row
from celeriac.relay import handler as relay
from celeriac.relay.stream_record import new_rows
from celeriac.testing import Sandbox
from celeriac.testing.lambda_ import _stream_record
from celeriac.worker.event import Invocation

ledger = Queue("streamed", fifo=True)
told: list[int] = []
ARN = "arn:aws:dynamodb:eu-west-1:123456789012:table/celeriac-test--outbox/stream/2026-01-01T00:00:00.000"


@pytest.fixture(autouse=True)
def _empty() -> None:
    told.clear()


@task(ledger, on="streamed.event")
def book(ctx: Context, number: int) -> None:
    told.append(number)


def _row(number: int, aggregate: str = "item", **changes: Any) -> dict[str, Any]:
    return new_row("streamed.event", aggregate, data=json.dumps({"number": number})) | changes


def _record(image: dict[str, Any], number: int) -> dict[str, Any]:
    """A record as Lambda's documentation shows it."""
    return {
        "eventID": f"{number}",
        "eventName": "INSERT",
        "eventVersion": "1.1",
        "eventSource": "aws:dynamodb",
        "awsRegion": "eu-west-1",
        "dynamodb": {
            "ApproximateCreationDateTime": 1767225600,
            "Keys": {"pk": image["pk"], "sk": image["sk"]},
            "NewImage": image,
            "SequenceNumber": f"{1000 + number}",
            "SizeBytes": 26,
            "StreamViewType": "NEW_IMAGE",
        },
        "eventSourceARN": ARN,
    }


EXPIRED = {
    "eventID": "9",
    "eventName": "REMOVE",
    "eventVersion": "1.1",
    "eventSource": "aws:dynamodb",
    "awsRegion": "eu-west-1",
    "userIdentity": {"type": "Service", "principalId": "dynamodb.amazonaws.com"},
    "dynamodb": {
        "ApproximateCreationDateTime": 1767225600,
        "Keys": {"pk": {"S": "item"}, "sk": {"S": "gone"}},
        "SequenceNumber": "999",
        "SizeBytes": 26,
        "StreamViewType": "NEW_IMAGE",
    },
    "eventSourceARN": ARN,
}
BARE = EXPIRED | {"eventName": "INSERT"}  # a stream without images
ODD: list[dict[str, Any]] = [
    {"data": {"B": "aGVsbG8="}},  # base64, as Lambda writes binary values
    {"data": {"S": "[" * 100_000}},
    {"data": {"S": "\ud800"}},
    {"data": {}},
    {"type": {"NULL": True}},
    {"occurred_at": {"N": "1767225600"}},
    {"occurred_at": {"S": "9999-99-99"}},
    {"due_at": {"L": []}, "message": {"S": "{}"}},
    {"subscribers": {"SS": [None]}},
    {"sent_to": {"M": {}}, "left_at": {"S": ""}},
]
HARMLESS: list[dict[str, Any]] = [
    {"extra": {"B": "aGVsbG8="}, "more": {"BS": ["aGVsbG8="]}, "number": {"N": "1E+125"}, "null": {"NULL": True}},
    {"occurred_at": {"S": "2026-01-01T00:00:00"}},
]


@pytest.mark.parametrize("odd", ODD)
def test_a_row_that_cannot_be_read_is_parked_and_its_neighbours_are_published_in_order(
    sandbox: Sandbox, odd: dict[str, Any]
) -> None:
    images = [_row(0), _row(1), _row(2) | odd, _row(3)]
    for image in images:
        stored = {name: value for name, value in image.items() if name in {"pk", "sk", "waiting"}}
        client("dynamodb").put_item(TableName="celeriac-test--outbox", Item=stored)
    records = [_record(image, number) for number, image in enumerate(images)]
    assert relay.handler(
        {"Records": [EXPIRED, BARE, *records]}, Invocation("relay", "r", sandbox.now + timedelta(minutes=3))
    ) == {"batchItemFailures": []}
    rows = {row["sk"]["S"]: row for row in client("dynamodb").scan(TableName="celeriac-test--outbox")["Items"]}
    assert rows[images[2]["sk"]["S"]]["reason"]["S"].startswith("not a row of an event or a task")
    assert [("published_at" in rows[image["sk"]["S"]]) for image in images] == [True, True, False, True]


@pytest.mark.parametrize("odd", HARMLESS)
def test_attributes_of_others_do_not_keep_a_row_from_being_read(odd: dict[str, Any]) -> None:
    (record,) = new_rows({"Records": [_record(_row(1) | odd, 1)]})
    assert record.row is not None


def test_the_sweeper_parks_what_the_relay_could_not_read_and_publishes_its_neighbours(sandbox: Sandbox) -> None:
    table: Any = {"TableName": "celeriac-test--outbox"}
    client("dynamodb").put_item(**table, Item=_row(1))
    client("dynamodb").put_item(**table, Item=_row(2) | {"data": {"B": b"hello"}})
    client("dynamodb").put_item(**table, Item=_row(3) | {"extra": {"B": b"hello"}})
    sandbox.advance(timedelta(hours=2))  # the stream has given up on them
    sandbox.drain()
    assert told == [1, 3]
    assert len([row for row in client("dynamodb").scan(**table)["Items"] if "reason" in row]) == 1


def test_a_row_of_any_attributes_passes_through_the_sandbox_as_through_lambda(sandbox: Sandbox) -> None:
    extra: dict[str, Any] = {
        "b": {"B": b"\x00\xff"},
        "bs": {"BS": [b"\x01"]},
        "n": {"N": "1.50"},
        "m": {"M": {"l": {"L": [{"B": b"\x02"}]}}},
        "nothing": {"NULL": True},
    }
    client("dynamodb").put_item(TableName="celeriac-test--outbox", Item=_row(1) | extra)
    with celeriac.transaction() as tx:
        tx.emit("streamed.event", {"number": 2}, aggregate="item")
    sandbox.drain()
    assert told == [1, 2]

    record = {
        "eventID": "1",
        "eventName": "INSERT",
        "dynamodb": {
            "ApproximateCreationDateTime": datetime(2026, 1, 1, 0, 0, 0, 900_000, UTC),
            "NewImage": extra,
            "SequenceNumber": "7",
        },
    }
    handed = _stream_record(record, ARN)
    assert handed["dynamodb"] == {
        "ApproximateCreationDateTime": 1767225600,
        "NewImage": {
            "b": {"B": "AP8="},
            "bs": {"BS": ["AQ=="]},
            "n": {"N": "1.50"},
            "m": {"M": {"l": {"L": [{"B": "Ag=="}]}}},
            "nothing": {"NULL": True},
        },
        "SequenceNumber": "7",
    }
    assert (handed["eventSourceARN"], handed["awsRegion"]) == (ARN, "eu-west-1")
    by_ttl = record | {"userIdentity": {"PrincipalId": "dynamodb.amazonaws.com", "Type": "Service"}}
    assert _stream_record(by_ttl, ARN)["userIdentity"] == EXPIRED["userIdentity"]
