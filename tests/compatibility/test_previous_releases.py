"""What an earlier release has left in AWS is read by this one. The files were written by that release's own code.

A changed name or format fails here: docs/reference/compatibility.md says what may never change.
"""

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

import celeriac
from celeriac.aws.client import client
from celeriac.aws.scheduler import first_name
from celeriac.declare import registry
from celeriac.model import names
from celeriac.testing import Sandbox
from celeriac_console.main import app
from tests.compatibility.write import STAGE, _names, released_application

HERE = Path(__file__).parent
RELEASES = sorted(path.name for path in HERE.iterdir() if path.name[0].isdecimal())


@pytest.fixture(params=RELEASES)
def left(request: pytest.FixtureRequest) -> dict[str, Any]:
    """What the release has left, by the name of the file."""
    return {file.stem: json.loads(file.read_text()) for file in (HERE / request.param).glob("*.json")}


@pytest.fixture
def work(tmp_path: Path) -> Iterator[Any]:
    """The tasks of the release's project."""
    with released_application(tmp_path) as tasks:
        yield tasks


@pytest.fixture
def sandbox(work: Any) -> Iterator[Sandbox]:
    """An account with what that project deploys."""
    with Sandbox() as entered:
        yield entered


def run(*words: str) -> Result:
    return CliRunner().invoke(app, ["--stage", STAGE, *words])


def send(messages: list[dict[str, Any]]) -> None:
    """Put messages into their queues as they were there."""
    sqs = client("sqs")
    for message in messages:
        order = {"MessageGroupId": message["group"], "MessageDeduplicationId": message["deduplication"]}
        sqs.send_message(
            QueueUrl=sqs.get_queue_url(QueueName=message["queue"])["QueueUrl"],
            MessageBody=message["body"],
            MessageAttributes=message["attributes"],
            **{key: value for key, value in order.items() if value is not None},
        )


def put(table: str, items: list[dict[str, Any]]) -> None:
    for item in items:
        client("dynamodb").put_item(TableName=table, Item=item)


def schedule(schedules: list[dict[str, Any]]) -> None:
    for each in schedules:
        client("scheduler").create_schedule(**each)


def test_there_is_something_of_a_release() -> None:
    assert RELEASES
    for release in RELEASES:
        assert {file.stem for file in (HERE / release).glob("*.json")} == {
            *("records", "names", "messages", "rows", "schedules", "export", "letters", "stacks"),
        }
        assert (HERE / release / "project" / "celeriac.toml").exists()


def test_messages_are_run(left: dict[str, Any], work: Any, sandbox: Sandbox) -> None:
    send(left["messages"])

    sandbox.drain()

    assert sorted(work.ran) == [("book", "o-3"), ("charge", "o-1"), ("remind", "o-2")]
    assert sandbox.dead_letters(work.charge.queue) == []


def test_a_record_of_done_work_lets_it_run_no_second_time(left: dict[str, Any], work: Any, sandbox: Sandbox) -> None:
    put(names.idempotency_table(STAGE), left["records"]["items"])

    send(left["messages"])
    again = work.charge.enqueue(order_id="o-1", cents=500)
    sandbox.drain()

    assert ("charge", "o-1") not in work.ran
    assert again.result(timeout=0) == {"charge": "ch-o-1-500"}


def test_a_stored_reference_leads_to_its_result(left: dict[str, Any], work: Any, sandbox: Sandbox) -> None:
    put(names.idempotency_table(STAGE), left["records"]["items"])

    handle = celeriac.handle(left["records"]["ref"])

    assert handle.id == left["records"]["id"]
    assert handle.status().state == "succeeded"
    assert handle.result(timeout=0) == {"charge": "ch-o-1-500"}


def test_rows_of_the_outbox_are_published_once(left: dict[str, Any], work: Any, sandbox: Sandbox) -> None:
    put(names.outbox_table(STAGE), left["rows"])

    sandbox.drain()

    assert sorted(work.ran) == [("confirm", "o-4"), ("remind", "o-5")]
    rows = client("dynamodb").scan(TableName=names.outbox_table(STAGE))["Items"]
    assert all("published_at" in row for row in rows)


def test_rows_that_the_relay_missed_are_swept(left: dict[str, Any], work: Any, sandbox: Sandbox) -> None:
    put(names.outbox_table(STAGE), left["rows"])
    sandbox.advance(timedelta(hours=1))

    sandbox.drain()

    assert sorted(work.ran) == [("confirm", "o-4"), ("remind", "o-5")]


def test_schedules_are_listed_and_fire(left: dict[str, Any], work: Any, sandbox: Sandbox) -> None:
    schedule(left["schedules"])

    listed = json.loads(run("delayed", "list", "--json").stdout)
    assert {each["task"] for each in listed["tasks"]} == {"remind", "charge"}

    sandbox.advance(timedelta(days=5))
    sandbox.drain()
    assert sorted(work.ran) == [("charge", "o-7"), ("remind", "o-6")]


def test_schedules_can_be_cancelled(left: dict[str, Any], work: Any, sandbox: Sandbox) -> None:
    schedule(left["schedules"])

    done = run("delayed", "cancel", "--queue", "jobs", "--yes")

    assert done.exit_code == 0, done.output
    sandbox.advance(timedelta(days=5))
    sandbox.drain()
    assert work.ran == []


def test_dead_letters_are_read_and_redriven(left: dict[str, Any], work: Any, sandbox: Sandbox) -> None:
    send(left["letters"])

    (letter,) = sandbox.dead_letters(work.refuse.queue)
    assert (letter.task, letter.args) == ("refuse", {"order_id": "bad-8"})
    assert letter.failure is not None
    assert (letter.failure.reason, letter.failure.message) == ("rejected", "not this one")

    done = run("dlq", "redrive", "jobs", "--set", "order_id=good-8", "--yes")
    assert done.exit_code == 0, done.output
    sandbox.drain()
    assert work.ran == [("refuse", "good-8")]
    assert sandbox.dead_letters(work.refuse.queue) == []


def test_an_export_is_imported(left: dict[str, Any], work: Any, sandbox: Sandbox, tmp_path: Path) -> None:
    file = tmp_path / "letters.jsonl"
    file.write_text("\n".join(left["export"]) + "\n")

    done = run("dlq", "import", "jobs", str(file))

    assert done.exit_code == 0, done.output
    (letter,) = sandbox.dead_letters(work.refuse.queue)
    assert letter.failure is not None
    assert letter.failure.reason == "rejected"


def test_a_schedule_has_the_name_that_follows_from_its_message(left: dict[str, Any], work: Any) -> None:
    for each in left["schedules"]:
        message = json.loads(each["Target"]["Input"])
        assert each["Name"] == first_name(names.part(STAGE, "jobs"), message["task"], message["id"])


def test_every_name_is_what_it_was(left: dict[str, Any], work: Any, sandbox: Sandbox) -> None:
    found, before = _names(), left["names"]
    assert found.items() >= {what: name for what, name in before.items() if what != "tables"}.items()
    assert set(found["tables"]) - set(before["tables"]) == {names.flow_table(STAGE)}  # it is newer than both releases
    assert set(found["tables"]) >= set(before["tables"])
    assert {queue.name for queue in registry.queues().values()} == {"jobs", "ledger"}
