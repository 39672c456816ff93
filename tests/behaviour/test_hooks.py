"""Hooks: what they are told, in which order, what reaches the task, and where headers go."""

import asyncio
import logging
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import pytest

import celeriac
from celeriac import Backoff, Context, Hooks, Queue, Reject, Retry, task
from celeriac.consume import hooked
from celeriac.declare import registry
from celeriac.enqueue.send import send
from celeriac.hooks import broken, registered
from celeriac.hooks.events import AfterOutcome, AroundTask, BeforeEnqueue, OnDeadLetter
from celeriac.model import declared, settings
from celeriac.model import headers as rules
from celeriac.model.message import decode, encode
from celeriac.testing import Sandbox, die
from tests.support.redrive import redrive_as_aws_does

jobs = Queue("hooks", batch_size=10)
one_by_one = Queue("hooks-one", concurrency=1, batch_size=10)
ledger = Queue("hooks-ledger", fifo=True, batch_size=10)
SOON = Backoff(base=timedelta(minutes=1), jitter=0, attempts=3)
tenant: ContextVar[str] = ContextVar("tenant", default="nobody")
seen: list[Any] = []


class Tenant(Hooks):
    """The hook of docs/howto/hooks.md, in short."""

    def before_enqueue(self, event: BeforeEnqueue) -> None:
        event.headers["tenant"] = tenant.get()

    @contextmanager
    def around_task(self, event: AroundTask) -> Iterator[None]:
        before = tenant.set(event.headers.get("tenant", "none in the message"))
        yield
        tenant.reset(before)


class Diary(Hooks):
    """Writes down what it is told."""

    def __init__(self, name: str = "") -> None:
        self.name = name
        self.told: list[Any] = []

    def before_enqueue(self, event: BeforeEnqueue) -> None:
        seen.append(f"{self.name} before")
        self.told.append(event)

    @contextmanager
    def around_task(self, event: AroundTask) -> Iterator[None]:
        seen.append(f"{self.name} in")
        self.told.append(event)
        try:
            yield
        except BaseException as error:
            seen.append(f"{self.name} out, {type(error).__name__}")
            raise
        seen.append(f"{self.name} out")

    def after_outcome(self, event: AfterOutcome) -> None:
        seen.append(f"{self.name} after")
        self.told.append(event)

    def on_dead_letter(self, event: OnDeadLetter) -> None:
        seen.append(f"{self.name} dead")
        self.told.append(event)

    def all(self, kind: type) -> list[Any]:
        return [event for event in self.told if isinstance(event, kind)]


@task(jobs, retry=SOON)
def work(ctx: Context, name: str = "", failures: int = 0, note: str = "") -> str:
    seen.append(f"{name} runs for {tenant.get()}")
    if ctx.attempt <= failures:
        raise ConnectionError(name)
    return name


@task(jobs, retry=SOON)
async def work_later(ctx: Context, name: str, failures: int = 0) -> None:
    await asyncio.sleep(0)
    seen.append(f"{name} runs for {tenant.get()}")
    if ctx.attempt <= failures:
        raise ConnectionError(name)


@task(ledger, retry=SOON)
def book(ctx: Context, name: str, failures: int = 0) -> None:
    seen.append(f"{name} runs for {tenant.get()}")
    if ctx.attempt <= failures:
        raise ConnectionError(name)


@task(jobs, on="hooks.happened")
def follow(name: str) -> None:
    seen.append(f"{name} runs for {tenant.get()}")


@pytest.fixture(autouse=True)
def _empty() -> Iterator[None]:
    seen.clear()
    token = tenant.set("acme")
    yield
    tenant.reset(token)


def sandbox_with(*hooks: Hooks) -> Sandbox:
    return Sandbox(hooks=hooks)


def test_the_first_hook_is_the_outermost_and_the_last_to_hear_of_the_outcome() -> None:
    with sandbox_with(Diary("a"), Diary("b")) as sandbox:
        work.enqueue(name="w")
        sandbox.drain()
    assert seen == [
        *("a before", "b before"),
        *("a in", "b in", "w runs for nobody", "b out", "a out"),
        *("b after", "a after"),
    ]


