"""`celeriac delayed cancel`: what is cancelled doesn't run, whichever copy is on its way and whatever is killed."""

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from celeriac import Backoff, Context, Queue, TaskFailedError, task
from celeriac.aws import schedules, sqs
from celeriac.aws.client import client
from celeriac.leases.states import INPROGRESS
from celeriac.model import names
from celeriac.testing import Call, Sandbox, WorkerDied
from celeriac_console.delayed import cancel as cancelling
from celeriac_console.delayed.waiting import find
from celeriac_console.main import app
from tests.support.terminal import AtTerminal

HOUR = timedelta(hours=1)
GROUP = names.schedule_group("test")
jobs = Queue("cancelled-jobs")
other = Queue("cancelled-others")
ran: list[tuple[str, int]] = []


@pytest.fixture(autouse=True)
def _empty() -> Iterator[None]:
    ran.clear()
    return iter(())


@task(jobs, retry=Backoff(base=2 * HOUR, cap=2 * HOUR, attempts=3))
def charge(ctx: Context, number: int, fail: str = "no") -> int:
    ran.append((ctx.id, ctx.attempt))
    if fail == "yes":
        raise ConnectionError("no answer")
    return number


@task(jobs, key="number")
def bill(ctx: Context, number: int) -> None:
    ran.append((ctx.id, ctx.attempt))


@task(jobs, delivery="at_least_once")
def ping(ctx: Context) -> None:
    ran.append((ctx.id, ctx.attempt))


@task(other, key="number", delivery="at_most_once")
def once(ctx: Context, number: int) -> None:
    ran.append((ctx.id, ctx.attempt))


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["--stage", "test", "delayed", *arguments])


def cancel(*arguments: str) -> Any:
    return json.loads(run("cancel", *arguments, "--yes", "--json").stdout)


def command(*arguments: str) -> str:
    return CliRunner().invoke(app, ["--stage", "test", *arguments]).output


def bodies() -> list[str]:
    """What the schedules will send."""
    found = [client("scheduler").get_schedule(Name=name, GroupName=GROUP) for name in schedules.page().names]
    return [one["Target"]["Input"] for one in found]


def put_back(*some: str) -> None:
    """Copies of messages turn up in their queue."""
    for body in some:
        sqs.send(jobs.physical_name("test"), sqs.Entry(body))


def test_a_cancelled_task_does_not_run_and_a_stray_copy_of_it_neither(sandbox: Sandbox) -> None:
    handle = charge.options(delay=HOUR).enqueue(number=1)
    kept = charge.options(delay=3 * HOUR).enqueue(number=2)
    copies = bodies()
    assert cancel("--until", "2h") == {
        "cancelled": 1,
        "ended": 0,
        "running": 0,
        "sent": 0,
        "unreadable": 0,
        "problems": [],
    }
    put_back(*[body for body in copies if handle.id in body])
    sandbox.drain()
    assert ran == [(kept.id, 1)]
    assert sandbox.dead_letters(jobs) == []
    status = handle.status()
    assert (status.state, status.attempts) == ("cancelled", 0)
    assert status.failure is not None
    assert status.failure.reason == "cancelled"
    shown = command("status", handle.ref)
    assert "cancelled 2026-01-01 00:00:00Z" in shown
    assert "cancelled: an operator cancelled it" in shown
    assert f"it has no dead letter. Run it after all: celeriac --stage test rerun charge {handle.id}" in shown
    with pytest.raises(TaskFailedError, match="was cancelled: an operator cancelled it"):
        handle.result(1)


def test_a_retry_is_cancelled_and_no_longer_said_to_be_retrying(sandbox: Sandbox) -> None:
    handle = charge.enqueue(number=1, fail="yes")
    sandbox.run_once()
    assert handle.status().state == "retrying"
    copies = bodies()
    assert cancel("--queue", "cancelled-jobs")["cancelled"] == 1
    put_back(*copies)
    sandbox.drain()
    assert ran == [(handle.id, 1)]
    assert (handle.status().state, handle.status().attempts) == ("cancelled", 1)


