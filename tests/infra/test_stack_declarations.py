"""Declarations that conflict are refused before anything is deployed."""

import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from celeriac import Queue, Task, task
from celeriac.declare import registry
from celeriac.model import declared
from celeriac.model.errors import CeleriacError, DeclarationError
from celeriac.testing.scope import of_this_test
from celeriac_cdk.declarations.fan_out import MOST_IN_ALL, MOST_ON_ONE_QUEUE, check_fan_out
from celeriac_cdk.declarations.load import (
    check_replays_are_absorbed,
    check_retired,
    check_sends_to,
    check_tasks_have_queues,
    declarations,
)


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    with registry.only(of_this_test):
        yield


def test_the_queues_and_tables_of_the_tasks_are_found() -> None:
    queues, tables, tasks = declarations()
    assert [queue.name for queue in queues] == ["desk"]
    assert [table.name for table in tables] == ["orders", "payments"]
    assert [task.name for task in tasks] == ["file_away"]


def test_events_kept_longer_than_the_records_of_their_tasks_are_refused() -> None:
    with pytest.raises(DeclarationError, match="the queue 'jobs' keeps the records of its tasks for 22 days"):
        check_replays_are_absorbed(timedelta(days=60), [Queue("jobs")])


def _subscribe(count: int, queues: int, on: str = "order.created") -> list[Task[..., Any, Any]]:
    made: list[Task[..., Any, Any]] = []
    for number in range(count):

        @task(Queue(f"subscribers-{number % queues}"), name=f"subscriber_{number}", on=on)
        def subscriber() -> None: ...

        made.append(subscriber)
    return made


def test_an_event_may_have_as_many_subscribers_as_the_relay_can_send_to() -> None:
    check_fan_out(_subscribe(MOST_ON_ONE_QUEUE, 1))
    check_fan_out(_subscribe(MOST_IN_ALL, 10))


def test_more_subscribers_than_the_relay_can_send_to_are_refused() -> None:
    crowded = [*_subscribe(MOST_ON_ONE_QUEUE, 1), *_subscribe(1, 1, on="order.*")]
    with pytest.raises(
        DeclarationError, match="has 31 subscribers on the queue 'subscribers-0', but the relay can send"
    ):
        check_fan_out(crowded)
    with pytest.raises(DeclarationError, match="has 241 subscribers"):
        check_fan_out(_subscribe(MOST_IN_ALL + 1, 20))


def test_a_task_on_an_undeclared_queue_is_refused() -> None:
    @task(Queue("stray"))
    def lost() -> None: ...

    message = r"task 'lost' is on the queue 'stray', which application/queues\.py doesn't declare"
    with pytest.raises(DeclarationError, match=message):
        check_tasks_have_queues([lost], [Queue("declared")])


@pytest.mark.parametrize("declared", [{"cron": "0 3 * * *"}, {"on": "order.created"}], ids=str)
def test_a_schedule_or_an_event_cannot_send_to_a_retired_queue(declared: dict[str, str]) -> None:
    @task(Queue("old", retired=True), **declared)  # type: ignore[arg-type]  # a table of arguments
    def still_there() -> None: ...

    with pytest.raises(DeclarationError, match=r"'old' is retired: .* with former_queues=\[old\]"):
        check_retired([still_there])


def test_a_former_queue_that_is_not_declared_is_refused() -> None:
    declared = Queue("declared")

    @task(declared, former_queues=[Queue("stray")])
    def moved() -> None: ...

    message = r"task 'moved' has the former queue 'stray', which application/queues\.py doesn't declare"
    with pytest.raises(DeclarationError, match=message):
        check_tasks_have_queues([moved], [declared])


@pytest.fixture
def synthesized(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., list[Task[..., Any, Any]]]]:
    """Give the tasks of a package with these files, as a synth finds them. There is a queue `jobs`."""

    def declare(**files: str) -> list[Task[..., Any, Any]]:
        folder = tmp_path / "small_shop"
        folder.mkdir()
        start = "from celeriac import *\nfrom small_shop.queues import jobs\n"
        (folder / "__init__.py").write_text(files.pop("package", ""))
        (folder / "queues.py").write_text('from celeriac import *\njobs = Queue("jobs")\n' + files.pop("queues", ""))
        for name, text in files.items():
            (folder / f"{name}.py").write_text(start + text)
        monkeypatch.syspath_prepend(tmp_path)
        with declared.application("small_shop"), registry.only(lambda _: True):
            _, _, tasks = declarations()
            return tasks

    yield declare
    for name in [name for name in sys.modules if name.startswith("small_shop")]:
        del sys.modules[name]
    for home in [home for home in registry._by_home if home.startswith("small_shop")]:
        del registry._by_home[home]


def test_a_task_is_found_however_it_is_declared(synthesized: Callable[..., list[Task[..., Any, Any]]]) -> None:
    by_hand = "from os.path import getsize\nnightly = task(jobs, cron='0 3 * * *', name='{}')(lambda: None)\n"
    found = synthesized(
        package="from celeriac import task\nfrom small_shop.queues import jobs\n@task(jobs)\ndef first(): ...\n",
        calls="from shutil import rmtree\n"
        "def report(): ...\n"
        "def clean(path: str = '/'): ...\n"
        "clean.__module__ = 'shutil'\n"  # as if it were imported
        "imported = task(jobs, cron='0 3 * * *')(clean)\n"
        "daily = task(jobs, name='daily', cron='0 4 * * *')(report)\n"
        "hourly = task(jobs, name='hourly', cron='0 * * * *')(report)\n",
        more=by_hand.format("by_hand"),
    )
    assert sorted(each.name for each in found) == ["by_hand", "clean", "daily", "first", "hourly"]
    assert {each.name for each in found if each.cron is not None} == {"clean", "daily", "hourly", "by_hand"}


@pytest.mark.parametrize(
    ("files", "complaint"),
    [
        (
            {"mails": "@task(jobs)\ndef send(): ...\n@task(jobs)\ndef send(): ...\n"},
            r"'send': small_shop\.mails\.send, twice",
        ),
        (
            {"mails": "def call(): ...\ntask(jobs, name='a')(call)\n@task(jobs, name='a')\ndef send(): ...\n"},
            "two tasks are named 'a'",
        ),
        (
            {"queues": "events = Outbox()\n"},
            r"small_shop\.queues declares the outbox events.*small_shop/tables\.py",
        ),
        (
            {"mails": 'orders = Table("orders")\n'},
            r"small_shop\.mails declares the table orders.*move it to small_shop/tables\.py",
        ),
        (
            {"mails": 'more = Queue("more")\n'},
            r"small_shop\.mails declares the queue more.*move it to small_shop/queues\.py",
        ),
        ({"mails": "task(Queue('x'))(lambda a=1: None)"}, "lambda|queue 'x'"),
        ({"mails": "import functools\ntask(jobs)(functools.partial(print))"}, "has no name: give the task one"),
    ],
    ids=["one name in a module", "one name by a call", "outbox", "table", "queue", "stray queue", "partial"],
)
def test_what_would_be_left_out_is_refused(
    synthesized: Callable[..., list[Task[..., Any, Any]]], files: dict[str, str], complaint: str
) -> None:
    with pytest.raises(CeleriacError, match=complaint):
        synthesized(**files)


def test_a_queue_may_send_only_to_declared_ones() -> None:
    other, strict = Queue("other"), Queue("strict", sends_to=["other", "gone"])
    with pytest.raises(DeclarationError, match="'gone'"):
        check_sends_to([other, strict])
    check_sends_to([other, Queue("strict", sends_to=[other])])
