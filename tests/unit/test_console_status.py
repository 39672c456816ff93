"""`celeriac send` and `status`: `status` takes the reference that `send` prints."""

import json
import shlex
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from celeriac import Backoff, Context, Queue, Reject, Retry, task
from celeriac.aws import sqs
from celeriac.aws.client import client
from celeriac.consume import quarantine
from celeriac.testing import Sandbox
from celeriac_console.lookup import search
from celeriac_console.main import app
from celeriac_console.stage.clients import client as operators_client

shop = Queue("status", timeout=timedelta(minutes=1))
ran: list[str] = []


@pytest.fixture(autouse=True)
def _empty() -> Iterator[None]:
    ran.clear()
    return iter(())


@task(shop, key="order", retry=Backoff(base=timedelta(minutes=10), jitter=0, attempts=2))
def charge(ctx: Context, order: str, fail: str = "no") -> dict[str, str]:
    ran.append(order)
    if fail == "yes":
        raise ConnectionError("no answer")
    if fail == "for good":
        raise Reject("declined")
    if fail == "later":
        raise Retry("busy")
    return {"charge": order}


@task(shop, key="number")
def count(number: int, times: int) -> int:
    ran.append(str(number))
    return number * times


@task(shop)
def mark() -> None: ...


@task(shop, delivery="at_least_once")
def notify(fail: bool = False) -> None:  # noqa: FBT001, FBT002 - the parameters are the payload
    if fail:
        raise Reject("nobody there")


def _run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["--stage", "test", *arguments])


def _type(command: str) -> Result:
    """Run a command line that another command has printed."""
    return CliRunner().invoke(app, shlex.split(command)[1:])


def _sent(*arguments: str) -> str:
    """The reference that `send` prints on standard output, which holds nothing else."""
    done = _run("send", *arguments)
    assert done.exit_code == 0, done.output
    (ref,) = done.stdout.splitlines()
    return ref


def test_status_takes_what_send_prints(sandbox: Sandbox) -> None:
    ref = _sent("charge", "--arg", "order=o-1")
    assert _run("status", ref).output == "charge: waiting in its queue\n"
    sandbox.drain()
    done = _run("status", ref)
    assert (done.exit_code, done.output.splitlines()[0]) == (0, "charge: succeeded 2026-01-01 00:00:00Z, 1 attempt")
    assert '"charge": "o-1"' in done.output


def test_send_prints_the_next_command(sandbox: Sandbox) -> None:
    done = _run("send", "charge", "--arg", "order=o 1")
    (next_,) = [line for line in done.stderr.splitlines() if line.startswith("next: ")]
    assert _type(next_.removeprefix("next: ")).output == "charge: waiting in its queue\n"


def test_status_takes_a_bare_id_too(sandbox: Sandbox) -> None:
    handle = charge.enqueue(order="o-1")
    unkeyed = mark.enqueue()
    sandbox.drain()
    assert _run("status", handle.id).output.startswith("charge: succeeded")
    assert _run("status", unkeyed.id).output.startswith("mark: succeeded")
    assert _run("status", "o-1").output.startswith("charge: succeeded")
    assert _run("status", "o-1", "--task", "count").exit_code == 1


def test_an_id_among_many_records_is_found_by_searching(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "MOST_PAGES", 1)
    charge.enqueue_many({"order": "x" * 900 + str(n)} for n in range(3))
    handles = count.enqueue_many({"number": n, "times": 1} for n in range(3))
    sandbox.drain()
    table = "celeriac-test--idempotency"
    for n in range(4):  # pages of a megabyte
        filler = {"id": {"S": f"charge#{n}"}, "filler": {"S": "x" * 390_000}, "task_id": {"S": "another"}}
        client("dynamodb").put_item(TableName=table, Item=filler)
    found = [_run("status", handle.id).exit_code for handle in handles]
    searched = [_run("status", handle.id, "--search").exit_code for handle in handles]
    assert 1 in found
    assert searched == [0, 0, 0]


