"""Declarations that conflict are refused before anything is deployed."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from celeriac import Queue, Task, task
from celeriac.declare import registry
from celeriac.model.errors import DeclarationError
from celeriac.testing.scope import of_this_test
from celeriac_cdk.declarations.fan_out import MOST_IN_ALL, MOST_ON_ONE_QUEUE, check_fan_out
from celeriac_cdk.declarations.load import check_replays_are_absorbed, check_tasks_have_queues, declarations


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

    message = r"task 'lost' is on the queue 'stray', which tasks/queues\.py doesn't declare"
    with pytest.raises(DeclarationError, match=message):
        check_tasks_have_queues([lost], [Queue("declared")])


def test_a_former_queue_that_is_not_declared_is_refused() -> None:
    declared = Queue("declared")

    @task(declared, former_queues=[Queue("stray")])
    def moved() -> None: ...

    message = r"task 'moved' has the former queue 'stray', which tasks/queues\.py doesn't declare"
    with pytest.raises(DeclarationError, match=message):
        check_tasks_have_queues([moved], [declared])
