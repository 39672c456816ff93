"""`celeriac delayed run-now`: each message is sent before its schedule is deleted, and runs once."""

import json
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from celeriac import Backoff, Context, Queue, task
from celeriac.aws import schedules
from celeriac.aws.client import client
from celeriac.model import names
from celeriac.testing import Call, Sandbox, WorkerDied
from celeriac_console.main import app
from tests.support.terminal import AtTerminal

HOUR = timedelta(hours=1)
GROUP = names.schedule_group("test")
jobs = Queue("sent-now", batch_size=10)
second = Queue("sent-now-too")
ran: list[tuple[str, int]] = []
texts: list[str] = []


@pytest.fixture(autouse=True)
def _empty() -> Iterator[None]:
    ran.clear()
    texts.clear()
    return iter(())


@task(jobs, retry=Backoff(base=2 * HOUR, cap=2 * HOUR, attempts=3, give_up_after=timedelta(days=3)))
def charge(ctx: Context, number: int, text: str = "") -> None:
    ran.append((ctx.id, ctx.attempt))
    texts.append(text)
    if number < 0 and ctx.attempt == 1:
        raise ConnectionError("no answer")


@task(second, delivery="at_least_once")
def ping(ctx: Context) -> None:
    ran.append((ctx.id, ctx.attempt))


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["--stage", "test", "delayed", "run-now", *arguments])


def sent(*arguments: str) -> Any:
    *_, answer = run(*arguments, "--json").stdout.splitlines()  # while the command waits, workers print their metrics
    return json.loads(answer)


def test_a_task_runs_at_once_and_not_again_when_it_was_due(sandbox: Sandbox) -> None:
    first = charge.options(delay=30 * 24 * HOUR).enqueue(number=1)
    kept = charge.options(delay=2 * HOUR).enqueue(number=2)
    assert sent(first.ref) == {"sent": 1, "firing": 0, "unreadable": 0, "problems": []}
    start = sandbox.now
    sandbox.run_once()
    assert (ran, sandbox.now) == ([(first.id, 1)], start)
    sandbox.drain()
    assert ran == [(first.id, 1), (kept.id, 1)]
    assert first.status().state == "succeeded"


def test_a_retry_runs_at_once_as_its_next_attempt(sandbox: Sandbox) -> None:
    handle = charge.enqueue(number=-1)
    sandbox.run_once()
    assert sent("--queue", "sent-now")["sent"] == 1
    sandbox.run_once()
    assert ran == [(handle.id, 1), (handle.id, 2)]
    assert handle.status().state == "succeeded"


@pytest.mark.parametrize("size", [200_000, 500_000])
def test_large_arguments_and_keywords_arrive_as_they_were_passed(sandbox: Sandbox, size: int) -> None:
    text = "<aws.scheduler.execution-id> é " + "x" * size
    charge.options(delay=HOUR).enqueue(number=1, text=text)
    for _ in range(9):
        charge.options(delay=HOUR).enqueue(number=1, text=text)
    assert sent("--task", "charge")["sent"] == 10
    sandbox.run_once()
    assert texts == [text] * 10


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("call", range(1, 10))
def test_a_crash_at_any_call_loses_nothing_and_runs_nothing_twice(sandbox: Sandbox, call: int, *, after: bool) -> None:
    handles = [charge.options(delay=HOUR).enqueue(number=number) for number in range(3)]
    ping.options(delay=HOUR).enqueue()
    sandbox.crash_at(call, after=after)
    with pytest.raises(WorkerDied), sandbox.worker():
        run("--until", "3h")
    assert sent("--until", "3h")["problems"] == []
    assert schedules.page().names == []
    sandbox.drain()
    counts = Counter(id_ for id_, _ in ran)
    assert [counts[handle.id] for handle in handles] == [1, 1, 1]
    assert len(counts) == 4


def test_it_sends_before_it_deletes(sandbox: Sandbox) -> None:
    charge.options(delay=HOUR).enqueue(number=1)
    order = []

    def note(call: Call) -> Any:
        order.append(call.operation)
        return call.make()

    with sandbox.fault(note), sandbox.worker():
        assert run("--task", "charge").stdout == "1 delayed task sent\n"
    assert order == ["ListSchedules", "GetSchedule", "SendMessageBatch", "DeleteSchedule"]


