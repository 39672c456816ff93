"""`celeriac delayed list|show`: tasks that wait in schedules, as an operator sees them."""

import json
from datetime import timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError
from typer.testing import CliRunner, Result

from celeriac import Backoff, Context, Queue, task
from celeriac.aws import payloads, schedules
from celeriac.aws.client import client
from celeriac.model import names
from celeriac.testing import Sandbox
from celeriac_console.main import app
from celeriac_console.queues import rows
from tests.support.faults import registered

HOUR = timedelta(hours=1)
GROUP = names.schedule_group("test")
reports = Queue("delayed-reports")
bills = Queue("delayed-bills")


@task(reports)
def report(day: str) -> None: ...


@task(bills, key="number", retry=Backoff(base=2 * HOUR, cap=2 * HOUR, attempts=3))
def bill(ctx: Context, number: int, note: str = "") -> None:
    raise ConnectionError(f"no answer for bill {number}")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["--stage", "test", "delayed", *arguments])


def listed(*arguments: str) -> Any:
    return json.loads(run("list", *arguments, "--json").stdout)


def foreign(name: str, body: str, *, target: str = "celeriac-test--delayed-reports", zone: str = "UTC") -> None:
    """A schedule in the group that somebody else made."""
    client("scheduler").create_schedule(
        Name=name,
        GroupName=GROUP,
        ScheduleExpression="at(2026-01-01T05:00:00)",
        ScheduleExpressionTimezone=zone,
        FlexibleTimeWindow={"Mode": "OFF"},
        Target={
            "Arn": target if target.startswith("arn:") else f"arn:aws:sqs:eu-west-1:123456789012:{target}",
            "RoleArn": "arn:aws:iam::123456789012:role/x",
            "Input": body,
        },
    )


def test_a_list_shows_what_waits_and_when_it_is_due_and_no_argument(sandbox: Sandbox) -> None:
    first = report.options(delay=HOUR).enqueue(day="secret-day")
    bill.options(delay=5 * HOUR).enqueue(number=7)
    report.options(delay=timedelta(minutes=10)).enqueue(day="soon")  # SQS delays it, so it isn't in a schedule
    shown = run("list").stdout
    assert len(shown.splitlines()) == 3
    assert "secret" not in shown
    line = next(line for line in shown.splitlines() if first.id in line).split()
    assert line[1:] == ["report", first.id, "delayed-reports", "2026-01-01", "01:00:01Z", "1"]
    assert line[0].startswith("delayed-reports.")
    assert listed("delayed-bills")["tasks"] == [
        {
            "name": schedules.page("delayed-bills.").names[0],
            "task": "bill",
            "queue": "delayed-bills",
            "due": "2026-01-01T05:00:01+00:00",
            "attempt": 1,
            "problem": "",
            "id": listed("delayed-bills")["tasks"][0]["id"],
        }
    ]


def test_a_list_is_filtered_by_task_and_by_the_time_to_come(sandbox: Sandbox) -> None:
    for hours in (1, 3, 5):
        report.options(delay=hours * HOUR).enqueue(day=str(hours))
        bill.options(delay=hours * HOUR).enqueue(number=hours)
    assert {one["task"] for one in listed("--task", "bill")["tasks"]} == {"bill"}
    assert {one["due"][11:13] for one in listed("--from", "2h")["tasks"]} == {"03", "05"}
    assert {one["due"][11:13] for one in listed("--until", "2026-01-01T04:00")["tasks"]} == {"01", "03"}
    both = listed("delayed-bills", "--task", "bill", "--from", "2h", "--until", "4h")["tasks"]
    assert [one["due"][11:13] for one in both] == ["03"]
    assert "'soon' is no time: write e.g. 2h for in two hours" in run("list", "--until", "soon").output


