"""One line for each attempt, with what an operator needs to find it."""

import pytest

from celeriac import Backoff, Context, Queue, Reject, task
from celeriac.log import key_hash
from celeriac.testing import Sandbox

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
