"""A program in another account than the stage sends to its queues."""

from datetime import timedelta

import pytest

from celeriac import Queue, task
from celeriac.aws import sqs
from celeriac.aws.scheduler import OtherAccountError
from celeriac.testing import Sandbox
from tests.support.clients import every_client

jobs = Queue("other-account")
OWNER = "123456789012"
ran: list[int] = []


@task(jobs)
def work(number: int) -> None:
    ran.append(number)


@pytest.fixture
def abroad(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Act as a program in another account. The owners that SQS was asked for."""
    monkeypatch.setenv("CELERIAC_ACCOUNT", OWNER)
    monkeypatch.setattr(sqs, "urls", {})
    asked: list[object] = []

    def look(params: dict[str, object], **_: object) -> None:
        asked.append(params.get("QueueOwnerAWSAccountId"))

    for client in every_client("sqs"):
        client.meta.events.register("provide-client-params.sqs.GetQueueUrl", look)
    return asked


def test_the_queue_is_looked_up_in_the_account_of_the_stage(
    abroad: list[object], sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    work.enqueue(number=1)
    assert abroad == [OWNER]
    monkeypatch.delenv("CELERIAC_ACCOUNT")  # the consumer is at home
    sandbox.drain()
    assert ran == [1]


def test_a_long_delay_is_refused_with_its_reason(abroad: list[object]) -> None:
    with pytest.raises(
        OtherAccountError, match="'work': a delay of more than 15 minutes needs a schedule in the account"
    ):
        work.options(delay=timedelta(hours=1)).enqueue(number=1)


def test_an_account_that_is_none_is_refused(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CELERIAC_ACCOUNT", "prod")
    monkeypatch.setattr(sqs, "urls", {})
    with pytest.raises(ValueError, match="CELERIAC_ACCOUNT is 'prod', write the 12 digits"):
        work.enqueue(number=1)
