"""What the other implementations must be able to do, so that the tests on them prove something."""

import signal
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest

from tests.realities.installed import why_no_lambda, why_no_sqs
from tests.realities.runtime_api import Answered, Died, Failed
from tests.realities.sqs_server import lying_in, set_clock, sqs_server
from tests.realities.worker import worker

NOW = datetime(2026, 1, 1, tzinfo=UTC)
needs_sqs = pytest.mark.skipif(bool(why_no_sqs()), reason=why_no_sqs())
needs_lambda = pytest.mark.skipif(bool(why_no_lambda()), reason=why_no_lambda())


@pytest.fixture(scope="module")
def sqs_endpoint() -> Iterator[str]:
    with sqs_server() as endpoint:
        yield endpoint


class Group:
    """A FIFO group with eight messages."""

    def __init__(self, endpoint: str) -> None:
        self.sqs: Any = boto3.client(
            "sqs", endpoint_url=endpoint, region_name="eu-west-1", aws_access_key_id="a", aws_secret_access_key="b"
        )
        self.url = self.sqs.create_queue(QueueName="group.fifo", Attributes={"FifoQueue": "true"})["QueueUrl"]
        for body in "01234567":
            self.sqs.send_message(QueueUrl=self.url, MessageBody=body, MessageGroupId="g", MessageDeduplicationId=body)

    def receive(self, most: int = 10) -> tuple[str, list[str]]:
        """The bodies, and the receipt handles."""
        got = self.sqs.receive_message(QueueUrl=self.url, MaxNumberOfMessages=most).get("Messages", [])
        return "".join(message["Body"] for message in got), [message["ReceiptHandle"] for message in got]

    def hide(self, handle: str, seconds: int) -> None:
        self.sqs.change_message_visibility(QueueUrl=self.url, ReceiptHandle=handle, VisibilityTimeout=seconds)


@needs_sqs
def test_what_lies_behind_a_message_in_flight_is_held_back_and_what_lies_before_it_is_delivered(
    sqs_endpoint: str,
) -> None:
    set_clock(sqs_endpoint, NOW)
    group = Group(sqs_endpoint)

    first, handles = group.receive(3)
    held_back, _ = group.receive()
    group.hide(handles[0], 0)
    before, _ = group.receive()
    set_clock(sqs_endpoint, NOW + timedelta(seconds=30))
    again, handles = group.receive()
    group.sqs.delete_message(QueueUrl=group.url, ReceiptHandle=handles[0])
    group.hide(handles[1], 60)
    set_clock(sqs_endpoint, NOW + timedelta(seconds=60))
    behind, _ = group.receive()
    set_clock(sqs_endpoint, NOW + timedelta(seconds=90))
    rest, _ = group.receive()

    assert (first, held_back, before, again, behind, rest) == ("012", "", "0", "01234567", "", "1234567")
    assert [message.is_visible for message in lying_in(sqs_endpoint, "group.fifo")] == [False] * 7


@needs_lambda
def test_a_worker_answers_fails_and_dies() -> None:
    with worker("celeriac.entry.relay.handler", environment={"CELERIAC_STAGE": "test"}) as relay:
        answered = relay.invoke({"Records": []})
        log = relay.log()
        relay.kill()
        status = relay.wait()
    with worker("nobody.handler") as missing:
        failed = missing.invoke({})
    with worker("celeriac.entry.relay.handler", environment={"CELERIAC_STAGE": "test"}) as frozen:
        frozen.kill(signal.SIGSTOP)
        late = frozen.invoke({"Records": []}, timeout=timedelta(seconds=1))

    assert answered == Answered({"batchItemFailures": []})
    assert len(log) == 1
    assert "rows published" in log[0]
    assert status == -signal.SIGKILL
    assert isinstance(failed, Failed)
    assert failed.error["errorType"] == "Runtime.ImportModuleError"
    assert late == Died(-signal.SIGKILL, timed_out=True)
