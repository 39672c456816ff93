"""Chapter 3: an error is retried with backoff, until the attempts are used up."""

from datetime import timedelta

import pytest

from celeriac import Backoff, Context, Queue, Retry, TaskFailedError, task
from celeriac.testing import Sandbox

mails = Queue("chapter-3")
attempts: list[int] = []


@pytest.fixture(autouse=True)
def _empty() -> None:
    attempts.clear()


@task(mails, retry=Backoff(attempts=4, base=timedelta(minutes=1), factor=2))
def send_mail(ctx: Context, works_at: int) -> str:
    attempts.append(ctx.attempt)
    if ctx.attempt < works_at:
        raise ConnectionError("the mail server is busy")
    return "sent"


@task(mails)
def wait_for_report(ctx: Context) -> str:
    attempts.append(ctx.attempt)
    if ctx.attempt == 1:
        raise Retry("it isn't ready", delay=timedelta(hours=1))
    return "ready"


def test_an_error_is_retried_until_the_task_succeeds(sandbox: Sandbox) -> None:
    handle = send_mail.enqueue(works_at=3)
    sandbox.drain()
    assert attempts == [1, 2, 3]
    assert handle.result() == "sent"


def test_the_waits_grow(sandbox: Sandbox) -> None:
    start = sandbox.now
    send_mail.enqueue(works_at=4)
    sandbox.drain()
    # 1 + 2 + 4 minutes, each with jitter.
    assert timedelta(minutes=3) < sandbox.now - start < timedelta(minutes=15)


def test_after_the_last_attempt_the_task_is_a_dead_letter(sandbox: Sandbox) -> None:
    handle = send_mail.enqueue(works_at=99)
    sandbox.drain()
    assert attempts == [1, 2, 3, 4]
    (letter,) = sandbox.dead_letters(mails)
    assert letter.failure is not None
    assert (letter.failure.reason, letter.failure.message) == ("exhausted", "the mail server is busy")
    with pytest.raises(TaskFailedError, match="exhausted"):
        handle.result()


def test_a_task_can_choose_the_delay(sandbox: Sandbox) -> None:
    start = sandbox.now
    wait_for_report.enqueue()
    sandbox.drain()
    assert attempts == [1, 2]
    assert sandbox.now - start >= timedelta(hours=1)