def test_a_list_goes_on_where_it_ended(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schedules, "PAGE", 5)
    for number in range(13):
        report.options(delay=HOUR).enqueue(day=str(number))
        bill.options(delay=HOUR).enqueue(number=number)
    every = {one["name"] for one in listed()["tasks"]}
    assert len(every) == 26
    for wanted, number in (([], 26), (["--task", "bill"], 13), (["delayed-reports"], 13)):
        found, start = list[str](), ""
        for _ in range(number):
            some = listed(*wanted, "--limit", "3", "--page", start)
            assert len(some["tasks"]) <= 3
            found += [one["name"] for one in some["tasks"]]
            if some["next"] is None:
                break
            start = some["next"]
        assert len(found) == len(set(found)) == number
    monkeypatch.setattr("sys.argv", ["celeriac", "--stage", "test", "delayed", "list", "--limit=3", "--until", "3h"])
    told = run("list", "--limit", "3", "--until", "3h").stderr
    assert told.startswith(
        "next: celeriac --stage test delayed list --limit=3 --until 2026-01-01T03:00:00+00:00 --page "
    )


def test_a_page_goes_on_though_the_last_task_has_fired_meanwhile(sandbox: Sandbox) -> None:
    for number in range(4):
        report.options(delay=HOUR).enqueue(day=str(number))
    before = listed("--limit", "2")
    schedules.delete(before["tasks"][1]["name"])
    after = listed("--page", before["next"])["tasks"]
    assert len({one["name"] for one in before["tasks"] + after}) == 4


