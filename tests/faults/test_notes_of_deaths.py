"""A note of a crash is less important than a message: settled messages are acknowledged even if the note fails."""

import threading
from datetime import timedelta
from typing import Any

import pytest

from celeriac import Queue, Reject, task
from celeriac.consume import handler
from celeriac.testing import Call, Sandbox

mail = Queue("noted", batch_size=10)


@task(mail, delivery="at_least_once")
def post() -> None:
    raise Reject("no such address")


def test_a_table_that_does_not_answer_delays_no_acknowledgement(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    answered = threading.Event()
    monkeypatch.setattr(handler, "NOTING", timedelta(milliseconds=50))

    def hang(call: Call) -> Any:
        if call.operation == "PutItem":
            answered.wait(30)
        return call.make()

    post.enqueue()
    with sandbox.fault(hang):
        assert sandbox.run_once() == 1
        answered.set()
    sandbox.advance(mail.visibility + timedelta(seconds=1))
    assert sandbox.run_once() == 0
    assert len(sandbox.dead_letters(mail)) == 1


def test_a_worker_sends_the_letter_before_it_writes_the_note(sandbox: Sandbox) -> None:
    handle = post.enqueue()
    sandbox.crash_at(2)  # call 1 is the letter, call 2 the note
    sandbox.drain()
    assert handle.status().state == "dead"
