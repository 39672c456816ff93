"""`celeriac dlq export` and `import`: exported letters can run again, even if their records and payloads were deleted
meanwhile.
"""

import json
import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from celeriac import Backoff, Context, Queue, task
from celeriac.aws import sqs
from celeriac.aws.client import client
from celeriac.dead_letters.dead_letter import DeadLetter
from celeriac.model import names
from celeriac.model.message import VERSION
from celeriac.testing import Sandbox
from celeriac_console.main import app
from tests.support.faults import registered
from tests.support.redrive import received

shop = Queue("files")
ledger = Queue("files-ledger", fifo=True)
ran: list[Any] = []


class Now:
    """The state of the running test."""

    cured = False
    sandbox: Sandbox


@pytest.fixture(autouse=True)
def _empty(sandbox: Sandbox) -> None:
    Now.cured, Now.sandbox = False, sandbox
    ran.clear()


@task(shop, key="order", retry=Backoff(attempts=1))
def pay(ctx: Context, order: str, note: str = "") -> None:
    ran.append(order)
    if not Now.cured:
        raise ConnectionError(f"no answer for {order}")


@task(shop, key="order", delivery="at_most_once")
def pay_once(order: str) -> None:
    ran.append(order)
    if not Now.cured:
        raise ConnectionError


@task(shop, key="order", retry=Backoff(base=timedelta(days=1), cap=timedelta(days=1), attempts=3))
def pay_slowly(order: str) -> None:
    ran.append(order)
    if not Now.cured:
        raise ConnectionError


@task(ledger, retry=Backoff(attempts=1))
def book_entry(number: int) -> None:
    ran.append(number)
    if not Now.cured:
        raise ConnectionError


def _run(*arguments: str, **options: Any) -> Result:
    Now.sandbox.advance(timedelta(milliseconds=1))  # in moto, released messages can be received a moment later
    return CliRunner().invoke(app, ["--stage", "test", "dlq", *arguments], **options)


def _json(*arguments: str) -> Any:
    *_, answer = _run(*arguments, "--json").stdout.splitlines()  # while the command waits, workers print their metrics
    return json.loads(answer)


def _die(order: str = "o-1", **kwargs: Any) -> None:
    pay.enqueue(order=order, **kwargs)
    Now.sandbox.drain()
    ran.clear()


def _send_dead(body: str, queue: Queue = shop, **fields: Any) -> None:
    client("sqs").send_message(QueueUrl=sqs.url(queue.dead_letter_name("test")), MessageBody=body, **fields)


def _letters() -> list[DeadLetter]:
    return Now.sandbox.dead_letters(shop)


@pytest.fixture
def file(tmp_path: Path) -> str:
    return str(tmp_path / "dead.jsonl")


def _redriven(queue: str = "files") -> list[Any]:
    """What runs after a redrive of the imported letters, with the cause of failure removed."""
    Now.cured = True
    assert _run("redrive", queue).exit_code == 0
    Now.sandbox.drain()
    return ran


def test_exported_letters_are_imported_unchanged(file: str) -> None:
    for order in ("o-1", "o-2"):
        _die(order)
    Now.sandbox.send(shop, "not JSON")
    Now.sandbox.drain()
    before = sorted(_shown(), key=str)
    assert _json("export", "files", file) == {"exported": 3, "missing": []}
    _run("discard", "files", "--yes")
    assert _json("import", "files", file) == {"imported": 3, "problems": []}
    assert sorted(_shown(), key=str) == before
    Now.cured = True
    _run("redrive", "files", "--task", "pay")
    Now.sandbox.drain()
    assert sorted(ran) == ["o-1", "o-2"]


def _shown() -> list[dict[str, Any]]:
    """The letters as an operator sees them, without SQS's id, which is new. A body without an id is shown under SQS's
    id.
    """
    shown: list[dict[str, Any]] = _json("list", "files", "--letters")
    return [{name: value for name, value in one.items() if name not in {"message_id", "id"}} for one in shown]


def _forget_record() -> None:
    table = names.idempotency_table("test")
    for item in client("dynamodb").scan(TableName=table)["Items"]:
        client("dynamodb").delete_item(TableName=table, Key={"id": item["id"]})


def _die_again() -> None:
    """Redrive the letter, let the task fail again, and discard the new letter. The record then names that later
    failure.
    """
    _run("redrive", "files")
    Now.sandbox.drain()
    ran.clear()