def test_a_refused_message_keeps_its_schedule(sandbox: Sandbox) -> None:
    handles = [charge.options(delay=HOUR).enqueue(number=number) for number in range(3)]

    def refuse(call: Call) -> Any:
        answer = call.make()
        if call.operation != "SendMessageBatch":
            return answer
        return {"Successful": [], "Failed": [{"Id": "0", "Code": "InternalError", "SenderFault": False}]}

    with sandbox.fault(refuse), sandbox.worker():
        told = run("--task", "charge")
    assert told.exit_code == 1
    assert "2 delayed tasks sent" in told.stdout
    assert "1 problem. The first: sent-now." in told.stderr
    assert len(schedules.page().names) == 1
    sandbox.drain()
    assert sorted(id_ for id_, _ in ran) == sorted(handle.id for handle in handles)


def test_a_schedule_that_cannot_be_deleted_is_told_and_its_task_runs_once(sandbox: Sandbox) -> None:
    handle = charge.options(delay=HOUR).enqueue(number=1)

    def refuse(call: Call) -> Any:
        if call.operation == "DeleteSchedule":
            raise OSError("no network")
        return call.make()

    with sandbox.fault(refuse), sandbox.worker():
        told = run("--task", "charge")
    assert told.exit_code == 1
    assert "sent, and its schedule not deleted, so it is sent again when it is due: no network" in told.stderr
    sandbox.drain()
    assert ran == [(handle.id, 1)]


def test_what_scheduler_sends_just_now_is_left_to_it_and_what_it_cannot_send_is_not(sandbox: Sandbox) -> None:
    ping.options(delay=HOUR).enqueue()
    sandbox.advance(HOUR + timedelta(seconds=30))
    assert sent("--task", "ping")["firing"] == 1
    sandbox.advance(timedelta(minutes=5))  # Scheduler tries for a day, for example if its role may not send
    assert sent("--task", "ping")["sent"] == 1


def test_what_is_no_task_is_left_out_and_named_as_a_problem(sandbox: Sandbox) -> None:
    charge.options(delay=HOUR).enqueue(number=1)
    client("scheduler").create_schedule(
        Name="sent-now.text",
        GroupName=GROUP,
        ScheduleExpression="at(2026-01-01T05:00:00)",
        FlexibleTimeWindow={"Mode": "OFF"},
        Target={
            "Arn": "arn:aws:sqs:eu-west-1:123456789012:celeriac-test--sent-now",
            "RoleArn": "arn:aws:iam::123456789012:role/x",
            "Input": "no message",
        },
    )
    answer = sent("--queue", "sent-now")
    assert (answer["sent"], answer["unreadable"]) == (1, 1)
    assert "sent-now.text: it sends no task's message" in run("sent-now.text").stderr


def test_it_asks_before_it_runs_a_whole_queue_of_a_stage_that_keeps_its_data(
    sandbox: Sandbox, at_terminal: AtTerminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "celeriac.toml").write_text('name = "celeriac"\n[stages.test]\n')
    monkeypatch.chdir(tmp_path)
    for number in range(2):
        charge.options(delay=HOUR).enqueue(number=number)
    arguments = ["--stage", "test", "delayed", "run-now", "--queue", "sent-now"]
    code, told = at_terminal("n\n", *arguments)
    assert code == 1
    assert "Run all 2 delayed tasks of sent-now now, in the stage test?" in told
    assert "2 charge in sent-now" in run("--queue", "sent-now", "--dry-run").stdout
    assert sent("--until", "2h")["sent"] == 2


def test_it_keeps_to_a_rate(sandbox: Sandbox) -> None:
    for number in range(20):
        charge.options(delay=HOUR).enqueue(number=number)
    start = sandbox.now
    assert sent("--task", "charge", "--rate", "5")["sent"] == 20
    assert sandbox.now - start >= timedelta(seconds=1)


def test_ctrl_c_says_how_far_it_came_and_what_to_type(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    charge.options(delay=HOUR).enqueue(number=1)

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("celeriac_console.delayed.choice.look", interrupted)
    monkeypatch.setattr("sys.argv", ["celeriac", "delayed", "run-now", "--task", "charge"])
    told = run("--task", "charge")
    assert told.exit_code == 130
    assert "0 delayed tasks sent. Go on: celeriac delayed run-now --task charge" in told.output
