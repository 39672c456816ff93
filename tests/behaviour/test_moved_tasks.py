"""A task runs only from its own queue and its former ones: who may send to another queue can't run it."""

import json
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from typer.testing import CliRunner

from celeriac import Backoff, Context, Handle, Queue, Task, task, transaction
from celeriac.aws import sqs
from celeriac.model.errors import TaskError
from celeriac.testing import Sandbox
from celeriac.testing.account import lying_in
from celeriac_console.main import app
from tests.support.redrive import redrive_as_aws_does

old = Queue("moved-from", patience=timedelta(hours=2), batch_size=10)
new = Queue("moved-to", patience=timedelta(hours=2), batch_size=10)
ledger = Queue("moved-from-ledger", fifo=True, max_receives=5, batch_size=10)
ran: list[tuple[str, int]] = []


@task(old)
def other_work_of_the_old_queue() -> None: ...


@task(new)
def other_work_of_the_new_queue() -> None: ...


class Now:
    """What the running test has set."""

    fails = False


@pytest.fixture(autouse=True)
def _empty() -> None:
    ran.clear()
    Now.fails = False


def _release(queue: Queue, former_queues: Sequence[Queue] = ()) -> Task[..., Any, Any]:
    """Declare the task `move` as a release does, in place of the release before it."""

    @task(queue, former_queues=former_queues, name="move", key="number", retry=Backoff(attempts=2, jitter=0))
    def move(ctx: Context, number: int = 0) -> None:
        ran.append((str(number), ctx.attempt))
        if Now.fails:
            raise ConnectionError

    return move


def _dlq(*arguments: str) -> str:
    return CliRunner().invoke(app, ["--stage", "test", "dlq", *arguments]).output


def test_a_task_of_another_queue_is_a_dead_letter_and_does_not_run(sandbox: Sandbox) -> None:
    _release(new)
    sandbox.send(old, {"task": "move", "args": {"number": 1}})
    sandbox.drain()

    assert ran == []
    (letter,) = sandbox.dead_letters(old)
    assert letter.failure is not None
    assert (letter.failure.reason, letter.failure.attempts) == ("wrong queue", 0)
    assert "'move' runs from 'moved-to', and this message came from 'moved-from'" in letter.failure.message
    assert sandbox.dead_letters(new) == []


@pytest.mark.parametrize("args", [{"number": 1}, {"number": "x"}, 5], ids=["good", "malformed", "no object"])
def test_a_message_in_another_queue_does_not_change_what_is_told_about_a_task(sandbox: Sandbox, args: object) -> None:
    move = _release(new)
    handle = move.options(delay=timedelta(days=3)).enqueue(number=1)
    sandbox.send(old, {"task": "move", "id": handle.id, "args": args})
    sandbox.advance(timedelta(hours=3))
    sandbox.run_once()
    assert len(sandbox.dead_letters(old)) == 1
    assert handle.status().state == "queued"


def test_what_waits_in_a_former_queue_runs_with_its_attempts(sandbox: Sandbox) -> None:
    before = _release(old)
    Now.fails = True
    before.enqueue(number=1)
    sandbox.run_once()
    before.options(delay=timedelta(minutes=10)).enqueue(number=2)
    before.options(delay=timedelta(days=2)).enqueue(number=3)
    with transaction() as tx:
        tx.enqueue(before, number=4)
    Now.fails = False
    move = _release(new, [old])
    move.enqueue(number=5)
    sandbox.drain()

    assert sorted(ran) == [("1", 1), ("1", 2), ("2", 1), ("3", 1), ("4", 1), ("5", 1)]
    assert sandbox.dead_letters(old) == sandbox.dead_letters(new) == []


@pytest.mark.parametrize("how", ["AWS", "celeriac", "--to"])
def test_a_letter_of_a_former_queue_is_found_and_redriven(sandbox: Sandbox, how: str) -> None:
    before = _release(old)
    Now.fails = True
    handle = before.enqueue(number=1)
    sandbox.drain()
    move = _release(new, [old])
    Now.fails = False
    ran.clear()

    assert move.handle(id=handle.id, key=1).status().state == "dead"
    if how == "AWS":
        redrive_as_aws_does(old)
    else:
        assert "1 of 1 dead letter" in _dlq("redrive", "moved-from", *(["--to", "moved-to"] if how == "--to" else []))
    sandbox.drain()
    assert ran == [("1", 1)]
    assert sandbox.dead_letters(old) == sandbox.dead_letters(new) == []