def test_status_shows_each_state(sandbox: Sandbox) -> None:
    delayed = _sent("mark", "--delay", "10m")
    assert _run("status", delayed).output == "mark: delayed until 2026-01-01 00:10:00Z\n"
    scheduled = mark.options(delay=timedelta(days=3)).enqueue()
    assert _run("status", scheduled.id).output == "mark: delayed until 2026-01-04 00:00:01Z\n"
    assert _run("status", scheduled.ref).output == "mark: delayed until 2026-01-04 00:00:00Z\n"

    failing = charge.enqueue(order="o-1", fail="yes")
    sandbox.run_once()
    retrying = _run("status", failing.ref)
    assert retrying.output.splitlines() == [
        "charge: retrying at 2026-01-01 00:10:00Z, 1 attempt",
        "ConnectionError: no answer",
    ]
    assert retrying.exit_code == 0


def test_status_shows_since_when_a_task_is_running(sandbox: Sandbox) -> None:
    said: list[str] = []

    @task(shop)
    def slow() -> None:
        sandbox.advance(timedelta(seconds=5))
        said.append(_run("status", handle.ref).output)

    handle = slow.enqueue()
    sandbox.drain()
    assert said == ["slow: running since 2026-01-01 00:00:00Z, 1 attempt\n"]


def test_status_shows_a_lost_worker(sandbox: Sandbox) -> None:
    handle = charge.enqueue(order="o-1")
    sandbox.crash_at(2)  # after the claim
    sandbox.run_once()
    assert _run("status", handle.ref).output.startswith("charge: running since")
    sandbox.advance(shop.timeout + timedelta(seconds=1))
    assert _run("status", handle.ref).output.splitlines() == [
        "charge: worker lost, tries again at 2026-01-01 00:06:00Z, 1 worker lost",
    ]
    sandbox.advance(shop.visibility - shop.timeout)
    sandbox.crash_at(6)  # the worker reads the quarantine, and takes the lease over with four calls
    sandbox.run_once()
    sandbox.advance(shop.timeout + timedelta(seconds=1))
    status = handle.status()
    assert (status.attempts, status.deaths) == (0, 2)


def test_the_status_of_a_dead_letter_has_the_command_that_shows_it(sandbox: Sandbox) -> None:
    handle = charge.enqueue(order="o-1", fail="for good")
    sandbox.drain()
    done = _run("status", handle.ref)
    assert done.exit_code == 1
    first, error, see = done.output.splitlines()
    assert first == "charge: dead since 2026-01-01 00:00:00Z, rejected, 1 attempt"
    assert error == "celeriac.Reject: declined"
    assert "declined" in _type(see.removeprefix("see it: ")).output
    assert "declined" in _run("dlq", "show", "status", handle.ref).output


def test_a_letter_is_found_by_a_reference_that_was_cut(sandbox: Sandbox) -> None:
    handle = charge.enqueue(order="o-1", fail="for good")
    other = charge.enqueue(order="o-2", fail="for good")
    sandbox.drain()
    task, id_, rest = handle.ref.split("/")
    for cut in (
        f"{task}/{id_}",
        f"{task}/{id_}/{rest.partition('@')[0]}",
        f"{id_}/{rest}",
        f"{id_}@{rest.partition('@')[2]}",
    ):
        assert f"charge  {id_}" in _run("dlq", "show", "status", cut).output
        assert f"dlq show status {id_}" in _run("dlq", "redrive", "status", "--id", cut, "--dry-run").output
    assert _run("dlq", "show", "status", task).exit_code == 2  # the task's name alone names no letter
    assert _run("dlq", "redrive", "status", "--id", f"{task}/{id_}").exit_code == 0
    assert {letter.id for letter in sandbox.dead_letters(shop)} == {other.id}


def test_status_says_that_a_letter_is_no_longer_in_the_queue(sandbox: Sandbox) -> None:
    handle = charge.enqueue(order="o-1", fail="for good")
    sandbox.drain()
    client("sqs").purge_queue(QueueUrl=sqs.url("celeriac-test--status-dlq"))
    assert "its letter is no longer in the dead-letter queue: it was redriven or discarded" in (
        _run("status", handle.ref).output
    )


