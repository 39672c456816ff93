"""Unexpected code of users: it fails like any other task, with its reason, or it is refused at import."""

import asyncio
import json
import logging
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pydantic
import pytest

from celeriac import Backoff, Context, InvalidArgumentsError, Queue, Reject, Retry, task
from celeriac.aws import sqs
from celeriac.aws.client import client
from celeriac.declare import registry
from celeriac.declare.signature import SignatureError
from celeriac.entry.consumer import handler
from celeriac.model.errors import DeclarationError, TaskError
from celeriac.testing import DeadLetter, Sandbox
from celeriac.testing.scope import of_this_test
from celeriac.worker.event import Invocation

if TYPE_CHECKING:
    from pathlib import Path

jobs = Queue("jobs")
runs: list[object] = []
type Send = Callable[[Queue, object], None]


@pytest.fixture(autouse=True)
def _clean() -> Iterator[None]:
    runs.clear()
    with registry.only(of_this_test):
        yield


def _only(sandbox: Sandbox, queue: Queue = jobs) -> DeadLetter:
    (letter,) = sandbox.dead_letters(queue)
    assert letter.failure is not None
    return letter


class Stop(BaseException):
    """An exception that is neither an Exception nor one of the interpreter's own."""


@pytest.mark.parametrize("ending", [Stop, asyncio.CancelledError, SystemExit, KeyboardInterrupt, GeneratorExit])
def test_every_exception_that_ends_a_task_is_its_failure(sandbox: Sandbox, ending: type[BaseException]) -> None:
    @task(jobs, retry=Backoff(attempts=1))
    def leaving() -> None:
        raise ending

    leaving.enqueue()
    sandbox.drain()
    failure = _only(sandbox).failure
    assert failure is not None
    assert failure.type.endswith(ending.__name__)


def test_an_awaitable_that_is_not_a_coroutine_is_awaited(sandbox: Sandbox) -> None:
    class Later:
        def __await__(self) -> Generator[Any]:
            runs.append("awaited")
            yield from ()

    @task(jobs)
    def later() -> Awaitable[None]:
        return Later()

    later.enqueue()
    sandbox.drain()
    assert runs == ["awaited"]


def test_a_generator_is_refused_because_it_would_never_run() -> None:
    with pytest.raises(TaskError, match="task 'numbers': a generator runs only when it is iterated"):

        @task(jobs)
        def numbers() -> Iterator[int]:
            yield 1

    with pytest.raises(TaskError, match="task 'events': a generator"):

        @task(jobs)
        async def events() -> AsyncIterator[int]:
            yield 1


@pytest.mark.parametrize("answer", [60, "soon"])
def test_a_policy_with_an_invalid_answer_is_replaced_by_the_default(sandbox: Sandbox, answer: Any) -> None:
    @task(jobs, retry=lambda error, attempt: answer)
    def failing() -> None:
        runs.append(1)
        raise ConnectionError

    failing.enqueue()
    sandbox.drain()
    assert len(runs) == 5


def test_a_policy_that_raises_is_replaced_by_the_default(sandbox: Sandbox) -> None:
    def broken(error: BaseException, attempt: int) -> timedelta:
        raise KeyError(attempt)

    @task(jobs, retry=broken)
    def failing() -> None:
        runs.append(1)
        raise ConnectionError

    failing.enqueue()
    sandbox.drain()
    assert len(runs) == 5


def test_a_custom_policy_also_ends_raised_retries(sandbox: Sandbox) -> None:
    @task(jobs, retry=lambda error, attempt: timedelta(minutes=1) if attempt < 4 else None)
    def asking(ctx: Context) -> None:
        runs.append(ctx.attempt)
        raise Retry(delay=timedelta(seconds=1))

    asking.enqueue()
    sandbox.drain()
    assert runs == [1, 2, 3, 4]


@dataclass
class Odd:
    text: str

    def __post_init__(self) -> None:
        if self.text == "odd":
            raise KeyError(self.text)


class Model(pydantic.BaseModel):
    number: int


@task(jobs)
def take_odd(value: Odd) -> None:
    runs.append(value)


@task(jobs, key="value", name="take_model")
def take_model(ctx: Context, value: Model) -> None:
    runs.append(ctx.key)


def test_any_exception_of_a_validator_refuses_the_arguments(sandbox: Sandbox, send: Send) -> None:
    with pytest.raises(InvalidArgumentsError, match="'odd'"):
        take_odd.enqueue({"text": "odd"})  # type: ignore[arg-type]  # as a hand-written message has it
    send(jobs, {"task": "take_odd", "args": {"value": {"text": "odd"}}})
    sandbox.drain()
    assert runs == []
    failure = _only(sandbox).failure
    assert failure is not None
    assert (failure.reason, failure.attempts) == ("malformed", 0)