def _outlive_record() -> None:
    _run("discard", "files", "--yes")
    Now.sandbox.advance(timedelta(days=20))


def _nothing() -> None:
    pass


@pytest.mark.parametrize("meanwhile", [_nothing, _forget_record, _die_again, _outlive_record])
@pytest.mark.parametrize("task_", [pay, pay_once], ids=["effectively_once", "at_most_once"])
def test_an_imported_letter_runs_in_every_state_of_its_record(
    file: str, task_: Any, meanwhile: Callable[[], None]
) -> None:
    task_.enqueue(order="o-1")
    Now.sandbox.drain()
    ran.clear()
    _run("export", "files", file)
    meanwhile()
    _run("discard", "files", "--yes")
    _run("import", "files", file)
    assert _redriven() == ["o-1"]
    assert _letters() == []


def test_an_imported_letter_runs_even_if_its_retry_was_purged(file: str) -> None:
    pay_slowly.enqueue(order="o-1")
    Now.sandbox.drain()
    _run("export", "files", file)
    _run("redrive", "files")
    Now.sandbox.run_once()  # the first attempt fails, the second is a day away
    client("sqs").purge_queue(QueueUrl=sqs.url("celeriac-test--files"))
    for schedule in client("scheduler").list_schedules(GroupName="celeriac-test")["Schedules"]:
        client("scheduler").delete_schedule(GroupName="celeriac-test", Name=schedule["Name"])
    ran.clear()
    _run("import", "files", file)
    assert _redriven() == ["o-1"]


def test_an_imported_letter_whose_task_has_succeeded_meanwhile_does_not_run(file: str) -> None:
    _die()
    _run("export", "files", file)
    assert _redriven() == ["o-1"]
    _run("import", "files", file)
    assert _redriven() == ["o-1"]
    assert _letters() == []


def test_copies_of_one_import_run_once(file: str) -> None:
    _die()
    _run("export", "files", file)
    _die_again()
    _run("discard", "files", "--yes")
    _run("import", "files", file)
    url = sqs.url("celeriac-test--files-dlq")
    (message,) = received(url.rpartition("/")[2])
    for _ in range(3):  # at-least-once delivery, while the task fails again
        client("sqs").send_message(QueueUrl=sqs.url("celeriac-test--files"), MessageBody=message["Body"])
    Now.sandbox.drain()
    assert ran == ["o-1"]


@pytest.mark.parametrize("when", ["while it tries again", "after it has died"])
def test_copies_of_one_import_start_no_second_chain_of_attempts(file: str, when: str) -> None:
    pay_slowly.enqueue(order="o-1")
    Now.sandbox.drain()
    _run("export", "files", file)
    _run("discard", "files", "--yes")
    _run("import", "files", file)
    (letter,) = _letters()
    ran.clear()
    _run("redrive", "files")
    if when == "after it has died":
        Now.sandbox.drain()
    else:
        for _ in range(2):
            Now.sandbox.run_once()
            Now.sandbox.advance(timedelta(days=1, seconds=1))
    client("sqs").send_message(QueueUrl=sqs.url("celeriac-test--files"), MessageBody=letter.body)
    Now.sandbox.drain()
    assert ran == ["o-1"] * 3


@pytest.mark.parametrize("task_", [pay, pay_once], ids=["effectively_once", "at_most_once"])
def test_only_the_latest_import_of_a_letter_runs_it(file: str, task_: Any) -> None:
    task_.enqueue(order="o-1")
    Now.sandbox.drain()
    _run("export", "files", file)
    _run("discard", "files", "--yes")
    for _ in range(2):
        _run("import", "files", file)
    ran.clear()
    _run("redrive", "files")
    Now.sandbox.drain()
    assert ran == ["o-1"]
    assert len(_letters()) == 1


def test_a_forged_import_mark_runs_nothing(file: str) -> None:
    handle = pay_once.enqueue(order="o-1")
    Now.sandbox.drain()
    ran.clear()

    def forge(id_: str) -> None:
        death = {"reason": "failed", "imported": "0123456789ab"}
        body = {"task": "pay_once", "id": id_, "args": {"order": "o-1"}, "failure": death}
        Now.sandbox.send(shop, body)
        Now.sandbox.drain()

    forge("another")
    forge(handle.id)
    _run("export", "files", file)
    _run("import", "files", file)
    forge(handle.id)
    assert ran == []