def test_hooks_hear_of_a_dead_letter_after_its_outcome() -> None:
    diary = Diary()
    with sandbox_with(diary, Tenant()) as sandbox:
        handle = work.options(key="k").enqueue(name="w", failures=3)
        sandbox.drain()
    assert [
        (e.outcome, e.attempt, e.delay, type(e.error), e.error_type, e.has_run) for e in diary.all(AfterOutcome)
    ] == [
        ("retried", 1, timedelta(minutes=1), ConnectionError, "ConnectionError", True),
        ("retried", 2, timedelta(minutes=2), ConnectionError, "ConnectionError", True),
        ("dead", 3, None, ConnectionError, "ConnectionError", True),
    ]
    (letter,) = diary.all(OnDeadLetter)
    assert (letter.id, letter.task, letter.queue, letter.key) == (handle.id, "work", "hooks", "work:k")
    assert (letter.reason, letter.attempts, letter.headers) == ("exhausted", 3, {"tenant": "acme"})
    assert seen[-2:] == [" after", " dead"]


def test_events_have_the_arguments_and_the_headers() -> None:
    diary = Diary()
    with sandbox_with(Tenant(), diary) as sandbox:
        handle = work.options(key="k", delay=timedelta(minutes=2)).enqueue("w", failures=1)
        sandbox.drain()
    (before,) = diary.all(BeforeEnqueue)
    assert (before.task, before.queue, before.id, before.key) == ("work", "hooks", handle.id, "work:k")
    assert (before.arguments, before.delay) == ({"name": "w", "failures": 1}, timedelta(minutes=2))
    first, second = diary.all(AroundTask)
    assert (first.task, first.queue, first.id, first.key, first.attempt) == ("work", "hooks", handle.id, "work:k", 1)
    assert (first.arguments, first.headers) == ({"name": "w", "failures": 1}, {"tenant": "acme"})
    assert second.attempt == 2


def test_a_hook_can_change_neither_the_arguments_nor_the_key() -> None:
    class Meddler(Hooks):
        def before_enqueue(self, event: BeforeEnqueue) -> None:
            event.arguments["name"] = "other"  # type: ignore[index]  # it is to fail

    with sandbox_with(Meddler()) as sandbox:
        handle = work.enqueue(name="w")
        sandbox.drain()
        assert handle.result() == "w"


def test_a_duplicate_is_told_of_and_not_run_around() -> None:
    diary = Diary()
    with sandbox_with(diary) as sandbox:
        work.options(key="k").enqueue(name="a")
        sandbox.drain()
        work.options(key="k").enqueue(name="a")
        sandbox.drain()
    assert len(diary.all(AroundTask)) == 1
    assert [event.outcome for event in diary.all(AfterOutcome)] == ["succeeded", "duplicate"]


def test_what_never_ran_is_told_of_too() -> None:
    diary = Diary()
    with sandbox_with(diary) as sandbox:
        sandbox.send(jobs, "no message")
        sandbox.send(jobs, {"task": "work", "args": {"name": 7}})
        sandbox.drain()
    letters = diary.all(OnDeadLetter)
    assert [(letter.reason, letter.task, letter.error) for letter in letters] == [
        ("malformed", "", None),
        ("malformed", "work", None),
    ]
    assert [event.has_run for event in diary.all(AfterOutcome)] == [False, False]


def test_a_retry_that_the_task_asks_for_and_a_reject_are_told_of() -> None:
    diary = Diary()

    @task(jobs)
    def wait(ctx: Context) -> None:
        if ctx.attempt == 1:
            raise Retry("later", delay=timedelta(0))
        raise Reject("never")

    with sandbox_with(diary) as sandbox:
        wait.enqueue()
        sandbox.drain()
    told = diary.all(AfterOutcome)
    assert [(event.outcome, event.reason, event.delay) for event in told] == [
        ("retried", "", timedelta()),
        ("dead", "rejected", None),
    ]


