"""Declarations that can't stand together are refused before anything is deployed."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from celeriac import Queue, registry, task
from celeriac.declaration import DeclarationError
from celeriac.testing.scope import of_this_test
from infra.declarations import check_replays_are_absorbed, check_tasks_have_queues, declarations


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    with registry.only(of_this_test):
        yield


def test_the_queues_and_tables_of_the_tasks_are_found() -> None:
    queues, tables, tasks = declarations()
    assert {"emails", "orders", "payments", "webhooks"} <= {queue.name for queue in queues}
    assert {"orders", "payments"} <= {table.name for table in tables}
    assert {"place_order", "process_payment"} <= {task.name for task in tasks}


def test_events_that_outlive_the_memory_of_their_tasks_are_refused() -> None:
    with pytest.raises(DeclarationError, match="tasks of the queue 'jobs' remember theirs for 18 days"):
        check_replays_are_absorbed(timedelta(days=60), [Queue("jobs")])


def test_a_task_on_a_queue_that_nobody_would_deploy_is_refused() -> None:
    @task(Queue("stray"))
    def lost() -> None: ...

    message = r"task 'lost' is on the queue 'stray', which tasks/queues\.py doesn't declare"
    with pytest.raises(DeclarationError, match=message):
        check_tasks_have_queues([lost], [Queue("declared")])