def test_arguments_in_the_payload_bucket_are_in_the_file(file: str) -> None:
    _die("o-1", note="n" * 2_000_000)
    _run("export", "files", file)
    _empty_bucket()
    _run("discard", "files", "--yes")
    _run("import", "files", file)
    (letter,) = _letters()
    assert letter.args == {"order": "o-1", "note": "n" * 2_000_000}
    assert _redriven() == ["o-1"]


def test_a_letter_over_256_kb_is_imported(file: str) -> None:
    _die("o-1", note="ü" * 200_000)
    _run("export", "files", file)
    _empty_bucket()
    _run("discard", "files", "--yes")
    assert _json("import", "files", file)["problems"] == []
    assert _redriven() == ["o-1"]


def _empty_bucket() -> None:
    bucket = names.payload_bucket("test", "123456789012", "eu-west-1")
    for found in client("s3").list_objects_v2(Bucket=bucket).get("Contents", []):
        client("s3").delete_object(Bucket=bucket, Key=found["Key"])


def test_an_export_holds_unreadable_bodies_from_the_payload_bucket_too(file: str) -> None:
    body = "x" * 1_048_500
    Now.sandbox.send(shop, body)
    Now.sandbox.drain()
    _run("export", "files", file)
    _empty_bucket()
    _run("discard", "files", "--yes")
    _run("import", "files", file)
    (letter,) = _letters()
    assert (letter.body, letter.missing) == (body, "")
    assert letter.failure is not None
    assert letter.failure.reason == "malformed"


def test_a_letter_whose_payload_is_gone_is_named_and_not_sent(file: str) -> None:
    _die("o-1", note="n" * 2_000_000)
    _empty_bucket()
    exported = _run("export", "files", file)
    assert exported.exit_code == 1
    assert "1 dead letter of files written" in exported.output
    assert "1 letter can't be run again, not even from this file" in exported.output
    redriven = _run("redrive", "files")
    assert redriven.exit_code == 1
    assert "is gone from the payload bucket" in redriven.output
    assert len(_letters()) == 1
    Now.cured = True
    assert _run("redrive", "files", "--set", "order=o-1").exit_code == 0
    Now.sandbox.drain()
    assert ran == ["o-1"]


def test_a_stored_body_that_is_gone_harms_no_other_letter(file: str) -> None:
    _send_dead(f'{{"stored_body": "bodies/files/2026-01-01/{"0" * 64}-5"}}')
    _die()
    shown = _json("list", "files", "--letters")
    assert {one["missing"].partition(",")[0] for one in shown} == {"", "its payload"}
    assert _run("redrive", "files", "--task", "pay").exit_code == 0


def test_a_letter_that_sqs_moved_runs_with_fresh_attempts_after_an_import(file: str) -> None:
    """The body has neither an id nor a failure. The record of a later failure must not make it a late copy."""
    _send_dead('{"task": "pay", "args": {"order": "o-1"}}')
    _run("export", "files", file)
    _die_again()
    _run("discard", "files", "--yes")
    _run("import", "files", file)
    assert _json("list", "files")[0] | {"first": "", "last": "", "example_id": ""} == {
        "queue": "files",
        "kind": "sqs:pay",
        "count": 1,
        "task": "pay",
        "reason": "received too often",
        "first": "",
        "last": "",
        "attempts": 0,
        "example_id": "",
        "example": "",
    }
    assert _redriven() == ["o-1"]


def test_a_body_of_a_newer_version_keeps_its_bytes(file: str) -> None:
    body = json.dumps({"v": VERSION + 1, "task": "pay", "args": {"order": "o-1"}, "more": 1})
    _send_dead(body)
    _run("export", "files", file)
    _run("discard", "files", "--yes")
    _run("import", "files", file)
    assert [letter.body for letter in _letters()] == [body]


def test_a_fifo_letter_can_be_imported_twice_within_sqss_five_minutes_of_deduplication(file: str) -> None:
    for number in range(3):
        book_entry.options(group="g").enqueue(number=number)
    Now.sandbox.drain()
    ran.clear()
    _run("export", "files-ledger", file)
    for _ in range(2):
        _run("discard", "files-ledger", "--yes")
        assert _json("import", "files-ledger", file)["imported"] == 3
        assert len(Now.sandbox.dead_letters(ledger)) == 3
    assert _redriven("files-ledger") == [0, 1, 2]