def test_a_model_can_be_a_key(sandbox: Sandbox) -> None:
    take_model.enqueue(value=Model(number=3))
    take_model.enqueue(value=Model(number=3))
    sandbox.drain()
    assert runs == ["take_model:{'number': 3}"]


def test_an_annotation_missing_at_run_time_is_refused_when_the_tasks_are_loaded() -> None:
    @task(jobs)
    def lost(path: "Path") -> None: ...

    with pytest.raises(SignatureError, match="task 'lost': name 'Path' is not defined, at least not at run time"):
        registry.load()


def test_a_context_that_is_not_the_first_parameter_is_refused() -> None:
    def second(number: int, ctx: Context) -> None: ...
    def optional(ctx: Context | None, number: int) -> None: ...

    for function in (second, optional):
        with pytest.raises(DeclarationError, match="the context must be its first parameter"):
            task(jobs)(function)


@pytest.mark.parametrize(
    "body",
    [
        {"task": "t" * 201},
        {"task": "take_odd", "id": "i" * 129, "args": {"value": {"text": "fine"}}},
        {"task": "take_odd", "key": "k" * 1025, "args": {"value": {"text": "fine"}}},
    ],
    ids=["task", "id", "key"],
)
def test_a_message_with_a_too_long_name_id_or_key_is_malformed(sandbox: Sandbox, send: Send, body: object) -> None:
    send(jobs, body)
    sandbox.drain()
    assert runs == []
    failure = _only(sandbox).failure
    assert failure is not None
    assert failure.reason == "malformed"


def test_a_date_without_a_time_zone_is_utc(sandbox: Sandbox, send: Send) -> None:
    @task(jobs, retry=Backoff(attempts=2))
    def failing() -> None:
        runs.append(1)
        raise ConnectionError

    send(jobs, {"task": "failing", "enqueued_at": "2026-01-01T00:00:00"})
    sandbox.drain()
    assert len(runs) == 2
    failure = _only(sandbox).failure
    assert failure is not None
    assert failure.first_at == datetime.fromisoformat("2026-01-01T00:00:00Z")


@pytest.mark.parametrize("queue", [jobs, Queue("jobs-in-order", fifo=True)], ids=["standard", "fifo"])
def test_a_date_in_the_future_does_not_extend_a_messages_life(sandbox: Sandbox, queue: Queue) -> None:
    @task(queue, retry=Backoff(give_up_after=timedelta(hours=5)))
    def waiting() -> None:
        raise Retry(delay=timedelta(hours=1), charge=False)

    start = sandbox.now
    for name in ("waiting", "unknown"):
        body = json.dumps({"task": name, "enqueued_at": "9999-12-31T23:59:59Z"})
        fifo: Any = {"MessageGroupId": name, "MessageDeduplicationId": name} if queue.fifo else {}
        client("sqs").send_message(QueueUrl=sqs.url(queue.physical_name("test")), MessageBody=body, **fifo)
    while sandbox.now - start < 2 * queue.patience:
        if not sandbox.run_once():
            sandbox.advance(timedelta(minutes=30))
    reasons = {letter.failure.reason for letter in sandbox.dead_letters(queue) if letter.failure is not None}
    assert reasons == {"expired", "unknown task"}


def test_a_message_with_any_id_can_wait_in_a_schedule(sandbox: Sandbox, send: Send) -> None:
    @task(jobs)
    def patient(ctx: Context) -> None:
        runs.append(ctx.id)
        if ctx.attempt == 1:
            raise Retry(delay=timedelta(days=1))

    strange = "order/7 of Müller " + "x" * 60
    send(jobs, {"id": strange, "task": "patient"})
    sandbox.drain()
    assert runs == [strange, strange]


def test_characters_that_sqs_refuses_are_escaped_in_bodies_and_reasons(sandbox: Sandbox, send: Send) -> None:
    @task(jobs)
    def refuse(text: str) -> None:
        raise Reject(text)

    refuse.enqueue("\ufffe and \uffff")
    sandbox.drain()
    letter = _only(sandbox)
    assert letter.args == {"text": "\ufffe and \uffff"}
    assert "\ufffe" not in letter.body
    assert letter.failure is not None
    assert letter.failure.message == "? and ?"


def _event(sandbox: Sandbox, *names: str) -> dict[str, Any]:
    arn = "arn:aws:sqs:eu-west-1:123456789012:celeriac-test--jobs"
    return {
        "Records": [
            {"messageId": f"m-{i}", "receiptHandle": "r", "body": f'{{"task": "{name}"}}', "eventSourceARN": arn}
            for i, name in enumerate(names)
        ]
    }