def test_a_task_that_fires_between_the_two_writes_does_not_run(sandbox: Sandbox) -> None:
    handle = charge.options(delay=HOUR).enqueue(number=1)
    (name,) = schedules.page().names

    def fire(call: Call) -> Any:
        if call.operation == "DeleteSchedule":
            sandbox.advance(HOUR + timedelta(seconds=2))
            with sandbox._calls.unobserved():
                sandbox._pollers._fire_schedules()
                schedules.delete(name)
        return call.make()

    with sandbox.fault(fire), sandbox.worker():
        assert cancel(name)["cancelled"] == 1
    sandbox.drain()
    assert ran == []
    assert handle.status().state == "cancelled"


def test_a_task_that_has_fired_and_run_before_it_is_cancelled_keeps_its_success(sandbox: Sandbox) -> None:
    handle = charge.options(delay=HOUR).enqueue(number=1)
    (name,) = schedules.page().names
    one = find(name)
    assert one is not None
    sandbox.advance(HOUR + timedelta(seconds=2))
    sandbox.run_once()
    assert cancelling.cancel(one) == "ended"
    assert handle.status().state == "succeeded"


def test_a_task_that_runs_is_not_cancelled(sandbox: Sandbox) -> None:
    handle = charge.options(delay=HOUR).enqueue(number=1)
    (name,) = schedules.page().names
    one = find(name)
    assert one is not None
    outcomes = []

    def meanwhile(call: Call) -> Any:
        if call.operation == "UpdateItem":  # the success is about to be recorded
            outcomes.append(cancelling.cancel(one))
        return call.make()

    sandbox.advance(HOUR + timedelta(seconds=2))
    with sandbox.fault(meanwhile):
        sandbox.run_once()
    assert outcomes == ["running"]
    assert handle.status().state == "succeeded"


@pytest.mark.parametrize("once_said", ["running", "SENT"])
def test_the_command_fails_for_what_it_could_not_cancel(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, once_said: str
) -> None:
    handle = charge.options(delay=HOUR).enqueue(number=1) if once_said == "running" else None
    if handle is not None:
        put_record(handle.id, handle.key)
    else:
        ping.options(delay=HOUR).enqueue()
        sandbox.advance(HOUR + timedelta(seconds=2))
    failed = run("cancel", "--queue", "cancelled-jobs", "--yes")
    assert failed.exit_code == 1
    assert "0 delayed tasks cancelled" in failed.stdout
    told = "runs now, or its worker has died" if handle is not None else "may have been sent before it was cancelled"
    assert f"1 of them: it {told}" in failed.stderr
    assert len(schedules.page().names) == (1 if handle is not None else 0)


def put_record(message_id: str, key: str, *, task_id: str = "", **attributes: str) -> None:
    """A record of another worker."""
    from celeriac.leases.store import store  # noqa: PLC0415

    record = store("charge", names.idempotency_table("test"), jobs.record_retention).record_id(key)
    item: Any = {"id": record, "status": INPROGRESS, "token": "t", "task_id": task_id or message_id} | attributes
    numbers: Any = {"expiration": {"N": "9999999999"}, "in_progress_expiration": {"N": "9999999999999"}}
    client("dynamodb").put_item(
        TableName=names.idempotency_table("test"),
        Item={name: {"S": value} for name, value in item.items()} | numbers | {"attempt": {"N": "1"}},
    )


def test_a_retry_whose_last_attempt_could_not_be_recorded_is_cancelled(sandbox: Sandbox) -> None:
    handle = charge.enqueue(number=1, fail="yes")
    sandbox.run_once()
    record = {"in_progress_expiration": "0"}
    put_record(handle.id, handle.key)
    table = names.idempotency_table("test")
    (item,) = client("dynamodb").scan(TableName=table)["Items"]
    client("dynamodb").put_item(TableName=table, Item=item | {name: {"N": value} for name, value in record.items()})
    assert cancel("--task", "charge")["cancelled"] == 1
    assert handle.status().state == "cancelled"


def test_the_record_of_another_message_of_the_key_stays_as_it_is(sandbox: Sandbox) -> None:
    first = bill.options(delay=HOUR).enqueue(number=7)
    second = bill.options(delay=2 * HOUR).enqueue(number=7)
    assert cancel(first.ref)["cancelled"] == 1
    assert cancel(second.ref)["cancelled"] == 1  # the record is of the first one
    assert first.status().state == "cancelled"
    assert schedules.page().names == []
    done = bill.enqueue(number=8)
    sandbox.drain()
    stray = bill.options(delay=HOUR).enqueue(number=8)
    assert cancel(stray.ref)["ended"] == 1
    assert (done.status().state, stray.status().duplicate_of) == ("succeeded", done.id)