def test_attributes_of_another_program_survive_export_and_import(file: str) -> None:
    attributes: Any = {
        "blob": {"DataType": "Binary", "BinaryValue": b"\x00\xff"},
        "count": {"DataType": "Number", "StringValue": "7"},
        "failure": {"DataType": "String", "StringValue": '{"reason": "card declined"}'},
    }
    _send_dead('{"task": "pay"}', MessageAttributes=attributes)
    _run("export", "files", file)
    Path(file).write_text(f"{Path(file).read_text()}\n\n")
    _run("discard", "files", "--yes")
    assert _json("import", "files", file) == {"imported": 1, "problems": []}
    (message,) = received("celeriac-test--files-dlq")
    assert message["MessageAttributes"] == attributes


def test_a_file_of_an_older_release_is_imported(file: str) -> None:
    _die()
    _run("export", "files", file)
    line = json.loads(Path(file).read_text())
    del line["sqs"]["stored"], line["missing"]
    Path(file).write_text(json.dumps(line))
    _run("discard", "files", "--yes")
    assert _json("import", "files", file)["imported"] == 1


def test_an_existing_file_is_replaced_only_with_force(file: str) -> None:
    _die()
    Path(file).write_text("mine")
    refused = _run("export", "files", file)
    assert refused.exit_code == 2
    assert "is there already: name another file, or replace it with --force" in refused.output
    assert Path(file).read_text() == "mine"
    assert _run("export", "files", file, "--force").exit_code == 0
    assert json.loads(Path(file).read_text())["task"] == "pay"


def test_an_interrupted_export_leaves_no_file(file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(**_: object) -> None:
        raise KeyboardInterrupt

    _die()
    with registered("sqs", "before-call.sqs.ReceiveMessage", interrupt):
        told = _run("export", "files", file)
    assert told.exit_code == 130
    assert "dead.jsonl is not written. From the start: celeriac" in told.output
    assert os.listdir(Path(file).parent) == []  # noqa: PTH208 - includes hidden files


def test_an_export_can_be_written_to_a_device_but_not_to_a_folder(tmp_path: Path) -> None:
    _die()
    assert _run("export", "files", "/dev/null").exit_code == 0
    assert Path("/dev/null").is_char_device()
    assert "is a folder: name a file in it" in _run("export", "files", str(tmp_path)).output


def test_an_interrupted_import_can_be_continued(file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for order in range(25):
        _send_dead(f'{{"task": "pay", "args": {{"order": "{order}"}}}}')
    _run("export", "files", file)
    _run("discard", "files", "--yes")
    calls = 0

    def interrupt(**_: object) -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr("sys.argv", ["celeriac", "--stage", "test", "dlq", "import", "files", file])
    with registered("sqs", "before-call.sqs.SendMessageBatch", interrupt):
        told = _run("import", "files", file)
    assert told.exit_code == 130
    assert "10 of 25 dead letters put into celeriac-test--files-dlq" in told.output
    assert f"celeriac --stage test dlq import files {file} --skip 10" in told.output
    assert _json("import", "files", file, "--skip", "10")["imported"] == 15
    assert len(_letters()) == 25
    assert "--skip 26 leaves out more" in _run("import", "files", file, "--skip", "26").output


@pytest.mark.parametrize(
    "line", ['{"id": 1}', "[]", '{"sqs": null, "message_id": "m"}', "\N{LATIN SMALL LETTER U WITH DIAERESIS}"]
)
def test_a_file_that_is_not_an_export_is_refused_with_the_line(file: str, line: str) -> None:
    _die()
    _run("export", "files", file)
    Path(file).write_text(f"{Path(file).read_text()}{line}\n")
    told = _run("import", "files", file)
    assert told.exit_code == 2
    assert "line 2: no dead letter of `celeriac dlq export`" in told.output
    assert len(_letters()) == 1  # nothing in the file was imported


def test_a_file_that_is_not_utf8_is_refused(file: str) -> None:
    Path(file).write_bytes(b"\xff\xfe")
    assert "is no text in UTF-8" in _run("import", "files", file).output


def test_an_export_has_no_control_characters(file: str) -> None:
    body = "\x9b2J \u202e \u2028 ü"
    _send_dead(body)
    _run("export", "files", file)
    text = Path(file).read_text()
    assert "ü" in text
    assert not {"\x9b", "\u202e", "\u2028"} & set(text)
    _run("discard", "files", "--yes")
    _run("import", "files", file)
    assert [letter.body for letter in _letters()] == [body]
