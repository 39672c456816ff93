"""The sandbox's DynamoDB deletes items whose TTL is over, as soon as time moves on."""

import time
from datetime import timedelta
from typing import Any

import pytest

import celeriac
from celeriac import Context, Queue, task
from celeriac.aws.client import client
from celeriac.aws.items import item_of
from celeriac.model import declared
from celeriac.testing import Sandbox
from tests.application.tables import orders

SECOND, YEAR = timedelta(seconds=1), timedelta(days=366)
TABLE = "celeriac-test--orders"
OUTBOX = "celeriac-test--outbox"
jobs = Queue("ttl")
seen: list[Any] = []


@task(jobs, key="order")
def pay(order: str) -> None:
    seen.append(order)


@task(jobs, on="ttl.told")
def hear(number: int) -> None:
    seen.append(number)


@task(jobs)
def work_for_a_minute(ctx: Context) -> None:
    """Looks at the table before and after the work, in one invocation."""
    sandbox: Sandbox = seen.pop()
    seen.append(_there(sandbox))
    sandbox.advance(timedelta(minutes=1))
    seen.append(_there(sandbox))


@pytest.fixture(autouse=True)
def _empty() -> None:
    seen.clear()


def _expire(attribute: str = "until", *, on: bool = True) -> None:
    client("dynamodb").update_time_to_live(
        TableName=TABLE, TimeToLiveSpecification={"Enabled": on, "AttributeName": attribute}
    )


def _put(key: str, **attributes: Any) -> None:
    client("dynamodb").put_item(TableName=TABLE, Item=item_of({"pk": key, **attributes}))


def _in(by: timedelta) -> int:
    return int(time.time() + by.total_seconds())


def _there(sandbox: Sandbox) -> set[str]:
    return {item["pk"] for item in sandbox.items(orders)}


def test_a_record_of_a_key_is_gone_after_its_retention(sandbox: Sandbox) -> None:
    pay.enqueue("a")
    sandbox.drain()
    sandbox.advance(jobs.record_retention - SECOND)
    assert len(sandbox.items("idempotency")) == 1
    sandbox.advance(2 * SECOND)
    assert sandbox.items("idempotency") == []


def test_a_published_row_is_gone_after_the_outboxs_retention_and_one_that_waits_is_kept(sandbox: Sandbox) -> None:
    with celeriac.transaction() as tx:
        tx.emit("ttl.told", {"number": 1}, aggregate="a")
    sandbox.drain()
    with celeriac.transaction() as tx:
        tx.emit("ttl.told", {"number": 2}, aggregate="b")
    sandbox.advance(declared.outbox().retention + SECOND)
    assert [row["pk"] for row in sandbox.items("outbox")] == ["b"]
    sandbox.drain()
    assert seen == [1, 2]


def test_an_item_of_the_applications_is_deleted_when_time_has_passed_its_ttl(sandbox: Sandbox) -> None:
    _put("before", until=_in(SECOND))
    _expire()
    _put("a second", until=_in(SECOND))
    _put("an hour", until=_in(timedelta(hours=1)))
    _put("past", until=_in(-SECOND))
    _put("for ever")
    assert _there(sandbox) == {"before", "a second", "an hour", "past", "for ever"}  # time stands still
    sandbox.advance(SECOND)
    assert _there(sandbox) == {"before", "a second", "an hour", "for ever"}
    sandbox.advance(timedelta(milliseconds=1))
    assert _there(sandbox) == {"an hour", "for ever"}
    sandbox.advance(timedelta(days=1))
    assert _there(sandbox) == {"for ever"}


def test_dynamodb_deletes_by_no_other_value(sandbox: Sandbox) -> None:
    _expire()
    _put("text", until=str(_in(SECOND)))
    _put("older than five years", until=_in(-5 * YEAR))
    _put("milliseconds", until=_in(SECOND) * 1000)
    _put("another attribute", expires_at=_in(SECOND))
    sandbox.advance(timedelta(hours=1))
    assert len(_there(sandbox)) == 4


