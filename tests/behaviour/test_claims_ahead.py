"""While a task of a batch runs, the next ones are claimed, and the success of the last ones is recorded."""

import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from typing import Annotated, Any

import pytest
from pydantic import AfterValidator, BaseModel

from celeriac import Backoff, Context, Queue, task
from celeriac.consume.handler import handler
from celeriac.testing import Sandbox, WorkerDied, die
from celeriac.testing.calls import Call
from celeriac.worker.event import Invocation

jobs = Queue("ahead", batch_size=10)
kept = Queue("ahead-kept", batch_size=10, record_behind=False)
wide = Queue("ahead-wide", batch_size=10, concurrency=2)
in_order = Queue("ahead-in-order", fifo=True, batch_size=10)
PATIENCE = 20
"""Seconds that a test waits for what must happen."""
MOMENT = 0.2
"""Seconds in which what must not happen would happen."""
runs: list[str] = []
attempts: list[int] = []
at_once: list[int] = []
during: dict[str, Callable[[], object]] = {}
_lock = threading.Lock()
_running = 0


@pytest.fixture(scope="module", autouse=True)
def _has_run_before() -> None:
    """Run a batch. In the first one of a process nothing is claimed ahead here, whichever test it belongs to."""
    with Sandbox(claims_ahead=9) as sandbox:
        work.enqueue_many({"name": f"first {number}"} for number in range(10))
        sandbox.run_once()


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    for some in (runs, attempts, at_once, during):
        some.clear()
    with Sandbox(claims_ahead=9) as sandbox:
        yield sandbox


def _run(name: str, attempt: int) -> None:
    global _running  # noqa: PLW0603 - how many run now
    with _lock:
        _running += 1
        runs.append(name)
        attempts.append(attempt)
        at_once.append(_running)
    try:
        during.pop(name, lambda: None)()
    finally:
        with _lock:
            _running -= 1


@task(jobs, key="name", retry=Backoff(base=timedelta(seconds=1), jitter=0))
def work(ctx: Context, name: str) -> None:
    _run(name, ctx.attempt)


@task(kept, key="name")
def work_kept(ctx: Context, name: str) -> None:
    _run(name, ctx.attempt)


@task(wide, key="name")
def work_wide(ctx: Context, name: str) -> None:
    _run(name, ctx.attempt)


@task(in_order, key="name")
def work_in_order(ctx: Context, name: str) -> None:
    _run(name, ctx.attempt)


@task(jobs, key="name", delivery="at_most_once")
def launch(ctx: Context, name: str) -> None:
    _run(name, ctx.attempt)


@task(jobs, key="name", delivery="at_least_once")
def tell(ctx: Context, name: str) -> None:
    _run(name, ctx.attempt)


class Shared:
    """What all runs return, and change. It is read as a pydantic model is."""

    def __init__(self) -> None:
        self.count = 0
        self.threads: set[int] = set()

    def model_dump(self, **_: object) -> int:
        self.threads.add(threading.get_ident())
        return self.count


shared = Shared()


@task(jobs, key="name")
def count_up(name: str) -> Shared:
    shared.threads.add(threading.get_ident())
    shared.count += 1
    return shared


class Number(BaseModel):
    """Its validator may take long."""

    value: Annotated[str, AfterValidator(lambda value: (during.pop("reading", lambda: None)(), value)[1])]


@task(jobs, timeout=jobs.timeout)
def work_whole_time(number: Number) -> None:
    _run(number.value, 1)


class Watch:
    """Sees the claims and records of the sandbox's worker, and may hold records back."""

    def __init__(self, *, holds_records: bool = False) -> None:
        self.claimed: list[str] = []
        self.recorded: list[str] = []
        self._changed = threading.Condition()
        self.let_go = threading.Event()
        if not holds_records:
            self.let_go.set()

    def __call__(self, call: Call) -> Any:
        key = str(call.arguments.get("Item", call.arguments.get("Key", {})).get("id", {}).get("S", ""))
        is_record = call.operation == "UpdateItem" and ":data" in call.arguments.get("ExpressionAttributeValues", {})
        if is_record:
            with self._changed:
                self.recorded.append(key)
                self._changed.notify_all()
            self.let_go.wait(PATIENCE)
        made = call.make()
        if call.operation in {"PutItem", "UpdateItem"} and not is_record:
            with self._changed:
                self.claimed.append(key)
                self._changed.notify_all()
        return made

    @contextmanager
    def while_held(self, *, records: int, waits_for: threading.Event) -> Iterator[None]:
        """Hold so many records back, see that meanwhile the event doesn't come, and let them go."""

        def look() -> None:
            try:
                self.until(records=records)
                assert not waits_for.wait(MOMENT)
            finally:
                self.let_go.set()

        with ThreadPoolExecutor(1) as pool:
            looks = pool.submit(look)
            yield
            looks.result(PATIENCE)

    def until(self, claims: int = 0, records: int = 0) -> None:
        """Wait until so many claims and records were made."""
        with self._changed:
            assert self._changed.wait_for(
                lambda: len(self.claimed) >= claims and len(self.recorded) >= records, PATIENCE
            ), (self.claimed, self.recorded)


