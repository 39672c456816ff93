"""Real threads on DynamoDB Local race for one record. Moto lets one call through at a time, so it can't show this.

Time is real here.
"""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import count
from typing import Any
from unittest.mock import patch

import pytest
from botocore.awsrequest import AWSPreparedRequest
from botocore.exceptions import ReadTimeoutError
from botocore.httpsession import URLLib3Session

import celeriac
from celeriac import Queue, task
from celeriac.aws import client as clients
from celeriac.aws.client import client
from celeriac.enqueue.transaction import Transaction
from celeriac.leases import lease, store
from celeriac.leases.claim import Claim
from celeriac.leases.lease import Busy, CrashSuspected, Lease
from celeriac.leases.store import LeaseLostError
from celeriac.model import names
from celeriac.testing import account
from tests.application import tables
from tests.realities.dynamodb_local import dynamodb_local
from tests.realities.installed import why_no_dynamodb

pytestmark = pytest.mark.skipif(bool(why_no_dynamodb()), reason=why_no_dynamodb())

STAGE = "test"
THREADS = 8
ROUNDS = 25
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
in_order = Queue("races", fifo=True)


@task(in_order, on="races.event")
def follow(name: str) -> None:
    """Its queue is FIFO, so the rows of one aggregate have an order."""


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with dynamodb_local() as running:
        yield running