def test_a_letter_that_sqs_moved_out_of_a_former_queue_is_found(sandbox: Sandbox) -> None:
    move = _release(new, [old])
    handle = move.handle(id="m-1", key=1)
    sqs.send(old.dead_letter_name("test"), sqs.Entry('{"task": "move", "id": "m-1", "args": {"number": 1}}'))
    assert handle.status().state == "dead"


def test_on_a_former_fifo_queue_the_order_is_kept(sandbox: Sandbox) -> None:
    before = _release(ledger)
    Now.fails = True
    for number in (1, 2):
        before.options(group="g").enqueue(number=number)
    sandbox.run_once()
    _release(new, [ledger])
    Now.fails = False
    sandbox.drain()
    assert ran == [("1", 1), ("1", 2), ("2", 1)]


def test_a_message_waits_for_the_release_that_moves_its_task_here(sandbox: Sandbox) -> None:
    """The new release's producers may send to the new queue while a worker of the old release still reads it."""
    _release(old)
    sandbox.send(new, {"task": "move", "args": {"number": 1}})
    sandbox.run_once()
    sandbox.advance(timedelta(minutes=30))
    sandbox.run_once()
    assert (ran, sandbox.dead_letters(new)) == ([], [])

    _release(new, [old])
    sandbox.drain()
    assert (ran, sandbox.dead_letters(new)) == ([("1", 1)], [])


def test_a_forgotten_former_queue_can_be_declared_while_its_messages_wait(sandbox: Sandbox) -> None:
    _release(old).enqueue(number=1)
    _release(new)
    sandbox.run_once()
    sandbox.advance(timedelta(minutes=30))
    assert len(lying_in(sqs.url(old.physical_name("test")))) == 1
    _release(new, [old])
    sandbox.drain()
    assert ran == [("1", 1)]


def test_a_redrive_to_a_queue_where_the_task_does_not_run_is_refused(sandbox: Sandbox) -> None:
    _release(new)
    sandbox.send(old, {"task": "move", "args": {"number": 1}})
    sandbox.drain()
    assert "its task move doesn't run from moved-from: redrive it with --to moved-to" in _dlq("redrive", "moved-from")
    assert len(sandbox.dead_letters(old)) == 1

    assert "1 of 1 dead letter" in _dlq("redrive", "moved-from", "--to", "moved-to")
    sandbox.drain()
    assert ran == [("1", 1)]


def test_the_console_sends_to_the_tasks_own_queue_and_runs_again_from_there(sandbox: Sandbox) -> None:
    _release(new, [old])
    for command in (["send", "move", "--arg", "number=1"], ["rerun", "move", "1", "--yes"]):
        assert CliRunner().invoke(app, ["--stage", "test", *command]).exit_code == 0
        assert len(lying_in(sqs.url(new.physical_name("test")))) == 1
        sandbox.drain()
    assert ran == [("1", 1), ("1", 1)]
    (row,) = [row for row in json.loads(_tasks("--json")) if row["task"] == "move"]
    assert (row["queue"], row["former_queues"]) == ("moved-to", ["moved-from"])
    assert "queue moved-to (formerly moved-from)" in _tasks()


def _tasks(*arguments: str) -> str:
    return CliRunner().invoke(app, ["tasks", *arguments]).stdout


@pytest.mark.parametrize(
    ("queue", "former", "problem"),
    [
        (new, old, r"write a list: former_queues=\[that_queue\]"),
        (new, ["moved-from"], "write a list"),
        (new, [new], "'moved-to' is its queue, so leave it out"),
    ],
)
def test_former_queues_that_cannot_be_are_refused(queue: Queue, former: Any, problem: str) -> None:
    with pytest.raises(TaskError, match=problem):
        _release(queue, former)


def test_a_backoff_that_a_former_fifo_queue_cannot_keep_is_refused() -> None:
    with pytest.raises(TaskError, match="queue 'moved-from-ledger'"):

        @task(new, former_queues=[ledger], retry=Backoff(cap=timedelta(days=1)))
        def slow() -> None: ...


def test_a_handle_stays_the_same_when_its_task_is_moved(sandbox: Sandbox) -> None:
    handle: Handle[Any] = _release(old).enqueue(number=1)
    moved = _release(new, [old]).handle(id=handle.id, key=1)
    sandbox.drain()
    assert moved.status() == handle.status()
    assert moved.status().state == "succeeded"