def test_the_next_tasks_are_claimed_while_one_runs(sandbox: Sandbox) -> None:
    watch = Watch()
    during["a"] = lambda: watch.until(claims=4)
    work.enqueue_many({"name": name} for name in "abcd")
    with sandbox.fault(watch):
        sandbox.run_once()
    assert runs == list("abcd")
    assert max(at_once) == 1
    assert attempts == [1] * 4


def test_as_many_run_at_once_as_the_queue_says(sandbox: Sandbox) -> None:
    both = threading.Barrier(2, timeout=PATIENCE)
    during["a"] = during["b"] = both.wait
    work_wide.enqueue_many({"name": name} for name in "abcdef")
    sandbox.run_once()
    assert sorted(runs) == list("abcdef")
    assert max(at_once) == 2


def test_an_at_most_once_task_is_not_claimed_before_its_turn(sandbox: Sandbox) -> None:
    watch = Watch()
    claimed: list[str] = []

    def look() -> None:
        watch.until(claims=2)
        claimed.extend(watch.claimed)

    during["a"] = look
    work.enqueue(name="a")
    launch.enqueue(name="b")
    work.enqueue(name="c")
    with sandbox.fault(watch):
        sandbox.run_once()
    assert not [key for key in claimed if key.startswith("launch")]
    assert runs == list("abc")


def test_what_was_claimed_ahead_and_expires_before_its_turn_does_not_start(sandbox: Sandbox) -> None:
    watch = Watch()

    def outlast() -> None:
        watch.until(claims=3)
        sandbox.advance(timedelta(seconds=10))

    during["a"] = outlast
    work.enqueue(name="a")
    brief = work.options(expires=timedelta(seconds=5)).enqueue(name="b")
    work.options(expires=timedelta(minutes=5)).enqueue(name="c")
    with sandbox.fault(watch):
        sandbox.run_once()
    assert runs == list("ac")
    assert brief.status().state == "cancelled"
    work.enqueue(name="b")  # its key is free
    sandbox.drain()
    assert runs == list("acb")
    assert sandbox.dead_letters(jobs) == []


def test_a_task_that_a_worker_had_begun_starts_again_whenever_its_turn_comes(sandbox: Sandbox) -> None:
    during["a"] = die
    work.options(expires=timedelta(seconds=5)).enqueue(name="a")
    sandbox.drain()
    assert runs == ["a", "a"]


def test_a_fifo_group_is_claimed_one_by_one(sandbox: Sandbox) -> None:
    watch = Watch()
    claims: list[int] = []
    during["a"] = lambda: claims.append(len(watch.claimed))
    during["b"] = lambda: claims.append(len(watch.claimed))
    work_in_order.options(group="g").enqueue_many({"name": name} for name in "ab")
    with sandbox.fault(watch):
        sandbox.run_once()
    assert claims == [1, 2]


def test_what_was_received_before_is_not_even_read_ahead(sandbox: Sandbox) -> None:
    """It may kill the worker, and with it the task that runs."""
    watch = Watch()
    during["a"] = _die
    tell.enqueue_many({"name": name} for name in "ab")
    sandbox.run_once()  # neither has a record
    sandbox.advance(jobs.visibility)
    looked: list[int] = []
    during["a"] = lambda: looked.append(len(watch.claimed))
    with sandbox.fault(watch):
        sandbox.drain()
    # The note of a's visit, its end, and a's claim: nothing of b.
    assert looked == [3]
    assert sorted(runs) == list("aab")


def _die() -> None:
    raise WorkerDied


def test_tasks_that_were_claimed_and_not_started_when_the_worker_died_run_once(sandbox: Sandbox) -> None:
    watch = Watch()

    def die() -> None:
        watch.until(claims=4)
        raise WorkerDied

    during["a"] = die
    handles = work.enqueue_many({"name": name} for name in "abcd")
    with sandbox.fault(watch):
        sandbox.drain()
    assert sorted(runs) == list("aabcd")
    assert set(attempts) == {1}
    assert {handle.status().state for handle in handles} == {"succeeded"}


def test_a_task_whose_turn_comes_too_late_is_given_back_uncharged(sandbox: Sandbox) -> None:
    watch = Watch()

    def take_long() -> None:
        watch.until(claims=3)
        sandbox.advance(jobs.timeout * 0.8)

    during["a"] = take_long
    handles = work.enqueue_many({"name": name} for name in "abc")
    with sandbox.fault(watch):
        sandbox.run_once()
    assert runs == ["a"]
    assert {handle.status().state for handle in handles[1:]} == {"queued"}
    sandbox.drain()
    assert sorted(runs) == list("abc")
    assert set(attempts) == {1}
    assert not sandbox.dead_letters(jobs)


def test_a_success_is_recorded_while_the_next_task_runs(sandbox: Sandbox) -> None:
    watch = Watch(holds_records=True)
    during["b"] = watch.let_go.set  # else a's record would wait, and with it the worker
    handles = work.enqueue_many({"name": name} for name in "ab")
    with sandbox.fault(watch):
        sandbox.run_once()
    assert runs == list("ab")
    assert {handle.status().state for handle in handles} == {"succeeded"}