@pytest.fixture(autouse=True)
def _tables(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Empty tables, and clients that know no other DynamoDB."""
    for name, value in {
        "AWS_ENDPOINT_URL_DYNAMODB": endpoint,
        "AWS_ENDPOINT_URL_DYNAMODB_STREAMS": endpoint,
        "AWS_ACCESS_KEY_ID": "races",
        "AWS_SECRET_ACCESS_KEY": "races",
        "AWS_DEFAULT_REGION": "eu-west-1",
        "CELERIAC_APPLICATION": "celeriac",
        "CELERIAC_STAGE": STAGE,
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(clients, "_client", cache(clients.make))
    store.store.cache_clear()
    dynamodb = client("dynamodb")
    for table in dynamodb.list_tables()["TableNames"]:
        dynamodb.delete_table(TableName=table)
    dynamodb.create_table(**account._table(names.idempotency_table(STAGE), "id"))
    dynamodb.create_table(
        **account._table(names.outbox_table(STAGE), "pk", "sk")
        | {"StreamSpecification": {"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"}}
    )
    dynamodb.create_table(**account._table(tables.orders.physical_name(STAGE), "pk"))
    yield
    store.store.cache_clear()


def race[T](*runners: Callable[[], T]) -> list[T | Exception]:
    """Start each of them in a thread of its own, all at once. Returns what they returned or raised."""
    start = threading.Barrier(len(runners))

    def run(runner: Callable[[], T]) -> T | Exception:
        start.wait()
        try:
            return runner()
        except Exception as error:  # noqa: BLE001 - it is the outcome
            return error

    with ThreadPoolExecutor(len(runners)) as threads:
        return list(threads.map(run, runners))


_numbers = count()


def wanted(key: str, *, left: timedelta = MINUTE, fifo: bool = False) -> Claim:
    return Claim(
        task="race", key=key, task_id="one", attempt=1, until=datetime.now(UTC) + left, retention=DAY, comes_back=fifo
    )


def taken_over(key: str, suspect: CrashSuspected) -> Callable[[], Lease]:
    return lambda: lease.take_over(wanted(key), suspect)


def abandoned(key: str) -> tuple[Lease, CrashSuspected]:
    """The lease of a worker that has had its time, and what another worker finds then."""
    zombie = lease.claim(wanted(key, left=timedelta()))
    for _ in range(1000):  # until the clock's next millisecond
        try:
            lease.claim(wanted(key))
        except CrashSuspected as suspect:
            return zombie, suspect
        except Busy:
            pass
    pytest.fail("the lease doesn't expire")


def count_up(key: str, held: Lease | None = None) -> Callable[[], None]:
    def commit() -> None:
        with Transaction(held) as tx:
            tx.update("orders", key={"pk": key}, add={"times": 1})

    return commit


def times(key: str) -> int:
    item = client("dynamodb").get_item(
        TableName=tables.orders.physical_name(STAGE), Key={"pk": {"S": key}}, ConsistentRead=True
    )
    return int(item["Item"]["times"]["N"]) if "Item" in item else 0


def kinds(outcomes: list[Any]) -> Counter[type]:
    return Counter(type(outcome) for outcome in outcomes)


@pytest.mark.parametrize("fifo", [False, True], ids=["standard", "fifo"])
def test_one_of_eight_threads_claims_a_key(*, fifo: bool) -> None:
    for number in range(ROUNDS):
        claims = [lambda key=f"key {number}": lease.claim(wanted(key, fifo=fifo)) for _ in range(THREADS)]
        assert kinds(race(*claims)) == {Lease: 1, Busy: THREADS - 1}


def test_one_of_eight_threads_takes_over_an_expired_lease() -> None:
    for number in range(ROUNDS):
        _, suspect = abandoned(f"key {number}")
        outcomes = race(*[taken_over(f"key {number}", suspect)] * THREADS)
        assert kinds(outcomes) == {Lease: 1, Busy: THREADS - 1}


def test_after_a_take_over_the_zombie_cannot_commit() -> None:
    for number in range(ROUNDS):
        key = f"key {number}"
        zombie, suspect = abandoned(key)
        holder = lease.take_over(wanted(key), suspect)
        outcomes = race(count_up(key, zombie), count_up(key, holder))
        assert kinds(outcomes) == {LeaseLostError: 1, type(None): 1}
        assert isinstance(outcomes[0], LeaseLostError)
        assert times(key) == 1


def test_a_zombie_that_commits_during_take_overs_either_commits_or_is_replaced_by_one_worker() -> None:
    for number in range(ROUNDS):
        key = f"key {number}"
        zombie, suspect = abandoned(key)
        outcomes = race(count_up(key, zombie), *[taken_over(key, suspect)] * (THREADS - 1))
        leases = [outcome for outcome in outcomes[1:] if isinstance(outcome, Lease)]
        if outcomes[0] is None:
            assert not leases
        else:
            assert isinstance(outcomes[0], LeaseLostError)
            (holder,) = leases
            count_up(key, holder)()
        assert times(key) == 1


def test_transactions_that_write_one_item_are_all_carried_out_or_refused_as_a_whole() -> None:
    for number in range(ROUNDS):
        outcomes = race(*[count_up(f"key {number}")] * THREADS)
        assert times(f"key {number}") == outcomes.count(None)


def test_a_transaction_that_is_sent_again_with_its_token_is_carried_out_once() -> None:
    """Each first answer is lost, and boto3 sends the call again. Several threads do so at once."""
    sent: Counter[bytes] = Counter()
    send: Any = URLLib3Session.send

    def lose_the_first_answer(session: URLLib3Session, request: AWSPreparedRequest) -> Any:
        answer = send(session, request)
        target: Any = request.headers.get("X-Amz-Target", b"")
        body: Any = request.body
        if b"TransactWriteItems" in (target if isinstance(target, bytes) else target.encode()):
            sent[body] += 1
            if sent[body] == 1:
                raise ReadTimeoutError(endpoint_url="the answer is lost")
        return answer

    with patch.object(URLLib3Session, "send", lose_the_first_answer):
        outcomes = race(*[count_up(f"key {number}") for number in range(THREADS)])

    assert outcomes == [None] * THREADS
    assert list(sent.values()) == [2] * THREADS
    assert [times(f"key {number}") for number in range(THREADS)] == [1] * THREADS


def test_one_transaction_that_eight_threads_send_with_one_token_is_carried_out_once() -> None:
    action: Any = {
        "Update": {
            "TableName": tables.orders.physical_name(STAGE),
            "Key": {"pk": {"S": "key"}},
            "UpdateExpression": "ADD times :one",
            "ExpressionAttributeValues": {":one": {"N": "1"}},
        }
    }
    outcomes = race(
        *[lambda: client("dynamodb").transact_write_items(TransactItems=[action], ClientRequestToken="one")] * THREADS
    )

    assert times("key") == 1
    assert any(isinstance(outcome, dict) for outcome in outcomes)


def test_the_times_of_events_that_are_committed_at_once_increase_with_their_commits() -> None:
    """The stream has the order of the commits, the sweeper's order is that of the times."""

    def emit() -> None:
        with celeriac.transaction() as tx:
            tx.emit("races.event", {"name": "a"}, aggregate="one")

    committed = sum(outcome is None for _ in range(ROUNDS) for outcome in race(*[emit] * THREADS))

    streams = client("dynamodbstreams")
    arn = client("dynamodb").describe_table(TableName=names.outbox_table(STAGE))["Table"]["LatestStreamArn"]
    times = []
    for shard in streams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"]:
        where: Any = {"StreamArn": arn, "ShardId": shard["ShardId"], "ShardIteratorType": "TRIM_HORIZON"}
        records = streams.get_records(ShardIterator=streams.get_shard_iterator(**where)["ShardIterator"])["Records"]
        times += [record["dynamodb"]["NewImage"]["occurred_at"]["S"] for record in records]
    assert len(times) == committed > 0
    assert times == sorted(set(times))
