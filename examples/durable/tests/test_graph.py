"""The graph in the local runner of durable functions, with its tasks in a sandbox: no AWS, no network, no waiting."""

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from io import BytesIO
from queue import SimpleQueue
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from aws_durable_execution_sdk_python.lambda_service import ErrorObject
from aws_durable_execution_sdk_python_testing.execution import ExecutionStatus
from aws_durable_execution_sdk_python_testing.runner import DurableFunctionTestResult, DurableFunctionTestRunner
from botocore.awsrequest import AWSResponse

from celeriac.testing import Call, Sandbox, die_after
from shop_tasks import callbacks, work
from shop_tasks.callbacks import succeed
from shop_tasks.graph import handler
from shop_tasks.queues import lookups
from shop_tasks.work import find_price


class Lambda:
    """Runs the durable function, and takes what is told to its callbacks."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.runner = DurableFunctionTestRunner(self._invoke)
        self.told: list[tuple[str, str]] = []
        """`succeed` or `fail`, and with what."""
        self._sandbox = sandbox
        self._ended: SimpleQueue[str] = SimpleQueue()
        self._to_go_on: list[Callable[[], None]] = []
        self._closed: set[str] = set()

    def run(self, article: str, *, failed_submits: int = 0) -> DurableFunctionTestResult:
        """Run an execution to its end. Its function runs in a thread, and the tasks between its invocations."""
        execution = self.runner.run_async(input=json.dumps({"article": article}))
        for _ in range(failed_submits):  # Lambda tries again by itself
            self._ended.get(timeout=60)
        while self._ended.get(timeout=60) == "PENDING":
            self._sandbox.drain()
            if work.asked:
                succeed(work.asked.pop()[1], result=True)  # as the page behind the link does
            self._to_go_on.pop(0)()
        return self.runner.wait_for_result(execution)

    def _invoke(self, event: Any, context: Any) -> Any:
        status = "FAILED"
        try:
            answer = handler(event, context)
            status = answer["Status"]
        finally:
            self._ended.put(status)
        return answer

    def answer(self, request: Any, **_: object) -> AWSResponse:
        """Answer a call to Lambda's API of callbacks. The durable function goes on once the queues are empty."""
        *_path, callback, how = urlsplit(request.url).path.split("/")
        callback, body = unquote(callback), request.body
        if callback in self._closed:
            return response(request, 400, {"x-amzn-errortype": "CallbackTimeoutException"})
        self._closed.add(callback)
        self.told.append((how, body.decode()))
        if how == "succeed":
            self._to_go_on.append(lambda: self.runner.send_callback_success(callback, body))
        else:
            error = ErrorObject.from_dict(json.loads(body))
            self._to_go_on.append(lambda: self.runner.send_callback_failure(callback, error))
        return response(request, 200, {})


class Body(BytesIO):
    """An answer's body, as botocore reads it."""

    def stream(self, **_: object) -> Iterator[bytes]:
        yield self.read()


def response(request: Any, status: int, headers: Any) -> AWSResponse:
    return AWSResponse(request.url, status, headers, Body(b"{}"))


@pytest.fixture
def aws(sandbox: Sandbox) -> Iterator[Lambda]:
    made = Lambda(sandbox)
    events: Any = callbacks._lambda().meta.events  # noqa: SLF001 - of the client that the tasks use
    events.register_first("before-send.lambda", made.answer)
    with made.runner:
        yield made
    events.unregister("before-send.lambda", made.answer)
    made.runner._scheduler._loop.close()  # noqa: SLF001 - the runner leaves it open, and Python warns of that


def result_of(execution: DurableFunctionTestResult) -> Any:
    assert execution.execution_status is ExecutionStatus.SUCCEEDED, execution.error
    return json.loads(str(execution.result))


def test_two_tasks_run_side_by_side_then_a_person_answers(aws: Lambda) -> None:
    assert result_of(aws.run("cup")) == {"shelf": "B7", "cents": 300, "approved": True}
    assert sorted(aws.told) == [("succeed", '"B7"'), ("succeed", "300"), ("succeed", "true")]


def test_a_task_that_fails_is_tried_again_and_the_graph_waits(
    aws: Lambda, monkeypatch: pytest.MonkeyPatch, sandbox: Sandbox
) -> None:
    tries: list[str] = []

    def price_of(article: str) -> int:
        tries.append(article)
        if len(tries) == 1:
            raise ConnectionError("no answer")
        return 700

    monkeypatch.setattr(work, "price_of", price_of)
    begun = sandbox.now
    assert result_of(aws.run("cup"))["cents"] == 700
    assert sandbox.now - begun > timedelta(seconds=30)
    assert len(aws.told) == 3


def test_a_dead_letter_fails_the_graph(aws: Lambda, sandbox: Sandbox) -> None:
    execution = aws.run("boat")
    assert execution.execution_status is ExecutionStatus.FAILED
    assert execution.error is not None
    assert execution.error.message == "find_shelf: rejected"
    assert [letter.task for letter in sandbox.dead_letters(lookups)] == ["find_shelf"]


def test_a_task_that_is_cancelled_fails_the_graph(aws: Lambda, monkeypatch: pytest.MonkeyPatch) -> None:
    enqueue = find_price.enqueue
    monkeypatch.setattr(find_price, "enqueue", lambda **arguments: enqueue(**arguments).cancel("no longer wanted"))
    execution = aws.run("cup")
    assert execution.execution_status is ExecutionStatus.FAILED
    assert execution.error is not None
    assert execution.error.message == "find_price: cancelled"


def test_a_task_that_is_sent_again_runs_once(aws: Lambda, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lambda calls the submitter again if it fails after it has sent the task, or if its function dies there."""
    enqueue, sent, tries = find_price.enqueue, list[str](), list[str]()

    def and_fail_once(article: str, callback: str) -> None:
        enqueue(article=article, callback=callback)
        sent.append(callback)
        if len(sent) == 1:
            raise ConnectionError("the answer was lost")

    def price_of(article: str) -> int:
        tries.append(article)
        return 700

    monkeypatch.setattr(find_price, "enqueue", and_fail_once)
    monkeypatch.setattr(work, "price_of", price_of)
    assert result_of(aws.run("cup", failed_submits=1))["cents"] == 700
    assert sent == [sent[0]] * 2
    assert len(tries) == 1


def test_what_is_told_twice_is_told_once(aws: Lambda, sandbox: Sandbox, capsys: pytest.CaptureFixture[str]) -> None:
    """A worker has died after it told the result, and before it was recorded that the task is done."""
    dead: list[Call] = []

    def die_once(call: Call) -> Any:
        if call.service == "lambda" and not dead:
            dead.append(call)
            return die_after(call)
        return call.make()

    with sandbox.fault(die_once):
        assert result_of(aws.run("cup"))["approved"]
    assert len(aws.told) == 3
    assert "nobody waits for this callback" in capsys.readouterr().out