@pytest.mark.parametrize("failures", [0, 2])
@pytest.mark.parametrize("wait", [timedelta(), timedelta(minutes=5), timedelta(days=2)])
def test_headers_reach_every_attempt_of_a_sync_and_an_async_task(wait: timedelta, failures: int) -> None:
    with sandbox_with(Tenant()) as sandbox:
        work.options(delay=wait).enqueue(name="a", failures=failures)
        work_later.options(delay=wait).enqueue(name="b", failures=failures)
        sandbox.drain()
    assert sorted(seen) == ["a runs for acme"] * (failures + 1) + ["b runs for acme"] * (failures + 1)
    assert tenant.get() == "acme"


def test_headers_reach_tasks_of_all_ways_to_enqueue() -> None:
    with sandbox_with(Tenant()) as sandbox:
        work.enqueue_many([{"name": "a"}, {"name": "b"}])
        asyncio.run(work.aenqueue(name="c"))
        book.options(group="g").enqueue(name="d", failures=2)
        with celeriac.transaction() as tx:
            tx.enqueue(work, name="e")
            tx.enqueue(work.options(delay=timedelta(days=1)), name="f")
            tx.emit("hooks.happened", {"name": "g"})
        sandbox.drain()
    assert sorted(seen) == sorted([f"{name} runs for acme" for name in "abcefg"] + ["d runs for acme"] * 3)


def test_a_task_that_a_task_enqueues_gets_the_headers_by_the_context() -> None:
    @task(one_by_one)
    def start(ctx: Context) -> None:
        work.enqueue(name="a")
        with ctx.transaction() as tx:
            tx.enqueue(work, name="b")
            tx.emit("hooks.happened", {"name": "c"})

    with sandbox_with(Tenant()) as sandbox:
        start.enqueue()
        tenant.set("another")
        sandbox.drain()
    assert sorted(seen) == ["a runs for acme", "b runs for acme", "c runs for acme"]


def test_headers_stay_with_a_message_whose_arguments_are_stored() -> None:
    with sandbox_with(Tenant()) as sandbox:
        work.enqueue(name="a", note="x" * 300_000, failures=1)
        sandbox.drain()
    assert seen == ["a runs for acme"] * 2


def test_headers_and_what_an_attempt_carries_survive_a_redrive() -> None:
    class Carrier(Hooks):
        @contextmanager
        def around_task(self, event: AroundTask) -> Iterator[None]:
            seen.append((event.attempt, event.headers.get("last")))
            event.carry("last", f"attempt {event.attempt}")
            yield

    @task(jobs, retry=Backoff(base=timedelta(minutes=1), jitter=0, attempts=2))
    def fail() -> None:
        seen.append(tenant.get())
        raise ConnectionError

    with sandbox_with(Tenant(), Carrier()) as sandbox:
        fail.enqueue()
        sandbox.drain()
        (letter,) = sandbox.dead_letters(jobs)
        assert decode(letter.body).headers == {"last": "attempt 2", "tenant": "acme"}
        redrive_as_aws_does(jobs)
        sandbox.run_once()
    assert seen == [(1, None), "acme", (2, "attempt 1"), "acme", (1, "attempt 2"), "acme"]


def test_a_message_without_headers_and_one_by_hand_with_some_both_run() -> None:
    with sandbox_with(Tenant()) as sandbox:
        sandbox.send(jobs, {"task": "work", "args": {"name": "a"}})
        sandbox.send(jobs, {"task": "work", "args": {"name": "b"}, "headers": {"tenant": "by hand"}})
        sandbox.drain()
    assert sorted(seen) == ["a runs for none in the message", "b runs for by hand"]


@pytest.mark.parametrize("headers", [7, "text", [], None, {"tenant": 7}, {"": "x"}, {"tenant": None, "a b": "c"}])
def test_headers_of_another_form_are_ignored_as_before(headers: object) -> None:
    with sandbox_with(Tenant()) as sandbox:
        sandbox.send(jobs, {"task": "work", "args": {"name": "a"}, "headers": headers})
        sandbox.drain()
        assert sandbox.dead_letters(jobs) == []
    assert seen == ["a runs for none in the message"]


