"""`celeriac doctor` finds what no declaration knows, what is retired, and what a restored table has lost."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from celeriac import Queue, task
from celeriac.aws import sqs
from celeriac.aws.client import client
from celeriac.enqueue.send import Parcel, send
from celeriac.model.message import Message
from celeriac.model.stages import StageSettings
from celeriac.testing import Sandbox, account
from celeriac_cdk.config import StageConfig
from celeriac_console.main import app
from celeriac_console.stage.clients import client as operators_client

known = Queue("orphans-known")
gone = Queue("orphans-gone")
leaving = Queue("orphans-leaving", retired=True)


@task(known)
def stay() -> None: ...


@task(leaving)
def leave() -> None: ...


def doctor(*options: str) -> str:
    return CliRunner().invoke(app, ["--stage", "test", "doctor", *options], env={"COLUMNS": "400"}).output


def test_nothing_is_an_orphan_in_a_stage_as_it_is_declared(sandbox: Sandbox) -> None:
    assert "ok    orphans: none" in doctor()


def test_a_queue_that_no_declaration_knows_is_named_with_what_it_holds(sandbox: Sandbox) -> None:
    for name in ("celeriac-test--orphans-gone", "celeriac-test--orphans-gone-dlq", "celeriac-test-eu--orphans-gone"):
        client("sqs").create_queue(QueueName=name)
    sqs.send("celeriac-test--orphans-gone", sqs.Entry("{}"))
    found = doctor()
    assert "orphan queue celeriac-test--orphans-gone: no declaration knows it, it has 1 messages" in found
    assert "docs/howto/restore.md" in found
    assert "aws sqs delete-queue --queue-url" in found.partition("orphans-gone-dlq")[2]
    assert "celeriac-test-eu" not in found


def test_a_table_that_no_declaration_knows_is_named(sandbox: Sandbox) -> None:
    for name in ("celeriac-test--old-orders", "celeriac-test-eu--orders", "zebra"):
        client("dynamodb").create_table(
            TableName=name,
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
    found = doctor()
    assert "orphan table celeriac-test--old-orders: no declaration knows it" in found
    assert "celeriac-test-eu" not in found
    assert "zebra" not in found


def test_tasks_in_schedules_of_a_queue_that_no_declaration_knows_are_found(sandbox: Sandbox) -> None:
    client("sqs").create_queue(QueueName=gone.physical_name("test"))
    send(Parcel(gone, Message(id="m-1", task="stay"), delay=timedelta(hours=2)))
    found = doctor()
    assert "orphan schedules orphans-gone: tasks wait in schedules for a queue that no declaration knows" in found
    assert "--group-name celeriac-test --name-prefix orphans-gone." in found


def test_a_retired_queue_says_what_it_holds_until_it_is_empty(sandbox: Sandbox) -> None:
    assert "ok    retired queue orphans-leaving: is empty: its declaration can be removed" in doctor()
    sandbox.send(leaving, {"task": "leave"})
    send(Parcel(leaving, Message(id="m-1", task="leave"), delay=timedelta(hours=2)))
    assert "ok    retired queue orphans-leaving: still has 1 messages, 1+ schedules" in doctor()


def test_a_restored_table_lacks_what_dynamodb_does_not_restore(sandbox: Sandbox) -> None:
    outbox = "celeriac-test--outbox"
    dynamodb: Any = client("dynamodb")
    dynamodb.delete_table(TableName=outbox)
    table = account._table(outbox, "pk", "sk")
    dynamodb.create_table(**{name: value for name, value in table.items() if name != "StreamSpecification"})
    found = doctor("--after-restore")
    assert f"WRONG stream {outbox}: off, so only the sweeper publishes its rows" in found
    assert f"aws dynamodb update-table --table-name {outbox} --stream-specification StreamEnabled=true," in found
    assert f"WRONG expiry {outbox}: off, so nothing is ever deleted" in found
    assert "ok    expiries celeriac-test--idempotency, celeriac-test--flow: on" in found
    assert "aws dynamodb update-continuous-backups --table-name celeriac-test--flow" in found
    assert f"aws dynamodb update-continuous-backups --table-name {outbox}" in found
    assert "stream" not in doctor()

    new = {"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"}
    dynamodb.update_table(TableName=outbox, StreamSpecification=new)
    stream = dynamodb.describe_table(TableName=outbox)["Table"]["LatestStreamArn"]
    found = doctor("--after-restore")
    assert f"WRONG stream {outbox}: on, but the relay reads the stream of the table before" in found
    assert f'write outbox_stream = "{stream}" under stages.test in celeriac.toml' in found


def test_the_numbers_of_a_stage_are_no_drift(sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = (
        'name = "celeriac"\n[stages.test]\nephemeral = true\n[stages.test.queues.orphans-known]\nmax_concurrency = 50\n'
    )
    (tmp_path / "celeriac.toml").write_text(file)

    def listed(params: dict[str, Any], **_: object) -> Any:
        mapping = {"UUID": "u", "State": "Enabled", "BatchSize": 1, "ScalingConfig": {"MaximumConcurrency": 50}}
        mine = "orphans-known" in str(params["query_string"])
        return type("Answer", (), {"status_code": 200}), {"EventSourceMappings": [mapping] if mine else []}

    events = operators_client("lambda").meta.events
    events.register("before-call.lambda.ListEventSourceMappings", listed)
    try:
        assert "orphans-known: on, not as declared" in doctor()
        monkeypatch.chdir(tmp_path)
        assert "orphans-known: on\n" in doctor()
    finally:
        events.unregister("before-call.lambda.ListEventSourceMappings", listed)


@pytest.mark.parametrize("context", [None, "eu-west-1"])
def test_the_relay_reads_a_restored_stream_that_the_file_names(context: str | None) -> None:
    arn = "arn:aws:dynamodb:eu-west-1:123456789012:table/celeriac-prod--outbox/stream/2026-11-26T20:00:00.000"
    config = StageConfig("celeriac", "prod", StageSettings(outbox_stream=arn))
    assert config.outbox_stream(context) == arn
    assert config.outbox_stream("us-east-1") is None
    assert list(StageSettings(outbox_stream=arn).problems()) == []
    assert dict(StageSettings(outbox_stream="x").problems())["outbox_stream"].startswith("is 'x', write the ARN")


@pytest.mark.parametrize("alias", ["", ":live"])
def test_a_relay_that_reads_the_stream_by_an_alias_is_known(sandbox: Sandbox, alias: str) -> None:
    """Lambda lists the mappings of an alias by the alias, and not by its function."""
    arn = f"arn:aws:lambda:eu-west-1:123456789012:function:celeriac-test--relay{alias}"

    def listed(params: dict[str, Any], **_: object) -> Any:
        by_stream = "EventSourceArn" in params["query_string"]
        found = [{"UUID": "u", "FunctionArn": arn}] if by_stream or not alias else []
        return type("Answer", (), {"status_code": 200}), {"EventSourceMappings": found}

    events = operators_client("lambda").meta.events
    events.register("before-call.lambda.ListEventSourceMappings", listed)
    try:
        assert "ok    stream celeriac-test--outbox: on, and the relay reads it" in doctor("--after-restore")
    finally:
        events.unregister("before-call.lambda.ListEventSourceMappings", listed)
