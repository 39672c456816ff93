"""Chapter 10: what has become of a task, for whoever sent it: now, later, and in another process."""

from datetime import timedelta

import celeriac
from celeriac import Backoff, Queue, task
from celeriac.testing import Sandbox

exports = Queue("chapter-10")


@task(exports, key="month", retry=Backoff(attempts=2, base=timedelta(minutes=1)))
def export(month: str) -> dict[str, str]:
    if month == "2026-13":
        raise ValueError("no such month")
    return {"file": f"{month}.csv"}


def test_the_states_of_a_task(sandbox: Sandbox) -> None:
    handle = export.enqueue("2026-13")
    assert handle.status().state == "queued"
    sandbox.run_once()
    assert handle.status().state == "retrying"
    sandbox.drain()
    status = handle.status()
    assert (status.state, status.attempts) == ("dead", 2)
    assert status.failure is not None
    assert status.failure.message == "no such month"


def test_a_reference_is_a_handle_in_another_process(sandbox: Sandbox) -> None:
    kept = export.enqueue("2026-01").ref  # one word: put it into a database, or into a link
    sandbox.drain()
    assert celeriac.handle(kept).result() == {"file": "2026-01.csv"}


def test_the_key_alone_is_enough(sandbox: Sandbox) -> None:
    export.enqueue("2026-02")
    sandbox.drain()
    assert export.handle(key="2026-02").status().state == "succeeded"


def test_nothing_is_known_of_what_was_never_sent(sandbox: Sandbox) -> None:
    assert export.handle(key="1999-01").status().state == "unknown"