def test_status_shows_that_a_message_moved_by_sqs_is_dead(sandbox: Sandbox) -> None:
    handle = charge.enqueue(order="o-1")
    for _ in range(shop.receive_limit + 1):
        client("sqs").receive_message(QueueUrl=sqs.url("celeriac-test--status"), VisibilityTimeout=0)
    for asked_for in (handle.ref, handle.id):
        assert "charge: dead since" in _run("status", asked_for).output


def test_status_finds_an_unreadable_body_by_sqss_id(sandbox: Sandbox) -> None:
    client("sqs").send_message(QueueUrl=sqs.url("celeriac-test--status"), MessageBody="nonsense")
    sandbox.drain()
    (letter,) = sandbox.dead_letters(shop)
    assert "dead since 2026-01-01 00:00:00Z, malformed" in _run("status", letter.id).output


def test_the_status_of_a_task_never_sent_is_unknown(sandbox: Sandbox) -> None:
    for asked_for in ("0198f3c2", "charge/0198f3c2/o-1"):
        done = _run("status", asked_for)
        assert done.exit_code == 1
        assert "unknown: nothing is stored of" in done.output
    assert "Did you mean charge?" in _run("status", "chrge/0198f3c2@0").output


def test_the_status_of_a_finished_at_least_once_task_is_dead_or_unknown(sandbox: Sandbox) -> None:
    well, badly = notify.enqueue(), notify.enqueue(fail=True)
    sandbox.drain()
    assert "as of every at_least_once task that isn't dead" in _run("status", well.ref).output
    assert "notify: dead since" in _run("status", badly.ref).output


def test_status_says_that_a_queue_is_paused(sandbox: Sandbox) -> None:
    def listed(**_: object) -> Any:
        return type("Answer", (), {"status_code": 200}), {"EventSourceMappings": [{"UUID": "u", "State": "Disabled"}]}

    events = operators_client("lambda").meta.events
    events.register("before-call.lambda.ListEventSourceMappings", listed)
    ref = _sent("mark")
    told = _run("status", ref).output
    events.unregister("before-call.lambda.ListEventSourceMappings", listed)
    assert told == "mark: paused (waiting in its queue): celeriac --stage test resume status\n"


def test_status_with_json_has_all_fields(sandbox: Sandbox) -> None:
    ref = _sent("charge", "--arg", "order=o-1")
    sandbox.drain()
    (row,) = json.loads(_run("status", ref, "--json").stdout)
    assert row["ref"] == ref
    assert (row["task"], row["state"], row["attempts"], row["result"]) == ("charge", "succeeded", 1, {"charge": "o-1"})
    assert row["since"] == "2026-01-01T00:00:00+00:00"


def test_status_takes_a_task_and_its_key(sandbox: Sandbox) -> None:
    charge.enqueue(order="o-1")
    sandbox.drain()
    assert _run("status", "charge/o-1").output.startswith("charge: succeeded")
    assert _run("status", "charge/50%e4").exit_code == 1


def test_the_note_of_a_redriven_at_least_once_letter_is_not_shown_as_its_state(sandbox: Sandbox) -> None:
    handle = notify.enqueue(fail=True)
    sandbox.drain()
    (letter,) = sandbox.dead_letters(shop)
    client("sqs").purge_queue(QueueUrl=sqs.url("celeriac-test--status-dlq"))
    body = letter.body.replace('"fail":true', '"fail":false')
    client("sqs").send_message(QueueUrl=sqs.url("celeriac-test--status"), MessageBody=body)
    sandbox.drain()
    assert "unknown" in _run("status", handle.id).output


def test_an_unknown_id_gets_the_command_that_searches_for_it(sandbox: Sandbox) -> None:
    assert "celeriac --stage test status --search 'a b' reads all" in _run("status", "a b").output.replace("\n", " ")


def test_send_waits_for_the_result(sandbox: Sandbox) -> None:
    done = _run("send", "count", "--arg", "number=6", "--arg", "times=7", "--wait")
    assert (done.exit_code, done.stdout.splitlines()[-1]) == (0, "42")