def test_no_more_than_three_successes_wait_for_their_record(sandbox: Sandbox) -> None:
    watch = Watch(holds_records=True)
    fifth = threading.Event()
    during["e"] = fifth.set
    work.enqueue_many({"name": name} for name in "abcdef")

    with sandbox.fault(watch), watch.while_held(records=4, waits_for=fifth):
        sandbox.run_once()
    assert runs == list("abcdef")


def test_a_queue_can_record_each_success_before_the_next_task_starts(sandbox: Sandbox) -> None:
    watch = Watch(holds_records=True)
    second = threading.Event()
    during["b"] = second.set
    work_kept.enqueue_many({"name": name} for name in "ab")

    with sandbox.fault(watch), watch.while_held(records=1, waits_for=second):
        sandbox.run_once()
    assert runs == list("ab")


def test_a_failure_is_settled_before_the_next_task_starts(sandbox: Sandbox) -> None:
    sent: list[list[str]] = []

    def note_sends(call: Call) -> Any:
        if call.operation == "SendMessage":
            sent.append(list(runs))
        return call.make()

    def fail() -> None:
        raise ConnectionError

    during["a"] = fail
    work.enqueue_many({"name": name} for name in "ab")
    with sandbox.fault(note_sends):
        sandbox.run_once()
    assert sent == [["a"]]
    sandbox.drain()
    assert runs == ["a", "b", "a"]


def test_tasks_run_in_one_thread_whoever_claims_them(sandbox: Sandbox) -> None:
    """A connection that belongs to a thread is opened once."""
    threads: set[int] = set()
    watch = Watch()

    def note() -> None:
        watch.until(claims=3)
        threads.add(threading.get_ident())

    during.update(dict.fromkeys("abcdef", note))
    work.enqueue_many({"name": name} for name in "abcdef")
    with sandbox.fault(watch):
        sandbox.run_once()
    assert runs == list("abcdef")
    assert len(threads) == 1


def test_a_message_twice_in_its_batch_holds_up_nobody(sandbox: Sandbox, caplog: pytest.LogCaptureFixture) -> None:
    """SQS may deliver a message of a standard queue again while its first delivery waits in the same batch."""
    first = [_delivered(name, sandbox) for name in "abcd"]
    again = {**first[-1], "attributes": first[-1]["attributes"] | {"ApproximateReceiveCount": "2"}}
    worker = Invocation("celeriac-test--ahead", "r-1", sandbox.now + jobs.timeout)
    with sandbox.worker():
        answer = handler({"Records": [*first, again]}, worker)
    assert runs == list("abcd")
    assert answer == {"batchItemFailures": []}
    assert "out of time" not in caplog.text


def _delivered(name: str, sandbox: Sandbox) -> dict[str, Any]:
    """A message of `work`, as Lambda delivers it."""
    return {
        "messageId": f"m-{name}",
        "receiptHandle": f"h-{name}",
        "body": json.dumps({"task": "work", "args": {"name": name}}),
        "attributes": {"ApproximateReceiveCount": "1", "SentTimestamp": f"{sandbox.now.timestamp() * 1000:.0f}"},
        "messageAttributes": {},
        "eventSource": "aws:sqs",
        "eventSourceARN": "arn:aws:sqs:eu-west-1:123456789012:celeriac-test--ahead",
    }


def test_a_result_is_read_before_the_next_task_may_change_it(sandbox: Sandbox) -> None:
    shared.count, shared.threads = 0, set()
    handles = count_up.enqueue_many({"name": name} for name in "abcdef")
    sandbox.run_once()
    assert [handle.status().result for handle in handles] == [1, 2, 3, 4, 5, 6]
    assert len(shared.threads) == 1


def test_a_duplicate_in_its_batch_waits_for_the_first_and_is_dropped(sandbox: Sandbox) -> None:
    watch = Watch()
    during["a"] = lambda: watch.until(claims=2)  # a and b, while the duplicate waits
    work.enqueue_many({"name": name} for name in "aab")
    operations: list[str] = []

    def note(call: Call) -> Any:
        operations.append(call.operation)
        return call.make()

    with sandbox.fault(watch), sandbox.fault(note):
        sandbox.run_once()
    assert runs == list("ab")
    assert sorted(operations) == ["PutItem"] * 3 + ["UpdateItem"] * 2  # none of them is handed back


def test_the_first_task_with_its_turn_starts_though_its_arguments_were_read_while_the_next_was_claimed(
    sandbox: Sandbox,
) -> None:
    """It needs the whole time, which no other invocation would have."""
    watch = Watch()

    def read_slowly() -> None:
        watch.until(claims=1)
        sandbox.advance(timedelta(seconds=2))

    work_whole_time.enqueue(number=Number(value="a"))
    work.enqueue(name="b")
    during["reading"] = read_slowly
    with sandbox.fault(watch):
        sandbox.run_once()
    assert runs[0] == "a"