def test_a_task_that_fires_while_it_is_listed_is_left_out(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(4):
        report.options(delay=HOUR).enqueue(day=str(number))
    names_ = schedules.page().names
    schedules.delete(names_[2])
    monkeypatch.setattr(schedules, "page", lambda *_: schedules.Page(names_, None))
    assert [one["name"] for one in listed()["tasks"]] == [*names_[:2], names_[3]]


def test_what_others_left_in_the_group_is_listed_as_such_and_hides_nothing(sandbox: Sandbox) -> None:
    report.options(delay=HOUR).enqueue(day="1")
    foreign("nightly", "{}", target="arn:aws:lambda:eu-west-1:123456789012:function:x")
    foreign("strange", "{}", target="arn:")
    foreign("other-stage", '{"task": "report"}', target="celeriac-prod--delayed-reports")
    foreign("delayed-reports.text", "no message")
    foreign("delayed-reports.newer", '{"v": 99, "task": "report"}')
    foreign("delayed-reports.zone", '{"task": "report"}', zone="Europe/Berlin")
    foreign("delayed-reports.hand", '{"task": "report", "args": {"day": "1"}}')
    found = {one["name"]: one for one in listed()["tasks"]}
    assert len(found) == 8
    assert {name: one["problem"] for name, one in found.items() if one["problem"]} == {
        "nightly": "it doesn't send to a queue of this stage",
        "strange": "it can't be read: ValueError",
        "other-stage": "it doesn't send to a queue of this stage",
        "delayed-reports.text": "it sends no task's message",
        "delayed-reports.newer": "the message is of version 99, this release reads up to 4",
        "delayed-reports.zone": "it isn't a one-time schedule in UTC",
    }
    shown = run("list")
    assert "(unreadable)" in shown.stdout
    assert "delayed-reports.text: it sends no task's message" in shown.stderr
    for name in found:
        assert run("show", name).exit_code == 0, name


def test_a_task_is_shown_with_arguments_key_and_last_failure(sandbox: Sandbox) -> None:
    handle = bill.options(delay=HOUR).enqueue(number=7, note="a < b")
    for named in (schedules.page().names[0], handle.ref, handle.id):
        shown = run("show", named).stdout
        assert f"bill  {handle.id}\ndue 2026-01-01 01:00:01Z in delayed-bills, attempt 1\nkey 7" in shown
        assert '"note": "a < b"' in shown
        assert f"cancel it: celeriac --stage test delayed cancel {schedules.page().names[0]}" in shown
    sandbox.advance(2 * HOUR)
    sandbox.run_once()
    sandbox.advance(timedelta(minutes=2))
    sandbox.run_once()  # Scheduler deletes what has fired
    (name,) = schedules.page().names
    answer = json.loads(run("show", name, "--json").stdout)
    assert (answer["attempt"], answer["error"], answer["message"]) == (2, "ConnectionError", "no answer for bill 7")
    assert (answer["key"], answer["args"]) == ("bill:7", {"number": 7, "note": "a < b"})
    assert "ConnectionError: no answer for bill 7" in run("show", name).stdout


def test_a_retry_is_found_by_its_name_only(sandbox: Sandbox) -> None:
    handle = bill.enqueue(number=7)
    sandbox.run_once()
    refused = run("show", handle.id)
    assert refused.exit_code == 2
    assert "it is the id of a task that has run already and is retried" in refused.output


def test_large_arguments_are_shown_from_the_payload_bucket(sandbox: Sandbox) -> None:
    report.options(delay=HOUR).enqueue(day="x" * 500_000)
    (name,) = schedules.page().names
    shown = run("show", name).stdout
    assert "more characters: --json prints them all" in shown
    assert json.loads(run("show", name, "--json").stdout)["args"] == {"day": "x" * 500_000}
    bucket = payloads.bucket(reports.physical_name("test"))
    for one in client("s3").list_objects_v2(Bucket=bucket)["Contents"]:
        client("s3").delete_object(Bucket=bucket, Key=one["Key"])
    assert "is gone from the payload bucket" in run("show", name).stdout


def test_nothing_waits_where_nothing_is_deployed(sandbox: Sandbox) -> None:
    client("scheduler").delete_schedule_group(Name=GROUP)
    assert run("list").stdout == "0 delayed tasks\n"
    assert run("list", "delayed-bils").exit_code == 2


def _rows() -> dict[str, Any]:
    printed = CliRunner().invoke(app, ["--stage", "test", "queues", "--json"]).stdout
    return {row["queue"]: row for row in json.loads(printed)}


def test_queues_counts_the_tasks_in_schedules_of_each_queue(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schedules, "PAGE", 5)
    monkeypatch.setattr(rows, "MOST_SCHEDULED", 10)
    for number in range(13):
        report.options(delay=HOUR).enqueue(day=str(number))
    for number in range(10):
        bill.options(delay=HOUR).enqueue(number=number)
    counted = {name: (row["scheduled"], row["scheduled_is_more"]) for name, row in _rows().items()}
    assert (counted["delayed-reports"], counted["delayed-bills"]) == ((10, True), (10, False))
    shown = CliRunner().invoke(app, ["--stage", "test", "queues"]).stdout.splitlines()
    line = next(line for line in shown if line.startswith("delayed-reports"))
    assert line.split()[:4] == ["delayed-reports", "0", "0", "10+"]
    assert shown[0].split()[:4] == ["queue", "waiting", "delayed", "scheduled"]


def test_queues_works_without_the_right_to_list_schedules_and_without_a_group(sandbox: Sandbox) -> None:
    def deny(**_: object) -> None:
        raise ClientError({"Error": {"Code": "AccessDeniedException", "Message": "no"}}, "ListSchedules")

    with registered("scheduler", "before-call.scheduler.ListSchedules", deny):
        assert _rows()["delayed-bills"]["scheduled"] is None
    client("scheduler").delete_schedule_group(Name=GROUP)
    assert _rows()["delayed-bills"]["scheduled"] == 0


def test_the_sandbox_lists_schedules_by_the_rules_of_scheduler(sandbox: Sandbox) -> None:
    for number in range(101):
        report.options(delay=HOUR).enqueue(day=str(number))
    scheduler = client("scheduler")
    assert len(scheduler.list_schedules(GroupName=GROUP)["Schedules"]) == 100
    with pytest.raises(scheduler.exceptions.ValidationException):
        scheduler.list_schedules(GroupName=GROUP, MaxResults=101)
    with pytest.raises(scheduler.exceptions.ResourceNotFoundException):
        scheduler.list_schedules(GroupName="nowhere")