def test_a_task_with_its_queues_whole_timeout_starts_only_as_the_first_of_a_batch(sandbox: Sandbox) -> None:
    @task(jobs, timeout=jobs.timeout, delivery="at_least_once")
    def whole() -> None:
        runs.append(1)

    # Some of the invocation's time has passed: there is enough for the first message, and too little for a later one.
    context = Invocation("f", "r", sandbox.now + jobs.timeout - timedelta(seconds=5))
    answer = handler(_event(sandbox, "whole", "whole"), context)
    assert runs == [1]
    assert answer == {"batchItemFailures": [{"itemIdentifier": "m-1"}]}


def test_no_part_of_a_payload_reaches_the_logs(
    sandbox: Sandbox, send: Send, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "celeriac")
    secret = "s3cr3t-of-the-payload"

    @task(jobs, key="text", retry=Backoff(attempts=2))
    def failing(text: str) -> None:
        raise ValueError(text)

    @task(jobs)
    def leaving(text: str) -> None:
        raise Stop(text)

    @task(jobs)
    async def forgetting(text: str) -> None:
        async def background() -> None:
            raise ValueError(text)

        _ = asyncio.get_running_loop().create_task(background())
        await asyncio.sleep(0)

    @task(jobs)
    def returning(text: str) -> object:
        return {text: object()}

    for each in (failing, leaving, forgetting, returning):
        each.enqueue(text=secret)
    send(jobs, {"task": "failing", "args": {"text": [secret]}})
    send(jobs, {"task": "failing", "args": {secret: 1}})
    send(jobs, f'not JSON: "{secret}')
    sandbox.drain()

    out, err = capfd.readouterr()
    everything = out + err + caplog.text + str([record.__dict__ for record in caplog.records])
    assert secret not in everything
    assert "task dead" in everything


@pytest.mark.parametrize("ending", [SystemExit, KeyboardInterrupt, Stop])
def test_an_async_task_that_exits_ends_no_other_task(sandbox: Sandbox, ending: type[BaseException]) -> None:
    @task(jobs, retry=Backoff(attempts=1))
    async def leaving() -> None:
        raise ending

    @task(jobs, timeout=timedelta(seconds=5), retry=Backoff(attempts=1))
    async def innocent() -> None:
        runs.append("innocent")

    leaving.enqueue()
    innocent.enqueue()
    sandbox.drain()
    assert runs == ["innocent"]
    assert _only(sandbox).task == "leaving"


def test_an_async_task_that_blocks_its_loop_ends_no_other_task(sandbox: Sandbox) -> None:
    released = threading.Event()

    @task(jobs, timeout=timedelta(milliseconds=50), retry=Backoff(attempts=1))
    async def blocking() -> None:
        released.wait(10)

    @task(jobs, timeout=timedelta(seconds=5), retry=Backoff(attempts=1))
    async def innocent() -> None:
        runs.append("innocent")

    try:
        blocking.enqueue()
        innocent.enqueue()
        sandbox.drain()
    finally:
        released.set()
    assert runs == ["innocent"]
    assert _only(sandbox).task == "blocking"


def test_the_size_of_a_result_is_measured_as_it_is_stored(sandbox: Sandbox) -> None:
    @task(jobs)
    def accents() -> str:
        return "é" * 99_000  # 198 KB in UTF-8, and three times as much as Powertools writes it

    handle = accents.enqueue()
    sandbox.drain()
    assert (handle.status().state, handle.status().result) == ("succeeded", None)


@pytest.mark.parametrize("group", ["", "a b", "Müller", "g" * 129])
def test_a_group_that_sqs_would_refuse_is_refused(group: str) -> None:
    @task(jobs)
    def work() -> None: ...

    with pytest.raises(ValueError, match="task 'work': SQS takes a group of 1-128"):
        work.options(group=group)


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("a#b", "can't have a '#'"),
        ("celeriac", "own items begin with that name"),
        ("a\x93b", "a character that can't be printed"),
    ],
    ids=["hash", "ours", "control"],
)
def test_a_name_that_policies_or_templates_cannot_hold_is_refused(name: str, complaint: str) -> None:
    with pytest.raises(TaskError, match=complaint):
        task(Queue("odd-names"), name=name)(lambda: None)


def test_a_task_made_by_exec_belongs_to_its_test_module(monkeypatch: pytest.MonkeyPatch) -> None:
    space: dict[str, Any] = {"__name__": __name__}
    exec("def made(): ...", space)  # noqa: S102 - as libraries make functions
    made = task(jobs, name="made_by_exec")(space["made"])

    assert of_this_test(made)
    monkeypatch.setenv("PYTEST_CURRENT_TEST", "tests/unit/test_another.py::test_it (call)")
    assert not of_this_test(made)