def test_a_message_that_is_retried_is_not_touched_by_cancelling_another_one_of_its_key(sandbox: Sandbox) -> None:
    retried = charge.options(key="mine").enqueue(number=1, fail="yes")
    sandbox.run_once()
    second = charge.options(delay=HOUR, key="mine").enqueue(number=1)
    assert cancel(second.ref)["cancelled"] == 1
    assert retried.status().state == "retrying"
    sandbox.drain()
    assert ran == [(retried.id, 1), (retried.id, 2), (retried.id, 3)]


def test_a_task_whose_worker_died_in_this_attempt_is_not_cancelled(sandbox: Sandbox) -> None:
    handle = charge.options(delay=HOUR).enqueue(number=1)
    put_record(handle.id, handle.key)
    table = names.idempotency_table("test")
    (item,) = client("dynamodb").scan(TableName=table)["Items"]
    client("dynamodb").put_item(TableName=table, Item=item | {"in_progress_expiration": {"N": "0"}})
    assert cancel(handle.id)["running"] == 1
    assert handle.status().state == "retrying"


def test_a_key_beside_the_arguments_is_remembered_as_such(sandbox: Sandbox) -> None:
    bill.options(delay=HOUR, key="mine").enqueue(number=7)
    assert cancel("--task", "bill")["cancelled"] == 1
    command("rerun", "bill", "mine", "--arg", "number=7", "--yes")
    sandbox.drain()
    assert len(ran) == 1


def test_a_cancelled_key_runs_again_with_a_new_message_or_a_rerun(sandbox: Sandbox) -> None:
    bill.options(delay=HOUR).enqueue(number=7)
    chosen = charge.options(delay=HOUR, key="mine").enqueue(number=1)
    assert cancel("--queue", "cancelled-jobs")["cancelled"] == 2
    again = bill.enqueue(number=7)
    assert "run" not in command("rerun", "charge", "mine", "--arg", "number=1", "--yes").replace("rerun", "")
    sandbox.drain()
    assert ran[0] == (again.id, 1)
    assert len(ran) == 2
    assert chosen.status().state == "succeeded"


def test_an_at_most_once_task_stays_cancelled_as_a_dead_one_does(sandbox: Sandbox) -> None:
    handle = once.options(delay=HOUR).enqueue(number=7)
    assert cancel(handle.id)["cancelled"] == 1
    once.enqueue(number=7)
    sandbox.drain()
    assert ran == []
    assert handle.status().state == "cancelled"


def test_an_at_least_once_task_has_no_record_and_only_loses_its_schedule(sandbox: Sandbox) -> None:
    handle = ping.options(delay=HOUR).enqueue()
    before = sandbox.calls["dynamodb", "PutItem"]
    assert cancel("--task", "ping")["cancelled"] == 1
    assert sandbox.calls["dynamodb", "PutItem"] == before
    sandbox.drain()
    assert ran == []
    assert handle.id


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("call", [1, 2, 3, 4, 5, 6])
def test_the_command_can_be_killed_at_any_call_and_typed_again(sandbox: Sandbox, call: int, *, after: bool) -> None:
    handles = [charge.options(delay=30 * 24 * HOUR).enqueue(number=number) for number in range(2)]
    sandbox.crash_at(call, after=after)
    with pytest.raises(WorkerDied), sandbox.worker():
        run("cancel", "--task", "charge", "--yes")
    sandbox.advance(25 * 24 * HOUR)  # longer than records usually live
    assert cancel("--task", "charge")["problems"] == []
    assert schedules.page().names == []
    sandbox.drain()
    assert ran == []
    assert {handle.status().state for handle in handles} == {"cancelled"}


def test_a_task_whose_schedule_was_not_deleted_does_not_run_when_it_is_due(sandbox: Sandbox) -> None:
    handle = charge.options(delay=60 * 24 * HOUR).enqueue(number=1)

    def refuse(call: Call) -> Any:
        if call.operation == "DeleteSchedule":
            raise WorkerDied
        return call.make()

    with sandbox.fault(refuse), pytest.raises(WorkerDied), sandbox.worker():
        run("cancel", handle.ref, "--yes")
    assert len(schedules.page().names) == 1
    sandbox.drain()
    assert ran == []


