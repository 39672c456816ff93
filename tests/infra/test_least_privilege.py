"""Granted permissions are used, and used ones are granted: code runs in the sandbox, and its calls are compared with
the policies.
"""

import json
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest
from botocore.exceptions import ClientError
from typer.testing import CliRunner

import celeriac
from celeriac import Backoff, Context, Queue, Reject, task
from celeriac.aws import sqs
from celeriac.aws.client import client
from celeriac.testing import Sandbox
from celeriac_console.main import app
from tests.infra.conftest import QUEUES
from tests.infra.template import Stage
from tests.support.faults import out_of_reach, registered

jobs = Queue("privileged", concurrency=2, max_body_bytes=2048)
ledger = Queue("privileged-ledger", fifo=True)

# Operations whose permission has another name: https://docs.aws.amazon.com/service-authorization/
ACTIONS = {
    "SendMessageBatch": ["SendMessage"],
    "DeleteMessageBatch": ["DeleteMessage"],
    "ChangeMessageVisibilityBatch": ["ChangeMessageVisibility"],
    "TransactWriteItems": ["PutItem", "UpdateItem"],
}
# Lambda's own calls with the function's role: it polls, writes the log and traces.
LAMBDAS = {
    "sqs:ReceiveMessage",
    "sqs:DeleteMessage",
    "sqs:GetQueueAttributes",
    "logs:CreateLogStream",
    "logs:PutLogEvents",
    "xray:PutTraceSegments",
    "xray:PutTelemetryRecords",
    "dynamodb:DescribeStream",
    "dynamodb:GetRecords",
    "dynamodb:GetShardIterator",
    "dynamodb:ListStreams",
}
# Permissions without a call: a schedule passes its role, and ListBucket tells a missing payload from a forbidden one.
BESIDE = {"iam:PassRole", "s3:ListBucket"}
# A call that is made while several tasks run that somebody may cancel, see tests/behaviour/test_cancel_running.py.
WATCH = {"dynamodb:BatchGetItem"}
# The application's own permissions, for its secret and its tables.
APPLICATION = {"secretsmanager:GetSecretValue", "dynamodb:DeleteItem", "dynamodb:ConditionCheckItem"}


@task(jobs, retry=Backoff(attempts=3))
def work(ctx: Context, then: str, filler: str = "") -> None:
    if then == "fail":
        raise ConnectionError
    if then == "reject":
        raise Reject
    if then == "wait":
        raise celeriac.Retry(delay=timedelta(hours=1))
    with ctx.transaction() as tx:
        tx.emit("privileged.event", {"filler": filler})
        tx.enqueue(subscriber, filler=filler)


@task(jobs, on="privileged.event")
def subscriber(filler: str) -> None: ...


@task(ledger, retry=Backoff(attempts=2))
def book() -> None:
    raise ConnectionError


def actions(calls: Counter[tuple[str, str]]) -> set[str]:
    return {
        f"{service}:{action}"
        for service, operation in calls
        for action in ACTIONS.get(operation, [operation])
        if service != "sts"
    }


def _compose() -> celeriac.Batch:
    celeriac.chain(work.bind(then="succeed"), work.bind(then="succeed")).enqueue()
    with celeriac.batch(then=subscriber.bind(filler="")) as batch:
        batch.enqueue(work, then="succeed")
    return batch


def _work(sandbox: Sandbox) -> None:
    for then in ("succeed", "fail", "reject", "wait"):
        work.enqueue(then=then)
    work.enqueue(then="succeed", filler="x" * 4096)
    book.options(group="g").enqueue()


def test_a_consumer_may_make_its_calls_and_no_others(stage: Stage, sandbox: Sandbox) -> None:
    work.enqueue(then="wait")
    sandbox.crash_at(2, after=True)  # the next worker finds the schedule of this one
    sandbox.run_once()
    sandbox.advance(jobs.visibility + timedelta(seconds=1))
    _work(sandbox)
    sandbox.calls.clear()
    sqs.urls.clear()
    with out_of_reach("sqs", "SendMessage", calls=range(1, 3)):
        sandbox.run_once()
    for call in (1, 4):
        sandbox.crash_at(call, after=True)
        sandbox.run_once()
        sandbox.advance(jobs.visibility + timedelta(seconds=1))
    with sandbox.worker():
        _compose()
    sandbox.drain()

    granted = set(stage.work.granted(f"celeriac-test--{QUEUES[0].name}"))
    assert granted >= WATCH
    assert granted - LAMBDAS - BESIDE - APPLICATION - WATCH == actions(sandbox.calls) - LAMBDAS - {
        "dynamodb:BatchGetItem",  # made by the sweeper
        "dynamodb:Query",
    }


