"""AWS refuses one call of an action, or carries it out and its answer is lost: what the page says of it is true."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from threading import Lock
from typing import Any

import pytest
from botocore.client import BaseClient
from botocore.exceptions import ClientError

from celeriac import Queue, Reject, task
from celeriac.aws import schedules, sqs
from celeriac.aws.client import client
from celeriac.consume import quarantine
from celeriac.testing import Sandbox
from tests.conftest import STAGE
from tests.web.conftest import ORIGIN, Page

ferries = Queue("ferries")
convoys = Queue("convoys", fifo=True)
NUMBER = {"arg.number": "7", "control.number": "number"}


@task(ferries)
def board(number: int) -> None:
    """Fail for good."""
    raise Reject(f"car {number}")


@task(convoys)
def follow(number: int) -> None:
    """Fail for good."""
    raise Reject(f"car {number}")


@dataclass
class Refusal:
    """Refuses the call of one number, before or after AWS has carried it out."""

    at: int = -1
    is_after: bool = False
    calls: int = 0
    lock: Lock = field(default_factory=Lock)

    def count(self) -> bool:
        """Whether this call is the one."""
        with self.lock:
            self.calls += 1
            return self.calls - 1 == self.at


@pytest.fixture
def refusal(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Iterator[Refusal]:
    """Stands before AWS."""
    real, found = BaseClient._make_api_call, Refusal()  # type: ignore[attr-defined]

    def made(client: BaseClient, operation: str, arguments: dict[str, Any]) -> Any:
        is_meant = found.count()
        answer = real(client, operation, arguments) if found.is_after or not is_meant else None
        if is_meant:
            raise ClientError({"Error": {"Code": "AccessDenied", "Message": "by the test"}}, operation)
        return answer

    with monkeypatch.context() as patch:
        patch.setattr(BaseClient, "_make_api_call", made)
        yield found


type Form = tuple[str, Mapping[str, str]]


def _letter(page: Page, sandbox: Sandbox) -> str:
    for name in (ferries.physical_name(STAGE), ferries.dead_letter_name(STAGE)):
        client("sqs").purge_queue(QueueUrl=sqs.url(name))
    board.enqueue(1)
    board.enqueue(2)
    sandbox.drain()
    return f"/dead-letters/ferries/letter/{_letters_of(page, 'ferries')[0]['message_id']}"


def _letters_of(page: Page, queue: str) -> list[Any]:
    [group] = page.json(f"/dead-letters/{queue}", fresh="yes")["groups"]
    return list(page.json(f"/dead-letters/{queue}", kind=group["kind"])["letters"])


def _delayed(page: Page, _: Sandbox) -> Mapping[str, str]:
    for name in (name for some in schedules.pages("ferries.") for name in some.names):
        schedules.delete(name)
    for number in range(2):
        board.options(delay=timedelta(hours=2)).enqueue(number)
    return {"names": " ".join(each["name"] for each in page.json("/schedules", queue="ferries")["delayed"])}


def _redrive(page: Page, sandbox: Sandbox) -> Form:
    return f"{_letter(page, sandbox)}/redrive", {}


def _edit(page: Page, sandbox: Sandbox) -> Form:
    return f"{_letter(page, sandbox)}/redrive", {"edited": "yes", **NUMBER}


def _discard(page: Page, sandbox: Sandbox) -> Form:
    return f"{_letter(page, sandbox)}/discard", {}


def _send(_: Page, __: Sandbox) -> Form:
    return "/enqueue/board", NUMBER


def _quarantine(_: Page, __: Sandbox) -> Form:
    quarantine.lift("failure:k")
    return "/quarantine/add", {"kind": "k"}


def _lift(_: Page, __: Sandbox) -> Form:
    quarantine.add("failure:k")
    return "/quarantine/lift", {"entry": "failure:k"}


def _cancel(page: Page, sandbox: Sandbox) -> Form:
    return "/delayed/cancel", _delayed(page, sandbox)


def _run_now(page: Page, sandbox: Sandbox) -> Form:
    return "/delayed/run-now", _delayed(page, sandbox)


def _state(sandbox: Sandbox) -> object:
    """What the actions change."""
    waiting = sum(sqs.counts(sqs.url(ferries.physical_name(STAGE))).values())
    names = {name for some in schedules.pages("ferries.") for name in some.names}
    return waiting, len(sandbox.dead_letters(ferries)), names, quarantine.entries()


@pytest.mark.parametrize("made", [_redrive, _edit, _discard, _send, _quarantine, _lift, _cancel, _run_now])
def test_what_is_said_after_a_refused_call_is_true(
    page: Page, sandbox: Sandbox, refusal: Refusal, made: Callable[[Page, Sandbox], Form]
) -> None:
    number = 0
    while True:
        for is_after in (False, True):
            sandbox.advance(timedelta(minutes=2))
            url, form = made(page, sandbox)
            before = _state(sandbox)
            refusal.calls, refusal.at, refusal.is_after = 0, number, is_after
            answer = page.browser.post(
                url, data={"csrf": page.session.token(), **form}, headers={"origin": ORIGIN}, follow_redirects=False
            )
            was_refused, refusal.at = refusal.calls > number, -1
            is_changed = _state(sandbox) != before
            if answer.status_code == 303:
                assert is_changed
            elif is_changed:
                assert "<h1>Failed</h1>" in answer.text
                assert "look before you do it again" in answer.text
        if not was_refused:
            break
        number += 1
    assert number > 3


def test_a_letter_that_was_sent_and_not_deleted_is_still_said_to_be_there(
    page: Page, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = BaseClient._make_api_call  # type: ignore[attr-defined]

    def made(client: BaseClient, operation: str, arguments: dict[str, Any]) -> Any:
        if operation == "DeleteMessageBatch":
            return {"Failed": [{"Id": each["Id"], "Code": "InternalError"} for each in arguments["Entries"]]}
        return real(client, operation, arguments)

    url = f"{_letter(page, sandbox)}/redrive"
    monkeypatch.setattr(BaseClient, "_make_api_call", made)
    assert "it is still a dead letter, and may be sent twice" in page.act(url)
    line = page.json("/activity")["lines"][0]
    assert (line["count"], line["outcome"]) == (1, "sent, and not deleted")


def test_an_end_that_cant_be_written_is_told(page: Page, sandbox: Sandbox, refusal: Refusal) -> None:
    url, form = _send(page, sandbox)
    refusal.calls, refusal.at = 0, 3
    html = page.act(url, **form)
    assert "board was sent to ferries." in html
    assert "How this ended isn&#39;t in the activity: failed: AccessDenied." in html


def test_an_edited_letter_isnt_dropped_for_the_unchanged_one_that_was_sent_before(
    page: Page, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    follow.options(group="g").enqueue(1)
    sandbox.drain()
    [letter] = _letters_of(page, "convoys")
    url = f"/dead-letters/convoys/letter/{letter['message_id']}/redrive"
    real = BaseClient._make_api_call  # type: ignore[attr-defined]

    def made(client: BaseClient, operation: str, arguments: dict[str, Any]) -> Any:
        if operation == "DeleteMessageBatch":
            return {"Failed": [{"Id": each["Id"], "Code": "InternalError"} for each in arguments["Entries"]]}
        return real(client, operation, arguments)

    with monkeypatch.context() as patch:
        patch.setattr(BaseClient, "_make_api_call", made)
        page.act(url)
    page.act(url, edited="yes", **NUMBER)
    waiting = sqs.counts(sqs.url(convoys.physical_name(STAGE)))
    assert sum(waiting.values()) == 2
