"""Long waits: a schedule carries every message whole, and no retry is taken for an older schedule."""

import json
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from botocore.exceptions import ClientError

import celeriac
from celeriac import Backoff, Context, Queue, Reject, Retry, task
from celeriac.aws import scheduler
from celeriac.aws.client import client
from celeriac.enqueue.send import Parcel, send
from celeriac.model import names
from celeriac.model.message import Message
from celeriac.testing import Sandbox
from celeriac.testing.sandbox import START
from tests.support.faults import registered
from tests.support.redrive import redrive_as_aws_does

jobs = Queue("long-waits", batch_size=10)
HOUR = timedelta(hours=1)
GROUP = names.schedule_group("test")
KEYWORDS = [f"<aws.scheduler.{name}>" for name in ("execution-id", "schedule-arn", "scheduled-time", "attempt-number")]
TEXT = f"a < b, {' '.join(KEYWORDS)}, <{KEYWORDS[0]}, \\{KEYWORDS[1]}"
ran: list[tuple[int, str]] = []


class Now:
    """The state of the running test."""

    cured = False


@pytest.fixture(autouse=True)
def _empty() -> None:
    ran.clear()
    Now.cured = False


@task(jobs, retry=Backoff(attempts=3))
def charge(ctx: Context, note: str = "") -> None:
    ran.append((ctx.attempt, note))
    if ctx.attempt == 1:
        raise Retry("closed", delay=2 * HOUR)
    if not Now.cured:
        raise Reject("declined")


@task(jobs)
def note(text: str) -> None:
    ran.append((1, text))


def _schedules() -> list[dict[str, Any]]:
    listed = client("scheduler").list_schedules(GroupName=GROUP)["Schedules"]
    return [dict(client("scheduler").get_schedule(GroupName=GROUP, Name=one["Name"])) for one in listed]


def _error(code: str, operation: str) -> ClientError:
    kind = getattr(client("scheduler").exceptions, code, ClientError)
    error: ClientError = kind({"Error": {"Code": code, "Message": "no"}}, operation)
    return error


def test_a_redriven_tasks_retry_does_not_meet_the_schedule_of_its_earlier_life(sandbox: Sandbox) -> None:
    handle = charge.enqueue()
    sandbox.drain()
    assert len(_schedules()) == 1  # it has fired this minute, and Scheduler still keeps its name
    Now.cured = True
    looked = sandbox.calls["scheduler", "GetSchedule"]
    redrive_as_aws_does(jobs)
    sandbox.drain()
    assert sandbox.calls["scheduler", "GetSchedule"] == looked  # not even a conflict
    assert [attempt for attempt, _ in ran] == [1, 2, 1, 2]
    assert handle.status().state == "succeeded"


def test_uncharged_waits_of_a_redriven_task_do_not_meet_their_earlier_schedules(sandbox: Sandbox) -> None:
    @task(jobs)
    def wait() -> None:
        ran.append((1, ""))
        if len(ran) % 2:
            raise Retry("closed", delay=2 * HOUR, charge=False)
        if not Now.cured:
            raise Reject("declined")

    handle = wait.enqueue()
    sandbox.drain()
    Now.cured = True
    redrive_as_aws_does(jobs)
    sandbox.drain()
    assert len(ran) == 4
    assert handle.status().state == "succeeded"


def test_a_worker_that_dies_after_it_made_the_schedule_leaves_one_schedule(sandbox: Sandbox) -> None:
    handle = charge.enqueue()
    Now.cured = True
    sandbox.crash_at(2, after=True)
    sandbox.run_once()
    assert len(_schedules()) == 1
    sandbox.advance(jobs.visibility + timedelta(seconds=1))
    looked = sandbox.calls["scheduler", "GetSchedule"]
    sandbox.run_once()
    assert sandbox.calls["scheduler", "GetSchedule"] == looked + 1
    assert len(_schedules()) == 1
    sandbox.drain()
    assert [attempt for attempt, _ in ran] == [1, 1, 2]
    assert handle.status().state == "succeeded"


@pytest.mark.parametrize("difference", ["Input", "Arn", "ScheduleExpression"])
def test_a_name_that_someone_else_has_taken_does_not_lose_the_message(sandbox: Sandbox, difference: str) -> None:
    parcel = Parcel(jobs, Message(id="m-1", task="note", args=_raw(text="mine")), delay=2 * HOUR)
    send(parcel)
    (mine,) = _schedules()
    client("scheduler").delete_schedule(GroupName=GROUP, Name=mine["Name"])
    fields = {name: mine[name] for name in ("Name", "GroupName", "ScheduleExpression", "FlexibleTimeWindow", "Target")}
    if difference == "ScheduleExpression":
        fields[difference] = "at(2025-12-31T23:59:59)"
    else:
        fields["Target"] = {**mine["Target"], difference: mine["Target"][difference].replace("long-waits", "others")}
        fields["Target"] |= {"Input": json.dumps({"task": "theirs"})} if difference == "Input" else {}
    client("scheduler").create_schedule(**fields)
    send(parcel)
    send(parcel)  # as the next worker does, after a crash
    assert len(_schedules()) == 2
    client("scheduler").delete_schedule(GroupName=GROUP, Name=mine["Name"])
    sandbox.drain()
    assert ran == [(1, "mine")]