def test_a_parameter_named_headers_beside_the_arguments_is_still_noticed() -> None:
    @task(jobs)
    def call(url: str, headers: dict[str, str] | None = None) -> None: ...

    with sandbox_with() as sandbox:
        sandbox.send(jobs, {"task": "call", "args": {"url": "u"}, "headers": {"accept": "json"}})
        sandbox.drain()
        (letter,) = sandbox.dead_letters(jobs)
    assert letter.failure is not None
    assert "headers stand beside `args`" in letter.failure.message


def test_the_trace_in_another_producers_attributes_stays_with_the_message() -> None:
    diary = Diary()
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    with sandbox_with(diary) as sandbox:
        body = {"task": "work", "args": {"name": "a", "failures": 1}}
        sandbox.send(jobs, body, attributes={"traceparent": trace, "colour": "red"})
        sandbox.drain()
    assert [event.headers for event in diary.all(AroundTask)] == [{"traceparent": trace}] * 2


def test_a_release_that_does_not_know_headers_takes_the_message() -> None:
    """A consumer of 0.1.0 ignores the field. Its retry has none, and the new release runs that too."""
    with sandbox_with(Tenant()) as sandbox:
        parcel = work.parcel(name="a")
        new = encode(parcel.message)
        assert msgspec.json.decode(new)["headers"] == {"tenant": "acme"}
        assert msgspec.json.decode(new)["v"] == 1
        send(msgspec.structs.replace(parcel, message=msgspec.structs.replace(parcel.message, headers=None)))
        sandbox.drain()
    assert seen == ["a runs for none in the message"]


@pytest.mark.parametrize(
    "headers",
    [{"tenant": 7}, {"a b": "x"}, {"": "x"}, {"x": "\ud800"}, {"x": "\0"}, {"x": "y" * 9000}, {7: "x"}],
)
def test_headers_that_cannot_be_sent_are_left_out_with_those_of_their_hook(
    headers: dict[Any, Any], caplog: pytest.LogCaptureFixture
) -> None:
    class Wrong(Hooks):
        def before_enqueue(self, event: BeforeEnqueue) -> None:
            event.headers.update(headers)

    with sandbox_with(Tenant(), Wrong()) as sandbox:
        work.enqueue(name="a")
        sandbox.drain()
    assert seen == ["a runs for acme"]
    (line,) = [record for record in caplog.records if record.name == "celeriac.hooks"]
    assert "yyy" not in str(vars(line))


def test_a_failure_is_logged_once_for_each_kind_without_its_text(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Hooks):
        def before_enqueue(self, event: BeforeEnqueue) -> None:
            raise ValueError(f"card-4111 {event.arguments}")

        def after_outcome(self, event: AfterOutcome) -> None:
            raise SystemExit("card-4111")

    broken.take_count()
    with sandbox_with(Broken()) as sandbox:
        work.enqueue_many([{"name": "card-4111"}] * 3)
        sandbox.drain()
    lines = [record for record in caplog.records if record.name == "celeriac.hooks"]
    assert [(vars(line)["method"], vars(line)["error"]) for line in lines] == [
        ("before_enqueue", "ValueError"),
        ("after_outcome", "SystemExit"),
    ]
    assert "card-4111" not in str([vars(line) for line in lines])


def test_failures_are_counted_in_a_metric(capsys: pytest.CaptureFixture[str]) -> None:
    class Broken(Hooks):
        def after_outcome(self, event: AfterOutcome) -> None:
            raise RuntimeError

    broken.take_count()
    with sandbox_with(Broken()) as sandbox:
        work.enqueue_many([{"name": "a"}, {"name": "b"}])
        sandbox.drain()
    assert '"FailedHooks":[2.0]' in capsys.readouterr().out


