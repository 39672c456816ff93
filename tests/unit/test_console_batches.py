"""`celeriac batches list` and `show`: batches that haven't ended, as an operator types them."""

import json
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from botocore.client import BaseClient
from botocore.exceptions import ClientError
from typer.testing import CliRunner, Result

import celeriac
from celeriac import Backoff, Batch, Queue, Reject, task
from celeriac.aws.client import client
from celeriac.flow.batches import root
from celeriac.flow.rows import key_of
from celeriac.model import names
from celeriac.testing import Sandbox, WorkerDied
from celeriac_console.main import app

parts = Queue("console-parts", batch_size=10)
ends = Queue("console-ends")
IMPORT = "console-ends#cb_then:import-7"
bad: set[int] = set()


@pytest.fixture(autouse=True)
def _empty() -> None:
    bad.clear()


@task(parts, retry=Backoff(attempts=1))
def cb_part(number: int) -> None:
    if number in bad:
        raise Reject("not this one")


@task(ends)
def cb_then() -> None: ...


@task(ends)
def cb_dead() -> None: ...


def _run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["--stage", "test", "batches", *arguments])


def _said(*arguments: str) -> str:
    answer = _run(*arguments)
    assert answer.exit_code == 0, answer.output
    return " ".join(answer.output.split())


def _json(*arguments: str) -> Any:
    answer = _run(*arguments, "--json")
    assert answer.exit_code == 0, answer.output
    return json.loads(answer.stdout)


def _fill(count: int, key: str = "import-7", late_after: timedelta = timedelta(days=1)) -> Batch:
    with celeriac.batch(then=cb_then.bind(), dead=cb_dead.bind(), key=key, late_after=late_after) as batch:
        batch.enqueue_many(cb_part, ({"number": number} for number in range(count)))
    return batch


def _dies(sandbox: Sandbox, key: str = "import-7") -> None:
    with suppress(WorkerDied), sandbox.worker():
        sandbox.crash_at(2, after=True)
        _fill(1, key)


def test_a_stage_where_every_batch_has_ended_says_so(sandbox: Sandbox) -> None:
    assert _said("list") == "every batch has ended"
    assert _said("list", "--late") == "no batch is late"
    _fill(3)
    sandbox.drain()
    assert _said("list") == "every batch has ended"
    assert _json("list") == []


def test_a_batch_that_runs_is_listed_with_its_counts(sandbox: Sandbox) -> None:
    bad.add(1)
    with celeriac.batch(then=cb_then.bind(), key="import-7") as batch:
        batch.enqueue_many(cb_part, ({"number": number} for number in range(299)))
        batch.enqueue(cb_part.options(delay=timedelta(hours=3)), 299)
    while sandbox.run_once():
        pass
    (row,) = _json("list")
    assert (row["id"], row["state"], row["late"]) == (IMPORT, "running", False)
    assert [row[name] for name in ("total", "succeeded", "dead", "missing")] == [300, 298, 1, 1]
    said = _said("list")
    assert "298 of 300 1 1" in said
    assert f"celeriac --stage test batches show '{IMPORT}'" in said
    assert "1 member is missing. Such a member waits, runs or is retried" in _said("show", IMPORT)


def test_late_batches_come_first_and_can_be_listed_alone(sandbox: Sandbox) -> None:
    bad.update(range(9))
    _fill(1, "patient")
    sandbox.advance(timedelta(minutes=1))
    _fill(2, "hasty", timedelta(minutes=30))
    sandbox.drain()
    sandbox.advance(timedelta(hours=2))
    assert [(row["id"][-5:], row["late"]) for row in _json("list")] == [("hasty", True), ("tient", False)]
    assert [row["id"][-5:] for row in _json("list", "--late")] == ["hasty"]
    assert "for 1 h 3" in _said("list", "--late")
    assert "late for 1 h 3" in _said("show", "console-ends#cb_then:hasty")


def test_a_list_that_is_cut_tells_how_to_see_more(sandbox: Sandbox) -> None:
    bad.update(range(9))
    for key in "abcd":
        _fill(1, key)
    sandbox.drain()
    answer = _run("list", "--limit", "3", "--json")
    assert len(json.loads(answer.stdout)) == 3
    assert "There are more: celeriac --stage test batches list --limit 30" in answer.stderr
    assert len(_json("list", "--limit", "4")) == 4
    assert "There are more" not in _run("list", "--limit", "4").stderr


def test_a_block_whose_program_died_is_shown_with_its_two_cures(sandbox: Sandbox) -> None:
    _dies(sandbox)
    (row,) = _json("list")
    assert (row["state"], row["total"], row["missing"]) == ("open", None, None)
    said = _said("show", IMPORT)
    assert "its program has died before all members were added" in said
    assert "fill a batch with the same key: import-7" in said
    assert f"celeriac --stage test batches repair '{IMPORT}' --give-up" in said