def test_a_producer_that_may_not_look_at_a_conflict_takes_another_name(sandbox: Sandbox) -> None:
    parcel = Parcel(jobs, Message(id="m-1", task="note", args=_raw(text="mine")), delay=2 * HOUR)
    send(parcel)

    def deny(**_: object) -> None:
        raise _error("AccessDeniedException", "GetSchedule")

    with registered("scheduler", "before-call.scheduler.GetSchedule", deny):
        send(parcel)
    assert len(_schedules()) == 2
    sandbox.drain()
    assert ran == [(1, "mine")]  # the second one is a duplicate


def test_a_conflict_with_a_concurrent_change_is_tried_again(sandbox: Sandbox) -> None:
    left = 2

    def conflict(**_: object) -> None:
        nonlocal left
        left -= 1
        if left >= 0:
            raise _error("ConflictException", "CreateSchedule")

    with registered("scheduler", "before-call.scheduler.CreateSchedule", conflict):
        note.options(delay=2 * HOUR).enqueue(text="mine")
    sandbox.drain()
    assert ran == [(1, "mine")]


def test_a_conflict_that_stays_is_an_error(sandbox: Sandbox) -> None:
    def conflict(**_: object) -> None:
        raise _error("ConflictException", "CreateSchedule")

    with (
        registered("scheduler", "before-call.scheduler.CreateSchedule", conflict),
        pytest.raises(ClientError, match="Conflict"),
    ):
        note.options(delay=2 * HOUR).enqueue(text="mine")


def test_a_users_text_arrives_as_it_was_sent(sandbox: Sandbox) -> None:
    note.options(delay=timedelta(days=3)).enqueue(text=TEXT)
    with celeriac.transaction() as tx:
        tx.enqueue(note.options(delay=timedelta(days=3)), text=TEXT)
    Now.cured = True
    handle = charge.options(key=TEXT).enqueue(note=TEXT)
    sandbox.run_once()
    made = _schedules()
    assert len(made) == 3
    assert not [one for one in made if "<" in one["Target"]["Input"]]
    sandbox.drain()
    assert {text for _, text in ran} == {TEXT}
    assert len(ran) == 4
    assert handle.status().state == "succeeded"


def test_a_redriven_letter_and_a_foreign_body_keep_their_text(sandbox: Sandbox) -> None:
    sandbox.send(jobs, {"task": "charge", "args": {"note": TEXT}})
    sandbox.drain()
    redrive_as_aws_does(jobs)
    sandbox.drain()
    assert ran == [(1, TEXT), (2, TEXT)] * 2
    (letter,) = sandbox.dead_letters(jobs)
    assert letter.args == {"note": TEXT}


def test_a_body_that_fits_only_without_its_escapes_travels_through_s3(sandbox: Sandbox) -> None:
    text = "<" * 100_000
    note.options(delay=2 * HOUR).enqueue(text=text)
    (made,) = _schedules()
    assert len(made["Target"]["Input"]) < 262_144
    sandbox.drain()
    assert ran == [(1, text)]


def test_a_recurring_tasks_name_may_hold_any_keyword(sandbox: Sandbox) -> None:
    name = f"{KEYWORDS[0]} at {KEYWORDS[2]}"

    @task(jobs, name=name, cron="rate(1 day)")
    def report(ctx: Context) -> None:
        ran.append((1, ctx.id))

    sandbox.fire(report)
    sandbox.drain()
    assert ran == [(1, f"{name}@2026-01-01T00:00:00Z")]


def test_a_schedule_is_due_until_it_fires(sandbox: Sandbox) -> None:
    handle = note.options(delay=2 * HOUR).enqueue(text="mine")
    name = jobs.physical_name("test")
    assert scheduler.due(name, "note", handle.id) == START + 2 * HOUR + timedelta(seconds=1)
    sandbox.drain()
    assert len(_schedules()) == 1
    assert scheduler.due(name, "note", handle.id) is None


def test_a_completed_schedule_keeps_its_name_for_a_minute(sandbox: Sandbox) -> None:
    note.options(delay=2 * HOUR).enqueue(text="mine")
    sandbox.drain()
    assert len(_schedules()) == 1
    sandbox.advance(timedelta(minutes=1))
    sandbox.run_once()
    assert _schedules() == []


def _raw(**args: str) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(args))