def test_relay_and_sweeper_may_make_their_calls(stage: Stage, sandbox: Sandbox) -> None:
    with celeriac.transaction() as tx:
        tx.emit("privileged.event", {"filler": "x" * 4096})
        tx.enqueue(subscriber.options(delay=timedelta(hours=1)), filler="")
    sandbox.calls.clear()
    sandbox.advance(timedelta(hours=13))  # the stream gives up on the records, and the sweeper publishes the rows
    sandbox.drain()
    granted = set(stage.work.granted("celeriac-test--sweeper"))
    of_relay = set(stage.work.granted("celeriac-test--relay"))

    # Beside what the relay needs to read its stream. It reads a batch that is due.
    assert granted - of_relay == {"sqs:ListQueues", "scheduler:ListSchedules", "dynamodb:GetItem"}
    used = {each for each in actions(sandbox.calls) if each != "dynamodb:PutItem"}  # the consumer's claims
    assert {"sqs:SendMessage", "dynamodb:UpdateItem", "dynamodb:Query", "dynamodb:BatchGetItem"} <= used
    assert {"sqs:ListQueues", "scheduler:ListSchedules"} <= used  # the sweeper counts what waits
    assert "dynamodb:PutItem" not in granted | of_relay


def test_a_producer_may_send_but_not_read(stage: Stage, sandbox: Sandbox) -> None:
    sqs.urls.clear()
    sandbox.calls.clear()
    work.enqueue_many([{"then": "succeed"}, {"then": "succeed", "filler": "x" * 4096}])
    work.options(delay=timedelta(days=3)).enqueue(then="succeed")
    with celeriac.transaction() as tx:
        tx.emit("privileged.event", {"filler": ""})
    _compose()
    granted = set(stage.state.policy("celeriac-test--producer-mail-${AWS::Region}"))
    granted |= set(stage.state.policy("celeriac-test--emitter-${AWS::Region}"))

    assert granted - BESIDE == actions(sandbox.calls)


def test_a_reader_who_may_not_look_into_dead_letter_queues_reads_the_records(stage: Stage, sandbox: Sandbox) -> None:
    well, badly = work.enqueue(then="succeed"), work.enqueue(then="succeed")
    client("sqs").send_message(
        QueueUrl=sqs.url(jobs.dead_letter_name("test")),
        MessageBody=json.dumps({"task": "work", "id": badly.id, "stored": "args/x"}),
    )

    def deny(**_: object) -> None:
        raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "GetQueueUrl")

    sqs.urls.clear()
    with registered("sqs", "before-call.sqs", deny):
        # Only the queue knows that SQS itself has moved the second message.
        assert [handle.status().state for handle in (well, badly)] == ["queued", "queued"]
    sandbox.advance(timedelta(minutes=1))
    batch = _compose()
    sandbox.calls.clear()
    assert batch.status().state == "running"
    assert [handle.status().state for handle in (well, badly)] == ["queued", "dead"]
    granted = set(stage.state.policy("celeriac-test--reader-${AWS::Region}"))
    assert {each for each in actions(sandbox.calls) if not each.startswith("sqs:")} == granted


COMMANDS = [
    ["queues"],
    ["tasks"],
    ["dlq", "list", "privileged"],
    ["dlq", "show", "privileged"],
    ["dlq", "export", "privileged", "letters.jsonl"],
    ["dlq", "redrive", "privileged", "--limit", "1"],
    ["dlq", "discard", "privileged", "--yes"],
    ["dlq", "import", "privileged", "letters.jsonl"],
    ["status", "some-id", "--search"],
    ["status", "work/some-id@0"],
    ["forget", "work", "o-1", "--yes"],
    ["quarantine", "add", "--task", "work"],
    ["quarantine", "list"],
    ["quarantine", "lift", "--task", "work"],
    ["pause", "privileged"],
    ["outbox", "lag"],
    ["outbox", "replay", "--type", "privileged.event", "--since", "7d"],
    ["doctor"],
    ["tail", "--since", "1m", "--no-follow"],
    ["send", "work", "--arg", "then=succeed", "--delay", "2h"],
    ["delayed", "list"],
    ["delayed", "cancel", "--queue", "privileged", "--yes"],
    ["send", "work", "--arg", "then=succeed", "--delay", "2h"],
    ["delayed", "run-now", "--queue", "privileged", "--yes"],
]


def test_an_operator_may_make_all_calls_of_the_command(
    stage: Stage, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _work(sandbox)
    sandbox.drain()
    monkeypatch.chdir(tmp_path)
    client("sqs").send_message(
        QueueUrl=sqs.url(jobs.dead_letter_name("test")), MessageBody=json.dumps({"task": "work"})
    )
    sqs.urls.clear()
    sandbox.calls.clear()
    for command in COMMANDS:
        done = CliRunner().invoke(app, ["--stage", "test", *command])
        assert done.exception is None or isinstance(done.exception, SystemExit), command
        sandbox.advance(timedelta(minutes=2))
    used = actions(sandbox.calls)
    granted = set(stage.state.policy("celeriac-test--operator-${AWS::Region}"))

    assert {"sqs:ReceiveMessage", "dynamodb:Scan", "dynamodb:Query", "lambda:ListEventSourceMappings"} <= used
    assert {
        each.replace("monitoring:", "cloudwatch:").replace("service-quotas:", "servicequotas:") for each in used
    } <= granted