def test_what_holds_no_task_is_cancelled_by_name_only(sandbox: Sandbox) -> None:
    charge.options(delay=HOUR).enqueue(number=1)
    for name in ("cancelled-jobs.a", "cancelled-jobs.b"):
        client("scheduler").create_schedule(
            Name=name,
            GroupName=GROUP,
            ScheduleExpression="at(2026-01-01T05:00:00)",
            FlexibleTimeWindow={"Mode": "OFF"},
            Target={
                "Arn": "arn:aws:sqs:eu-west-1:123456789012:celeriac-test--cancelled-jobs",
                "RoleArn": "arn:aws:iam::123456789012:role/x",
                "Input": "no message" if name[-1] == "a" else '{"task": "gone"}',
            },
        )
    told = cancel("--queue", "cancelled-jobs")
    assert (told["cancelled"], told["unreadable"]) == (2, 1)
    assert schedules.page().names == ["cancelled-jobs.a"]
    assert cancel("cancelled-jobs.a")["cancelled"] == 1


def test_one_error_does_not_stop_the_others(sandbox: Sandbox) -> None:
    handles = [charge.options(delay=HOUR).enqueue(number=number) for number in range(3)]

    def refuse(call: Call) -> Any:
        if call.operation == "PutItem" and call.arguments["Item"]["task_id"]["S"] == handles[1].id:
            raise OSError("no network")
        return call.make()

    with sandbox.fault(refuse), sandbox.worker():
        told = run("cancel", "--task", "charge", "--yes")
    assert told.exit_code == 1
    assert "2 delayed tasks cancelled" in told.stdout
    assert "1 task not cancelled. The first: cancelled-jobs." in told.stderr
    assert len(schedules.page().names) == 1


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "name tasks, or choose them with --queue, --task, --from or --until"),
        (["cancelled-jobs.5f", "--task", "charge"], "but not both"),
        (["cancelled-jobs.5f"], "no schedule cancelled-jobs.5f: it has fired or was cancelled"),
        (["--queue", "cancelled-job"], "Did you mean cancelled-jobs?"),
    ],
)
def test_a_mistake_is_told_in_a_sentence(sandbox: Sandbox, arguments: list[str], sentence: str) -> None:
    told = run("cancel", *arguments)
    assert told.exit_code == 2
    assert sentence in told.output


def test_it_asks_where_data_is_kept_and_cancels_what_it_has_shown(
    sandbox: Sandbox, at_terminal: AtTerminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "celeriac.toml").write_text('name = "celeriac"\n[stages.test]\n')
    monkeypatch.chdir(tmp_path)
    for number in range(3):
        charge.options(delay=HOUR).enqueue(number=number)
    bill.options(delay=HOUR).enqueue(number=1)
    arguments = ["--stage", "test", "delayed", "cancel", "--queue", "cancelled-jobs"]
    code, told = at_terminal("n\n", *arguments)
    assert (code, len(schedules.page().names)) == (1, 4)
    assert "4 delayed tasks\n    1 bill in cancelled-jobs\n    3 charge in cancelled-jobs\n" in told
    assert "There is no terminal to answer at: add --yes" in run("cancel", "--task", "bill").output
    code, told = at_terminal("y\n", *arguments)
    assert (code, schedules.page().names) == (0, [])
    assert "4 delayed tasks cancelled" in told


def test_it_does_not_ask_where_no_data_is_kept(sandbox: Sandbox) -> None:
    charge.options(delay=HOUR).enqueue(number=1)
    assert run("cancel", "--task", "charge").stdout == "1 delayed task cancelled\n"


def test_a_dry_run_cancels_nothing(sandbox: Sandbox) -> None:
    charge.options(delay=HOUR).enqueue(number=1)
    assert "1 charge in cancelled-jobs" in run("cancel", "--task", "charge", "--dry-run").stdout
    told = json.loads(run("cancel", "--task", "charge", "--dry-run", "--json").stdout)
    assert told == {"chosen": schedules.page().names}


def test_ctrl_c_says_how_far_it_came_and_what_to_type(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    charge.options(delay=HOUR).enqueue(number=1)

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("celeriac_console.delayed.choice.look", interrupted)
    monkeypatch.setattr("sys.argv", ["celeriac", "delayed", "cancel", "--until", "2h", "--yes"])
    told = run("cancel", "--until", "2h", "--yes")
    assert told.exit_code == 130
    assert (
        "0 delayed tasks cancelled. Go on: celeriac delayed cancel --yes --until 2026-01-01T02:00:00+00:00"
        in told.output
    )