def test_ctrl_c_in_a_producer_is_no_failure_of_a_hook() -> None:
    class Interrupted(Hooks):
        def before_enqueue(self, event: BeforeEnqueue) -> None:
            raise KeyboardInterrupt

    with sandbox_with(Interrupted()) as sandbox:
        with pytest.raises(KeyboardInterrupt):
            work.enqueue(name="a")
        assert ("sqs", "SendMessage") not in sandbox.calls


class Hanging(Hooks):
    """Hangs in one of its methods, until it is released."""

    def __init__(self, where: str) -> None:
        self.where, self.released, self.left = where, threading.Event(), threading.Event()

    def hang(self, where: str) -> None:
        if where == self.where:
            assert self.released.wait(20)

    @contextmanager
    def around_task(self, event: AroundTask) -> Iterator[None]:
        self.hang("before")
        try:
            yield
        finally:
            self.hang("behind")
            self.left.set()

    def after_outcome(self, event: AfterOutcome) -> None:
        self.hang("after")

    def on_dead_letter(self, event: OnDeadLetter) -> None:
        self.hang("dead")


@pytest.mark.parametrize("enqueued", [work, work_later, book], ids=lambda one: one.name)
@pytest.mark.parametrize("where", ["before", "behind", "after", "dead"])
def test_a_hook_that_hangs_is_left_behind_and_its_message_goes_on(
    where: str, enqueued: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hooked, "LONGEST", timedelta(milliseconds=50))
    hanging = Hanging(where)
    with sandbox_with(Tenant(), hanging) as sandbox:
        try:
            group = "g" if enqueued is book else None
            good = enqueued.options(group=group).enqueue(name="a")
            bad = enqueued.options(group=group).enqueue(name="b", failures=3)
            sandbox.drain()
            assert good.status().state == "succeeded"
            assert bad.status().state == "dead"
            assert good.status().attempts == 1
            assert bad.status().attempts == 3
        finally:
            hanging.released.set()
        if where != "dead":
            assert hanging.left.wait(20)
    named = [one for one in seen if one.startswith("a runs")]
    assert named == (["a runs for nobody"] if where == "before" else ["a runs for acme"])


def test_a_task_that_overruns_leaves_its_hooks_when_its_call_has_ended() -> None:
    released, hanging = threading.Event(), Hanging("nowhere")
    diary = Diary()

    @task(jobs, timeout=timedelta(milliseconds=50), retry=Backoff(attempts=1))
    def slow() -> None:
        assert released.wait(20)

    with sandbox_with(hanging, diary) as sandbox:
        try:
            slow.enqueue()
            sandbox.drain()
            assert [event.error_type for event in diary.all(AfterOutcome)] == ["celeriac.TaskTimeoutError"]
            assert not hanging.left.is_set()
        finally:
            released.set()
        assert hanging.left.wait(20)


def test_an_async_task_that_overruns_leaves_its_hooks_at_once() -> None:
    diary = Diary()

    @task(jobs, timeout=timedelta(milliseconds=50), retry=Backoff(attempts=1))
    async def slow() -> None:
        await asyncio.Event().wait()

    with sandbox_with(diary) as sandbox:
        slow.enqueue()
        sandbox.drain()
    assert seen[1:] == [" in", " out, TaskTimeoutError", " after", " dead"]


def test_an_async_after_hook_is_awaited() -> None:
    class Later(Hooks):
        async def after_outcome(self, event: AfterOutcome) -> None:  # type: ignore[override]  # allowed, not advertised
            await asyncio.sleep(0)
            seen.append(event.outcome)

    with sandbox_with(Later()) as sandbox:
        work.enqueue(name="a")
        sandbox.drain()
    assert seen[-1] == "succeeded"


def test_a_message_that_cannot_be_settled_is_handed_back_once() -> None:
    diary = Diary()

    def no_table(call: Any) -> Any:
        if call.service == "dynamodb":
            raise ConnectionError
        return call.make()

    with sandbox_with(diary) as sandbox:
        work.enqueue(name="a")
        with sandbox.fault(no_table):
            sandbox.run_once()
        assert [event.outcome for event in diary.all(AfterOutcome)] == ["handed_back"]
        sandbox.drain()
    assert [event.outcome for event in diary.all(AfterOutcome)] == ["handed_back", "succeeded"]


