"""AWS carries out a call and its answer is lost: a timeout is not a refusal."""

from datetime import UTC, datetime, timedelta
from hashlib import sha256

import pytest
from botocore.exceptions import ReadTimeoutError

from celeriac import Backoff, Context, Queue, task
from celeriac.aws import sqs
from celeriac.aws.client import client
from celeriac.declare.task import PartialFailureError
from celeriac.leases import lease
from celeriac.leases.claim import Claim
from celeriac.model import names
from celeriac.testing import Sandbox
from tests.support.faults import answer_lost, out_of_reach, registered

jobs = Queue("jobs", batch_size=10)
# SQS keeps its messages for so short a time that an outage can outlast them.
hasty = Queue("hasty", retention=timedelta(hours=2))
runs: list[int] = []


@pytest.fixture(autouse=True)
def _empty() -> None:
    runs.clear()


@task(jobs, key="name", retry=Backoff(attempts=3))
def transfer(ctx: Context, name: str) -> None:
    runs.append(ctx.attempt)
    with ctx.transaction() as tx:
        tx.put("orders", {"pk": name})
        tx.emit("nobody.listens", {"name": name})


@task(jobs, key="name", retry=Backoff(attempts=2))
def work(ctx: Context, name: str, failures: int = 0) -> None:
    runs.append(ctx.attempt)
    if ctx.attempt <= failures:
        raise ConnectionError


@task(hasty)
def give_up() -> None:
    runs.append(1)


def _events() -> int:
    return client("dynamodb").scan(TableName=names.outbox_table("test"))["Count"]


def test_a_commit_whose_answer_was_lost_is_not_made_again(sandbox: Sandbox) -> None:
    handle = transfer.enqueue(name="a")
    with answer_lost("dynamodb", "TransactWriteItems"):
        sandbox.drain()
    assert runs == [1]
    assert _events() == 1
    assert handle.status().state == "succeeded"
    assert sandbox.dead_letters(jobs) == []


def test_a_commit_that_was_not_made_is_tried_again(sandbox: Sandbox) -> None:
    def refuse(**_: object) -> None:
        if runs == [1]:
            raise ReadTimeoutError(endpoint_url="https://aws.example")

    with registered("dynamodb", "before-call.dynamodb.TransactWriteItems", refuse):
        transfer.enqueue(name="a")
        sandbox.drain()
    assert runs == [1, 2]
    assert _events() == 1


@pytest.mark.parametrize(
    ("service", "operation"),
    [("dynamodb", "PutItem"), ("dynamodb", "UpdateItem"), ("sqs", "SendMessage")],
)
@pytest.mark.parametrize("failures", [0, 1, 2])
def test_a_lost_answer_neither_loses_a_task_nor_adds_a_retry(
    sandbox: Sandbox, service: str, operation: str, failures: int
) -> None:
    handle = work.enqueue(name="a", failures=failures)
    with answer_lost(service, operation):
        sandbox.drain()
    letters = {letter.id for letter in sandbox.dead_letters(jobs)}
    assert letters == ({handle.id} if failures == 2 else set())
    assert set(runs) == set(range(1, min(failures, 1) + 2))
    assert handle.status().state == ("dead" if failures == 2 else "succeeded")


@pytest.mark.usefixtures("sandbox")
def test_a_claim_that_botocore_sends_twice_succeeds() -> None:
    until = datetime.now(UTC) + timedelta(seconds=30)
    store = lease._new_store(Claim("work", "work:a", "the id", 1, until, timedelta(days=18)))
    assert lease._put(store)
    assert lease._put(store)  # the same call again, as botocore makes it when the answer is lost
    (record,) = client("dynamodb").scan(TableName=names.idempotency_table("test"))["Items"]
    # The record's id, as Powertools makes it: the task, and the SHA-256 of the key as JSON.
    assert record["id"]["S"] == f"work#{sha256(b'"work:a"').hexdigest()}"


def test_a_partly_failed_enqueue_names_the_sent_and_unsent_messages(sandbox: Sandbox) -> None:
    with (
        out_of_reach("sqs", "SendMessageBatch", calls=range(3, 4)),
        pytest.raises(PartialFailureError, match="10 of 50 messages for work were not taken") as caught,
    ):
        work.enqueue_many({"name": f"{i}"} for i in range(50))
    assert (len(caught.value.sent), len(caught.value.unsent)) == (40, 10)
    sandbox.drain()
    assert len(runs) == 40


def test_a_message_whose_table_stays_out_of_reach_becomes_a_dead_letter_with_the_error(sandbox: Sandbox) -> None:
    with out_of_reach("dynamodb", "PutItem"), out_of_reach("dynamodb", "UpdateItem"):
        give_up.enqueue()
        sandbox.drain()
    assert runs == []
    (letter,) = sandbox.dead_letters(hasty)
    assert letter.failure is not None
    assert (letter.failure.reason, letter.failure.type) == ("unsettled", "botocore.exceptions.ReadTimeoutError")


def test_a_dead_letter_with_another_programs_attribute_can_be_read(sandbox: Sandbox) -> None:
    client("sqs").send_message(
        QueueUrl=sqs.url(jobs.dead_letter_name("test")),
        MessageBody='{"task": "work", "args": "no object"}',
        MessageAttributes={"failure": {"DataType": "String", "StringValue": "somebody else's"}},
    )
    (letter,) = sandbox.dead_letters(jobs)
    assert letter.failure is None