def test_a_block_without_a_key_that_died_cant_be_begun_again(sandbox: Sandbox) -> None:
    with suppress(WorkerDied), sandbox.worker():
        sandbox.crash_at(1, after=True)
        celeriac.batch(then=cb_then.bind()).__enter__()
    assert "It has no key" in _said("show", _json("list")[0]["id"])


def test_a_block_that_was_left_by_an_error_is_shown_and_not_listed(sandbox: Sandbox) -> None:
    with suppress(ZeroDivisionError), celeriac.batch(then=cb_then.bind(), key="import-7"):
        _ = 1 / 0
    assert _json("list") == []
    assert "Nobody waits for it: its block was left by an error" in _said("show", IMPORT)


def test_dead_members_are_shown_a_page_at_a_time(sandbox: Sandbox) -> None:
    bad.update({1, 4, 260})
    _fill(300)
    sandbox.drain()
    assert _json("list")[0]["state"] == "dead"
    answer = _run("show", IMPORT, "--limit", "2")
    assert "297 of 300 members have succeeded, 3 dead, 0 missing" in answer.stdout
    assert "`dead` was sent." in answer.stdout
    assert f"next: celeriac --stage test batches show '{IMPORT}' --after 4 --limit 2" in answer.stderr
    page = _json("show", IMPORT, "--limit", "2")
    assert ([each["index"] for each in page["dead_members"]], page["next"]) == ([1, 4], 4)
    page = _json("show", IMPORT, "--after", "4", "--limit", "2")
    (member,) = page["dead_members"]
    assert (member["index"], member["queue"], page["next"]) == (260, "console-parts", None)
    assert celeriac.handle(member["ref"]).status().state == "dead"


def test_the_commands_that_it_suggests_work(sandbox: Sandbox) -> None:
    bad.add(1)
    _fill(2)
    sandbox.drain()
    member = _json("show", IMPORT)["dead_members"][0]
    said = _said("show", IMPORT)
    assert f"celeriac --stage test status {member['ref']}" in said
    assert f"celeriac --stage test dlq show console-parts {member['ref']}" in said
    for words in (["status", member["ref"]], ["dlq", "show", "console-parts", member["ref"]]):
        answer = CliRunner().invoke(app, ["--stage", "test", *words])
        assert "not this one" in answer.output


def test_a_batch_that_has_ended_says_so(sandbox: Sandbox) -> None:
    _fill(2)
    sandbox.drain()
    assert "All members have succeeded, and `then` was sent." in _said("show", IMPORT)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["show", "nothing"], "'nothing' is no id of a batch: it is a queue, # and a name"),
        (["show", "console-ends#no"], "no batch has the id console-ends#no, or it ended more than 35 days ago"),
        (["show", "console-ends#no"], "celeriac --stage test batches list shows those that haven't ended"),
        (["ls"], "Did you mean: celeriac batches list?"),
        (["retry", "x"], "Did you mean: celeriac batches repair?"),
    ],
)
def test_what_cant_be_shown_is_refused_with_its_cure(sandbox: Sandbox, arguments: list[str], sentence: str) -> None:
    answer = _run(*arguments)
    assert answer.exit_code == 2
    assert sentence in " ".join(answer.output.replace("│", "").split())


def test_on_a_narrow_terminal_each_batch_gets_lines(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    bad.add(0)
    _fill(2)
    sandbox.drain()
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "60")
    assert "1 of 2 succeeded, 1 dead, 0 missing" in _run("list").output


def test_a_stage_without_the_table_says_what_to_do(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    real = BaseClient._make_api_call  # type: ignore[attr-defined]

    def missing(self: BaseClient, operation: str, arguments: dict[str, Any]) -> Any:
        if operation in {"Query", "GetItem"}:
            raise ClientError({"Error": {"Code": "ResourceNotFoundException", "Message": "no"}}, operation)
        return real(self, operation, arguments)

    monkeypatch.setattr(BaseClient, "_make_api_call", missing)
    for arguments in (["list"], ["show", IMPORT]):
        answer = _run(*arguments)
        assert answer.exit_code == 2
        assert "which batches need: it was deployed without them" in " ".join(answer.output.split())


def test_a_batch_whose_item_is_gone_is_left_out(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    _dies(sandbox)
    listed = root.listed
    monkeypatch.setattr(root, "listed", lambda shard, most, until=None: ["x#gone", *listed(shard, most, until=until)])
    assert [row["id"] for row in _json("list")] == [IMPORT]
    client("dynamodb").delete_item(TableName=names.flow_table("test"), Key=key_of(f"batch#{IMPORT}"))
    assert _json("list") == []