def applied(monkeypatch: pytest.MonkeyPatch, name: str, **variables: object) -> None:
    """Make an application's package, whose `hooks.py` has these variables."""
    for module, content in ((name, {"__path__": []}), (f"{name}.hooks", variables), (f"{name}.queues", {})):
        made = ModuleType(module)
        vars(made).update(content)
        monkeypatch.setitem(sys.modules, module, made)
    monkeypatch.setattr(registered, "_by_application", {})


def test_the_hooks_are_those_that_the_applications_module_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    applied(monkeypatch, "shop", hooks=[Tenant(), Diary("d")])
    monkeypatch.setattr(declared, "package", lambda: "shop")
    with stage_of_the_package() as sandbox:
        work.enqueue(name="a")
        sandbox.drain()
    assert seen == ["d before", "d in", "a runs for acme", "d out", "d after"]


@contextmanager
def stage_of_the_package() -> Iterator[Sandbox]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "load", lambda *_: None)  # the package has no files to walk through
        with Sandbox() as sandbox:
            yield sandbox


def test_a_producer_of_two_applications_uses_the_hooks_of_each(monkeypatch: pytest.MonkeyPatch) -> None:
    applied(monkeypatch, "shop", hooks=[Diary("shop")])
    shops = registered.of_application("shop.payments")
    assert [hook.name for hook in shops.before_enqueue if isinstance(hook, Diary)] == ["shop"]
    assert registered.of_application("elsewhere.payments") == registered.NONE
    assert registered.of_application() == registered.NONE


class NoHook:
    pass


@pytest.mark.parametrize(
    ("listed", "said"),
    [
        (7, "`hooks` is a int: write a list"),
        (Tenant(), "`hooks` is a Tenant: write a list"),
        ([Tenant], r"lists the class Tenant: write Tenant\(\)"),
        ([NoHook()], "lists a NoHook: a hook extends celeriac.Hooks"),
    ],
)
def test_a_wrong_list_is_refused_by_synth_and_ignored_by_workers(
    monkeypatch: pytest.MonkeyPatch, listed: Sequence[Any], said: str
) -> None:
    applied(monkeypatch, "shop", hooks=listed)
    monkeypatch.setattr(declared, "package", lambda: "shop")
    with pytest.raises(registered.HooksError, match=said):
        registered.check()
    assert registered.of_application() == registered.NONE


class Mortal(Hooks):
    """Kills its worker, as a hook does that needs too much memory for one message."""

    def __init__(self, method: str) -> None:
        self.method = method
        self.told: list[str] = []

    def after_outcome(self, event: AfterOutcome) -> None:
        if self.method == "after_outcome" and event.headers.get("poison"):
            self.told.append(event.outcome)
            die()

    def on_dead_letter(self, event: OnDeadLetter) -> None:
        if self.method == "on_dead_letter" and event.headers.get("poison"):
            self.told.append("dead")
            die()


@pytest.mark.parametrize("queue", [jobs, ledger])
@pytest.mark.parametrize(
    ("method", "failures", "delivery"),
    [
        ("after_outcome", 0, "effectively_once"),
        ("after_outcome", 2, "effectively_once"),
        ("after_outcome", 9, "effectively_once"),
        ("after_outcome", 0, "at_least_once"),
        ("on_dead_letter", 9, "effectively_once"),
    ],
)
def test_a_hook_that_kills_its_worker_harms_no_neighbour(
    method: str, failures: int, delivery: Any, queue: Queue
) -> None:
    """What SQS has delivered before is told of last, when all others are acknowledged."""
    ran: list[str] = []

    @task(queue, retry=SOON, delivery=delivery)
    def fragile(ctx: Context, name: str, failures: int = 0) -> None:
        ran.append(name)
        if ctx.attempt <= failures:
            raise ConnectionError(name)

    hook = Mortal(method)
    with sandbox_with(hook) as sandbox:
        poison = {"task": "fragile", "args": {"name": "poison", "failures": failures}, "headers": {"poison": "yes"}}
        sandbox.send(queue, {"v": 1, "id": "i-poison", **poison}, group="poison")
        for name in "abcdefghi":
            fragile.options(group=name).enqueue(name=name)
        sandbox.drain()
        letters = [letter.args.get("name") for letter in sandbox.dead_letters(queue)]
    assert hook.told
    assert sorted({*ran} - {"poison"}) == list("abcdefghi")
    assert set(letters) <= {"poison"}
    if delivery == "effectively_once":
        assert sorted(name for name in ran if name != "poison") == list("abcdefghi")


