"""`celeriac` and used keys: it says that a key was used, forgets the key, or runs its task again."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from botocore.exceptions import ClientError
from typer.testing import CliRunner, Result

from celeriac import Backoff, Queue, Reject, Retry, task
from celeriac.aws import sqs
from celeriac.aws.client import client
from celeriac.testing import Sandbox
from celeriac_console.main import app
from tests.support.faults import registered
from tests.support.terminal import AtTerminal

RERUN = ("--stage", "test", "rerun", "charge", "o-1")
shop = Queue("used-keys")
ran: list[str] = []


@pytest.fixture(autouse=True)
def _empty() -> Iterator[None]:
    ran.clear()
    return iter(())


@task(shop, key="order", retry=Backoff(base=timedelta(minutes=10), jitter=0, attempts=2))
def charge(order: str, fail: str = "no") -> None:
    ran.append(order)
    if fail == "for good":
        raise Reject("declined")
    if fail == "later":
        raise Retry("busy")


@task(shop, key="number")
def count(number: int, times: int) -> int:
    return number * times


@task(shop, delivery="at_least_once")
def notify() -> None: ...


def _run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["--stage", "test", *arguments])


def test_send_says_that_a_key_was_used(sandbox: Sandbox) -> None:
    first = _run("send", "charge", "--arg", "order=o-1").stdout.strip()
    sandbox.drain()
    again = _run("send", "charge", "--arg", "order=o-1")
    assert f"duplicate of {first.split('/')[1]}, succeeded 2026-01-01 00:00:00Z" in again.stderr
    sandbox.drain()
    assert ran == ["o-1"]
    assert f"charge: duplicate of {first.split('/')[1]}, succeeded" in _run("status", again.stdout.strip()).output


def test_send_ignores_a_record_that_it_may_not_read(sandbox: Sandbox) -> None:
    def deny(**_: object) -> None:
        raise ClientError({"Error": {"Code": "AccessDeniedException", "Message": "no"}}, "GetItem")

    with registered("dynamodb", "before-call.dynamodb.GetItem", deny):
        assert "next: " in _run("send", "charge", "--arg", "order=o-1").stderr


def test_rerun_runs_a_used_key_again(sandbox: Sandbox, at_terminal: AtTerminal) -> None:
    charge.enqueue(order="o-1")
    sandbox.drain()
    code, said = at_terminal("n\n", *RERUN)
    assert code == 1
    assert "charge: succeeded" in said
    sandbox.drain()
    assert ran == ["o-1"]
    assert at_terminal("", *RERUN)[0] == 130  # Ctrl-D
    assert at_terminal("y\n", *RERUN)[0] == 0
    sandbox.drain()
    assert ran == ["o-1", "o-1"]


def test_without_a_terminal_forget_and_rerun_need_yes(sandbox: Sandbox) -> None:
    charge.enqueue(order="o-1")
    sandbox.drain()
    for verb in ("forget", "rerun"):
        done = _run(verb, "charge", "o-1")
        assert done.exit_code == 2
        assert "There is no terminal to answer at: add --yes" in " ".join(done.stderr.split())
    assert charge.handle(key="o-1").status().state == "succeeded"


def test_rerun_needs_the_arguments_that_are_not_in_the_key(sandbox: Sandbox) -> None:
    count.enqueue(number=7, times=2)
    sandbox.drain()
    missing = _run("rerun", "count", "7", "--yes")
    assert missing.exit_code == 2
    assert "'times'" in missing.output
    assert "Arguments are not stored: give them with --arg or --json" in missing.output
    assert "it must be 7, or left out" in _run("rerun", "count", "7", "--arg", "number=8", "--arg", "times=3").output
    assert count.handle(key=7).status().state == "succeeded"  # nothing was forgotten
    assert _run("rerun", "count", "7", "--arg", "times=3", "--yes").exit_code == 0
    sandbox.drain()
    assert count.handle(key=7).result() == 21


def test_rerun_sends_a_message_with_the_key_of_the_first_message(sandbox: Sandbox) -> None:
    count.options(key="mine").enqueue(number=3, times=2)
    sandbox.drain()
    assert "missing a required argument" in _run("rerun", "count", "mine", "--yes").output
    assert _run("rerun", "count", "mine", "--arg", "number=4", "--arg", "times=2", "--yes").exit_code == 0
    sandbox.drain()
    assert count.handle(key="mine").result() == 8


def test_rerun_names_forget_for_a_dead_task_whose_letter_is_gone(sandbox: Sandbox) -> None:
    charge.enqueue(order="o-1", fail="for good")
    sandbox.drain()
    client("sqs").purge_queue(QueueUrl=sqs.url("celeriac-test--used-keys-dlq"))
    told = " ".join(_run("rerun", "charge", "o-1", "--yes").output.split())
    assert "its letter is gone: celeriac --stage test forget charge o-1, then send it again" in told


def test_forget_lets_the_next_message_run(sandbox: Sandbox) -> None:
    charge.enqueue(order="o-1")
    sandbox.drain()
    assert "the next message of charge o-1 runs" in _run("forget", "charge", "o-1", "--yes").output
    charge.enqueue(order="o-1")
    sandbox.drain()
    assert ran == ["o-1", "o-1"]
    assert "nothing is stored of charge 'o-2'" in _run("forget", "charge", "o-2", "--yes").output


def test_a_running_task_is_not_forgotten(sandbox: Sandbox) -> None:
    told: list[Result] = []

    @task(shop, key="name")
    def slow(name: str) -> None:
        told.extend([_run("forget", "slow", "a", "--yes"), _run("rerun", "slow", "a", "--yes")])

    slow.enqueue(name="a")
    sandbox.drain()
    assert [one.exit_code for one in told] == [2, 2]
    assert all("slow a runs now: wait until it has ended" in one.output for one in told)


def test_a_record_that_changes_during_the_question_is_not_forgotten(
    sandbox: Sandbox, at_terminal: AtTerminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    charge.enqueue(order="o-1", fail="for good")
    sandbox.drain()

    def redriven_meanwhile(*_: object, **__: object) -> bool:
        charge.enqueue(order="o-1")
        sandbox.drain()
        return True

    monkeypatch.setattr("typer.confirm", redriven_meanwhile)
    _, said = at_terminal("", "--stage", "test", "forget", "charge", "o-1")
    assert "it has changed meanwhile, nothing was forgotten" in " ".join(said.split())


def test_rerun_refuses_a_task_that_is_retrying_or_has_a_dead_letter(sandbox: Sandbox) -> None:
    charge.enqueue(order="o-1", fail="later")
    charge.enqueue(order="o-2", fail="for good")
    sandbox.run_once()
    assert "it will run again by itself, at 2026-01-01 00:10:00Z" in _run("rerun", "charge", "o-1", "--yes").output
    dead = _run("rerun", "charge", "o-2", "--yes").output
    assert "celeriac --stage test dlq redrive used-keys --id" in " ".join(dead.split())


def test_at_least_once_tasks_have_no_key_to_forget(sandbox: Sandbox) -> None:
    for verb in ("forget", "rerun"):
        assert "no record of its keys is kept, so every message runs" in _run(verb, "notify", "a", "--yes").output