def test_send_waits_for_a_failure(sandbox: Sandbox) -> None:
    done = _run("send", "charge", "--arg", "order=o-1", "--arg", "fail=for good", "--wait")
    assert done.exit_code == 1
    assert "rejected: celeriac.Reject: declined" in done.stderr
    assert "see it: celeriac --stage test dlq show status" in done.stderr


def test_send_waits_until_its_timeout(sandbox: Sandbox) -> None:
    done = _run("send", "charge", "--arg", "order=o-1", "--arg", "fail=yes", "--wait", "--timeout", "10s")
    assert done.exit_code == 1
    assert (
        "it is retrying after 10 s, its last error is ConnectionError: celeriac --stage test status charge/"
        in done.stderr
    )


def test_send_stops_waiting_for_a_quarantined_task(sandbox: Sandbox) -> None:
    quarantine.add(quarantine.of_task("mark"))
    quarantine.refresh()
    done = _run("send", "mark", "--wait")
    quarantine.lift(quarantine.of_task("mark"))
    quarantine.refresh()
    assert (done.exit_code, "quarantined" in done.stderr) == (1, True)


def test_control_characters_of_another_program_do_not_reach_the_terminal(sandbox: Sandbox) -> None:
    @task(shop, key="order")
    def evil(order: str) -> str:
        return "\u202e\x9b31m"

    @task(shop, key="order")
    def worse(order: str) -> None:
        raise Reject("\x1b[2J\u202e")

    id_ = "\x1b[2J\x07\u202e\nSTATE: all is well"
    for name in ("evil", "worse"):
        body = json.dumps({"task": name, "id": id_, "args": {"order": "o"}})
        sqs.send(shop.physical_name("test"), sqs.Entry(body))
    sandbox.drain()

    commands = [
        *(["send", name, "--arg", f"order={order}", "--wait"] for name in ("evil", "worse") for order in ("o", "new")),
        *(["status", what] for what in (id_, "o", evil.handle(key="o").ref, worse.handle(key="o").ref)),
        *(
            [verb, name, key, "--yes"]
            for verb in ("rerun", "forget")
            for name in ("worse", "evil")
            for key in ("o", id_)
        ),
        ["dlq", "list", "status"],
        ["dlq", "list", "status", "--letters"],
        ["dlq", "show", "status", id_],
    ]
    for command in commands:
        told = _run(*command).output
        assert not {c for c in told if not c.isprintable() and c != "\n"}, command
        assert "\nSTATE" not in told, command
    ended = _run("send", "evil", "--arg", "order=json", "--wait").stdout.splitlines()
    assert json.loads(ended[-1]) == "\u202e\x9b31m"


def test_a_task_that_has_expired_is_shown_as_cancelled_and_runs_after_all(sandbox: Sandbox) -> None:
    ref = _run("send", "charge", "--arg", "order=o-late", "--expires", "1m").stdout.strip()
    sandbox.advance(timedelta(minutes=1))
    sandbox.drain()
    shown = _run("status", ref)
    assert shown.exit_code == 1
    first, second, third, *_ = shown.stdout.splitlines()
    assert first == "charge: cancelled 2026-01-01 00:01:00Z"
    assert second == "expired: it was to start by 2026-01-01 00:01:00+00:00"
    assert third == "it has no dead letter. Run it after all: celeriac --stage test rerun charge o-late"
    (one,) = json.loads(_run("status", ref, "--json").stdout)
    assert (one["state"], one["reason"]) == ("cancelled", "expired")
    assert _run("rerun", "charge", "o-late", "--yes").exit_code == 0
    sandbox.drain()
    assert ran == ["o-late"]


def test_an_expiry_before_the_delay_is_refused(sandbox: Sandbox) -> None:
    refused = _run("send", "charge", "--arg", "order=o-1", "--delay", "1h", "--expires", "1m")
    assert refused.exit_code == 2
    assert "isn't later than" in refused.stderr