def test_what_a_hook_enqueues_is_not_told_to_the_same_hook_again() -> None:
    class Audit(Hooks):
        def before_enqueue(self, event: BeforeEnqueue) -> None:
            work.enqueue(name=f"audit of {event.task}")
            event.headers["audited"] = "yes"

    diary = Diary()
    with sandbox_with(Audit(), Tenant(), diary) as sandbox:
        work_later.enqueue("w-1")
        work_later.enqueue("w-2")
        sandbox.drain()
    runs = [line for line in seen if " runs " in line]
    audits = ["audit of work_later runs for acme"] * 2
    assert sorted(runs) == [*audits, "w-1 runs for acme", "w-2 runs for acme"]
    audited = {(event.task, event.headers.get("audited")) for event in diary.all(AroundTask)}
    assert audited == {("work_later", "yes"), ("work", None)}


def test_what_is_carried_pushes_no_header_of_the_sender_out() -> None:
    class Carrying(Hooks):
        def before_enqueue(self, event: BeforeEnqueue) -> None:
            event.headers["long"] = "x" * (rules.MOST_BYTES - 100)

        @contextmanager
        def around_task(self, event: AroundTask) -> Iterator[None]:
            event.carry("trace", "y" * 200)
            yield

    with sandbox_with(Carrying(), Tenant()) as sandbox:
        work.enqueue(name="w", failures=1)
        sandbox.drain()
    assert seen == ["w runs for acme"] * 2


def test_a_long_trace_beside_the_body_pushes_no_header_of_the_body_out() -> None:
    with sandbox_with(Tenant()) as sandbox:
        body = {"task": "work", "args": {"name": "w"}, "headers": {"tenant": "acme"}}
        sandbox.send(jobs, body, attributes={"baggage": "b" * (rules.MOST_BYTES - 10)})
        sandbox.drain()
    assert seen == ["w runs for acme"]


def test_a_logging_filter_that_raises_does_not_stop_a_message() -> None:
    class Strict(logging.Filter):
        def filter(self, record: logging.LogRecord) -> bool:
            raise RuntimeError("no request")

    class Failing(Hooks):
        def before_enqueue(self, event: BeforeEnqueue) -> None:
            raise ValueError

        def after_outcome(self, event: AfterOutcome) -> None:
            raise ValueError

    strict, logger = Strict(), logging.getLogger("celeriac.hooks")
    logger.addFilter(strict)
    try:
        with sandbox_with(Failing()) as sandbox:
            work.enqueue(name="w")
            sandbox.drain()
    finally:
        logger.removeFilter(strict)
    assert seen == ["w runs for nobody"]


def test_a_producer_whose_folder_is_gone_still_sends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A release is often a folder, which the next deploy deletes while its processes finish."""
    folder = tmp_path / "release"
    folder.mkdir()
    with Sandbox() as sandbox:
        application = settings.application()
        with monkeypatch.context() as patch:
            patch.setenv(settings.APPLICATION, application)
            patch.delenv(settings.TASKS, raising=False)
            patch.setattr(declared, "_package", None)
            patch.chdir(folder)
            folder.rmdir()
            work.enqueue(name="w")
        sandbox.drain()
    assert seen == ["w runs for nobody"]
