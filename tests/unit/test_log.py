"""One log line for each attempt, with the fields by which an operator finds it."""

from datetime import timedelta

import pytest

from celeriac import Backoff, Context, Queue, Reject, task
from celeriac.observe.text import key_hash
from celeriac.testing import Sandbox
from tests.support.faults import out_of_reach

jobs = Queue("jobs")
ledger = Queue("ledger", fifo=True)


@pytest.mark.parametrize("queue", [jobs, ledger], ids=["standard", "fifo"])
def test_every_attempt_leaves_a_line(sandbox: Sandbox, queue: Queue, caplog: pytest.LogCaptureFixture) -> None:
    @task(queue, retry=Backoff(attempts=3))
    def work(ctx: Context, then: str) -> None:
        if ctx.attempt < 3:
            raise ConnectionError
        if then == "die":
            raise Reject

    group = "g" if queue.fifo else None
    live = work.options(group=group).enqueue(then="succeed")
    dead = work.options(group=group).enqueue(then="die")
    caplog.set_level("INFO")
    sandbox.drain()

    lines = [vars(record) for record in caplog.records if "outcome" in vars(record)]
    for handle, last in ((live, "succeeded"), (dead, "dead")):
        seen = [(line["outcome"], line["attempt"]) for line in lines if line["id"] == handle.id]
        assert seen == [("retried", 1), ("retried", 2), (last, 3)]
    assert {line["queue"] for line in lines} == {queue.name}
    assert all(line["task"] == "work" and line["milliseconds"] >= 0 for line in lines)
    assert {line["key_hash"] for line in lines} == {key_hash(f"work:{handle.id}") for handle in (live, dead)}
    assert all(line["request_id"] for line in lines)


def test_an_unsettled_message_leaves_its_line_as_a_dead_letter_too(
    sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    @task(jobs)
    def work() -> None: ...

    work.enqueue()
    with out_of_reach("dynamodb", "PutItem"), out_of_reach("dynamodb", "UpdateItem"):
        while not sandbox.dead_letters(jobs):
            sandbox.run_once()
            sandbox.advance(timedelta(hours=1))

    *_, line = [vars(record) for record in caplog.records if "outcome" in vars(record)]
    assert (line["outcome"], line["reason"]) == ("dead", "unsettled")


def test_each_death_of_a_worker_leaves_one_line_with_its_task(
    sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    @task(jobs)
    def work() -> None: ...

    handle = work.enqueue()
    # The worker dies when it completes the task: at its second call, and at its sixth if it takes the lease over first.
    for call in (2, 6):
        sandbox.crash_at(call)
        sandbox.run_once()
        sandbox.advance(jobs.visibility + timedelta(seconds=1))
    caplog.set_level("INFO")
    sandbox.drain()

    lost = [vars(record) for record in caplog.records if record.getMessage() == "worker lost"]
    assert {(line["task"], line["id"], line["attempt"], line["queue"]) for line in lost} == {
        ("work", handle.id, 1, "jobs")
    }
    assert [line["deaths_alone"] for line in lost] == [1, 2]
    assert all(line["request_id"] for line in lost)


@pytest.mark.parametrize("local", [True, False])
def test_the_text_of_an_error_is_logged_only_on_the_local_cloud(
    sandbox: Sandbox, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, *, local: bool
) -> None:
    @task(jobs, retry=Backoff(attempts=2))
    def work() -> None:
        raise ConnectionError("no answer from 10.0.0.1")

    if local:
        monkeypatch.setenv("CELERIAC_LOG_ERROR_TEXTS", "true")
    work.enqueue()
    sandbox.drain()

    lines = [vars(record) for record in caplog.records if "outcome" in vars(record)]
    assert [line["outcome"] for line in lines] == ["retried", "dead"]
    for line in lines:
        assert line.get("error_message") == ("no answer from 10.0.0.1" if local else None)
        assert ("in work" in line.get("error_traceback", "")) is local
