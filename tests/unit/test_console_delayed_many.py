"""A thousand delayed tasks, worked through page by page with a bounded number of AWS calls."""

import json
from collections import Counter
from datetime import timedelta
from typing import Any

from typer.testing import CliRunner

from celeriac import Context, Queue, task
from celeriac.testing import Sandbox
from celeriac_console.main import app

HOUR = timedelta(hours=1)
MANY = 1000
jobs = Queue("many-delayed", batch_size=10)
ran: Counter[str] = Counter()


@task(jobs)
def even(ctx: Context, number: int) -> None:
    ran[ctx.id] += 1


@task(jobs)
def odd(ctx: Context, number: int) -> None:
    ran[ctx.id] += 1


def delayed(*arguments: str) -> Any:
    return json.loads(CliRunner().invoke(app, ["--stage", "test", "delayed", *arguments, "--json"]).stdout)


def made(sandbox: Sandbox, before: Counter[tuple[str, str]]) -> dict[str, int]:
    """The AWS calls since then."""
    return {operation: number for (_, operation), number in (sandbox.calls - before).items()}


def test_a_thousand_tasks_are_listed_filtered_cancelled_and_run_now_in_pages(sandbox: Sandbox) -> None:
    ran.clear()
    evens = {even.options(delay=HOUR * (1 + number % 10)).enqueue(number=number).id for number in range(0, MANY, 2)}
    for number in range(1, MANY, 2):
        odd.options(delay=HOUR * (1 + number % 10)).enqueue(number=number)

    before, found = sandbox.calls.copy(), set[str]()
    page: Any = ""
    for _ in range(10):
        answer = delayed("list", "--page", page)
        found |= {one["name"] for one in answer["tasks"]}
        page = answer["next"]
    assert (len(found), page) == (MANY, None)
    assert made(sandbox, before) == {"ListSchedules": 10, "GetSchedule": MANY}

    before = sandbox.calls.copy()
    assert len(delayed("list", "--task", "even", "--until", "4h", "--limit", "5000")["tasks"]) == 200
    assert made(sandbox, before) == {"ListSchedules": 10, "GetSchedule": MANY}

    before = sandbox.calls.copy()
    assert delayed("cancel", "--task", "odd")["cancelled"] == MANY / 2
    assert made(sandbox, before) == {
        "ListSchedules": 10,
        "GetSchedule": MANY,
        "UpdateItem": MANY // 2,
        "DeleteSchedule": MANY // 2,
    }

    before = sandbox.calls.copy()
    assert delayed("run-now", "--queue", "many-delayed")["sent"] == MANY / 2
    assert made(sandbox, before) == {
        "ListSchedules": 5,
        "GetSchedule": MANY // 2,
        "SendMessageBatch": MANY // 20,
        "DeleteSchedule": MANY // 2,
    }
    start_at = sandbox.now
    sandbox.drain()
    assert sandbox.now - start_at < HOUR
    assert set(ran) == evens
    assert set(ran.values()) == {1}