def test_a_table_without_ttl_keeps_its_items(sandbox: Sandbox) -> None:
    _put("a", until=_in(SECOND))
    sandbox.advance(timedelta(hours=1))
    assert _there(sandbox) == {"a"}
    _expire()
    _expire(on=False)
    sandbox.advance(timedelta(hours=1))
    assert _there(sandbox) == {"a"}


def test_the_last_value_counts(sandbox: Sandbox) -> None:
    _expire()
    for key in ("later", "never", "sooner"):
        _put(key, until=_in(timedelta(minutes=1)))
    at: Any = {"TableName": TABLE, "ExpressionAttributeNames": {"#u": "until"}}
    for key, expression, values in (
        ("later", "SET #u = :until", {":until": {"N": str(_in(timedelta(days=1)))}}),
        ("never", "REMOVE #u", None),
        ("sooner", "SET #u = :until", {":until": {"N": str(_in(SECOND))}}),
    ):
        given: Any = {} if values is None else {"ExpressionAttributeValues": values}
        client("dynamodb").update_item(**at, Key={"pk": {"S": key}}, UpdateExpression=expression, **given)
    sandbox.advance(2 * SECOND)
    assert _there(sandbox) == {"later", "never"}
    sandbox.advance(timedelta(hours=1))
    assert _there(sandbox) == {"later", "never"}
    sandbox.advance(timedelta(days=1))
    assert _there(sandbox) == {"never"}


def test_a_refused_transaction_changes_no_expiry(sandbox: Sandbox) -> None:
    _expire()
    _put("a", until=_in(timedelta(hours=1)))
    sooner: Any = {"Put": {"TableName": TABLE, "Item": item_of({"pk": "a", "until": _in(SECOND)})}}
    refused: Any = {
        "ConditionCheck": {
            "TableName": TABLE,
            "Key": {"pk": {"S": "nothing"}},
            "ConditionExpression": "attribute_exists(pk)",
        }
    }
    with pytest.raises(client("dynamodb").exceptions.TransactionCanceledException):
        client("dynamodb").transact_write_items(TransactItems=[sooner, refused])
    sandbox.advance(timedelta(minutes=1))
    assert _there(sandbox) == {"a"}
    sandbox.advance(timedelta(hours=1))
    assert _there(sandbox) == set()


def test_the_time_that_a_task_takes_counts(sandbox: Sandbox) -> None:
    _expire()
    _put("a", until=_in(SECOND))
    seen.append(sandbox)
    work_for_a_minute.enqueue()
    sandbox.run_once()
    assert seen == [{"a"}, set()]


def test_a_wrong_clock_deletes_nothing(sandbox: Sandbox) -> None:
    _expire()
    _put("a", until=_in(SECOND))
    with sandbox.producer(clock=timedelta(days=1)):
        assert _there(sandbox) == {"a"}


def test_the_stream_tells_who_deleted_a_row_and_the_relay_does_not_run(sandbox: Sandbox) -> None:
    with celeriac.transaction() as tx:
        tx.emit("ttl.told", {"number": 1}, aggregate="a")
    sandbox.drain()
    sandbox.advance(declared.outbox().retention + SECOND)
    assert sandbox.items("outbox") == []

    streams = client("dynamodbstreams")
    (stream,) = streams.list_streams(TableName=OUTBOX)["Streams"]
    (shard,) = streams.describe_stream(StreamArn=stream["StreamArn"])["StreamDescription"]["Shards"]
    iterator = streams.get_shard_iterator(
        StreamArn=stream["StreamArn"], ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
    )["ShardIterator"]
    *others, removed = streams.get_records(ShardIterator=iterator)["Records"]
    assert removed["eventName"] == "REMOVE"
    assert removed["userIdentity"] == {"Type": "Service", "PrincipalId": "dynamodb.amazonaws.com"}
    assert [record["eventName"] for record in others if "userIdentity" in record] == []

    calls = sandbox.calls.copy()
    sandbox.drain()
    assert sandbox.calls == calls
    assert seen == [1]
