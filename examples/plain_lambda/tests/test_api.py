"""The function in a sandbox: no AWS, no network, no waiting."""

import json
from typing import Any

import pytest

from api import handler
from celeriac.testing import Sandbox


def call(route: str, body: object = None, **parameters: str) -> tuple[int, Any]:
    """Send a request as API Gateway does. Returns the status and the body of the answer."""
    event = {
        "version": "2.0",
        "routeKey": route,
        "pathParameters": parameters or None,
        "queryStringParameters": parameters or None,
        "body": json.dumps(body),
    }
    answer = handler(event, None)
    return answer["statusCode"], json.loads(answer["body"])


def test_a_report_is_ordered_and_told_of(sandbox: Sandbox) -> None:
    status, answer = call("POST /reports", {"month": "2026-01"})
    assert status == 202
    assert sandbox.calls == {("sqs", "SendMessage"): 1}
    assert call("GET /reports", ref=answer["ref"]) == (200, {"state": "queued", "result": None})

    sandbox.drain()
    sandbox.calls.clear()

    told = {"state": "succeeded", "result": {"file": "reports/2026-01.pdf"}}
    assert call("GET /reports", ref=answer["ref"]) == (200, told)
    assert sandbox.calls == {("dynamodb", "GetItem"): 1}


@pytest.mark.parametrize("ref", ["nonsense", "confirm/a/b", "no_such_task/a/b"])
def test_what_is_no_reference_of_a_report_is_not_found(sandbox: Sandbox, ref: str) -> None:
    assert call("GET /reports", ref=ref)[0] == 404


def test_wrong_arguments_are_refused_and_nothing_is_sent(sandbox: Sandbox) -> None:
    assert [call("POST /reports", body)[0] for body in ({"month": 1}, {}, {"day": 1})] == [422] * 3
    assert sandbox.calls == {}


def test_an_order_and_its_event_are_written_together(sandbox: Sandbox) -> None:
    order = {"article": "cup", "email": "a@example.org"}
    answers = [call("POST /orders/{order}", order, order="o-1")[0] for _ in range(2)]
    assert answers == [201, 409]
    assert sandbox.calls == {("dynamodb", "TransactWriteItems"): 2}
    sandbox.drain()
    assert sandbox.items("orders") == [{"pk": "o-1", "article": "cup", "cents": 900}]
    assert sandbox.calls[("sqs", "SendMessageBatch")] == 1  # the event went to `confirm`


def test_a_request_that_fails_writes_neither(sandbox: Sandbox) -> None:
    assert call("POST /orders/{order}", {"article": "fork", "email": "a@example.org"}, order="o-1")[0] == 422
    assert sandbox.calls == {}
    sandbox.drain()
    assert sandbox.items("orders") == []
