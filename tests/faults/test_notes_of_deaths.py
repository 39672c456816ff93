"""A note of a death is worth no message: whatever becomes of it, what is settled is acknowledged."""

import threading
from datetime import timedelta

import pytest

from celeriac import Queue, Reject, task
from celeriac.consume import handler
from celeriac.testing import Sandbox
from tests.injection import registered

mail = Queue("noted")


@task(mail, delivery="at_least_once")
def post() -> None:
    raise Reject("no such address")


def test_a_table_that_does_not_answer_holds_no_acknowledgement_back(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    answered = threading.Event()
    monkeypatch.setattr(handler, "NOTING", timedelta(milliseconds=50))

    def hang(**_: object) -> None:
        answered.wait(30)

    post.enqueue()
    with registered("dynamodb", "before-call.dynamodb.PutItem", hang):
        assert sandbox.run_once() == 1
        answered.set()
    sandbox.advance(mail.visibility + timedelta(seconds=1))
    assert sandbox.run_once() == 0
    assert len(sandbox.dead_letters(mail)) == 1


def test_a_worker_that_dies_before_its_note_has_sent_the_letter(sandbox: Sandbox) -> None:
    handle = post.enqueue()
    sandbox.crash_at(2)  # the letter, and then the note
    sandbox.drain()
    assert handle.status().state == "dead"
