"""Recurring tasks: a schedule sends them, and each firing runs once."""

from datetime import timedelta

import pytest

from celeriac import Context, Queue, task
from celeriac.model.cron import scheduled
from celeriac.model.errors import TaskError
from celeriac.testing import Sandbox

reports = Queue("recurring", batch_size=10)
ran: list[tuple[str, str]] = []


@pytest.fixture(autouse=True)
def _empty() -> None:
    ran.clear()


@task(reports, cron="cron(0 3 * * ? *)")
def nightly(ctx: Context, day: str = "yesterday") -> None:
    ran.append((ctx.id, day))


def test_a_firing_runs_the_task_with_its_defaults(sandbox: Sandbox) -> None:
    sandbox.fire(nightly)
    sandbox.drain()
    assert ran == [("nightly@2026-01-01T00:00:00Z", "yesterday")]


def test_a_double_firing_runs_once_and_the_next_firing_runs_too(sandbox: Sandbox) -> None:
    sandbox.fire(nightly)
    sandbox.fire(nightly)
    sandbox.drain()
    sandbox.advance(timedelta(days=1))
    sandbox.fire(nightly)
    sandbox.drain()
    assert len(ran) == 2


def test_each_firing_runs_even_if_the_task_has_a_key_parameter(sandbox: Sandbox) -> None:
    @task(reports, cron="rate(1 day)", key="day")
    def daily(day: str = "yesterday") -> None:
        ran.append(("daily", day))

    sandbox.fire(daily)
    sandbox.drain()
    sandbox.advance(timedelta(days=1))
    sandbox.fire(daily)
    sandbox.drain()
    assert len(ran) == 2


def test_a_recurring_task_can_be_enqueued_like_any_other_task(sandbox: Sandbox) -> None:
    nightly.enqueue(day="2025-12-24")
    sandbox.drain()
    assert [day for _, day in ran] == ["2025-12-24"]


def test_a_task_without_a_schedule_cannot_be_fired(sandbox: Sandbox) -> None:
    @task(reports)
    def once() -> None: ...

    with pytest.raises(ValueError, match="task 'once' has no `cron`"):
        sandbox.fire(once)


@pytest.mark.parametrize(
    "expression",
    ["rate(1 minute)", "rate(5 minutes)", "rate(12 hours)", "rate(90 days)", "cron(0/15 8-17 ? * MON-FRI *)"],
)
def test_schedules_that_eventbridge_scheduler_takes_are_accepted(expression: str) -> None:
    assert scheduled(expression) == expression


@pytest.mark.parametrize(
    ("expression", "cure"),
    [
        ("every day", "write e.g."),
        ("rate(1 minutes)", "write e.g."),
        ("rate(5 minute)", "write e.g."),
        ("rate(0 minutes)", "write e.g."),
        ("rate(30 seconds)", "write e.g."),
        ("at(2026-01-01T00:00:00)", "write e.g."),
        ("0 0 3 * * *", "write e.g."),
        ("cron(0 3 * * *)", r"five fields are a crontab's, write them without cron\(\): \"0 3 \* \* \*\""),
        ("cron(0 3 *)", "a cron has six fields"),
        ("0 25 * * *", "hour '25': a crontab takes 0 to 23 there"),
        ("@reboot", "it isn't a known name with an @; these are known: @hourly, @daily"),
        ("cron(0 3 * * * *)", "one of day-of-month and day-of-week"),
        ("cron(0 3 ? * ? *)", "one of day-of-month and day-of-week"),
        ("cron(0 3 $ * ? *)", "a cron has six fields"),
    ],
)
def test_schedules_that_eventbridge_scheduler_does_not_take_are_refused_at_import(expression: str, cure: str) -> None:
    with pytest.raises(TaskError, match=rf"task 'wrong': .* is no schedule, {cure}"):

        @task(reports, cron=expression)
        def wrong() -> None: ...


def test_five_fields_are_read_as_a_crontab(sandbox: Sandbox) -> None:
    @task(reports, cron="0 3 * * 1-5")
    def on_workdays() -> None:
        ran.append(("on_workdays", ""))

    assert on_workdays.cron == "cron(0 3 ? * MON-FRI *)"
    sandbox.fire(on_workdays)
    sandbox.drain()
    assert ran == [("on_workdays", "")]


def test_a_schedule_that_is_not_a_string_is_refused_at_import() -> None:
    with pytest.raises(TaskError, match=r"datetime.timedelta\(days=1\) is no schedule, write e.g."):

        @task(reports, cron=timedelta(days=1))  # type: ignore[arg-type]  # the test passes a wrong type
        def wrong() -> None: ...


def test_a_recurring_task_with_a_parameter_without_default_is_refused_at_import() -> None:
    with pytest.raises(TaskError, match="calls it without arguments, give a default to day, hour"):

        @task(reports, cron="rate(1 day)")
        def wrong(ctx: Context, day: str, hour: int, minute: int = 0) -> None: ...


def test_a_recurring_task_on_a_fifo_queue_is_refused_at_import() -> None:
    with pytest.raises(TaskError, match="can't send to the FIFO queue 'recurring-ledger'"):

        @task(Queue("recurring-ledger", fifo=True, batch_size=10), cron="rate(1 day)")
        def wrong() -> None: ...


def test_catch_up_without_a_schedule_is_refused() -> None:
    with pytest.raises(TaskError, match="give the task a cron"):

        @task(reports, catch_up="all")
        def tidy() -> None: ...
