"""The application in a sandbox: no AWS, no network, no waiting."""

import pytest
from flask.testing import FlaskClient

from celeriac.testing import Sandbox
from shop import create_app


@pytest.fixture
def client(sandbox: Sandbox) -> FlaskClient:
    """The application's test client. In a sandbox, `configure` checks its values and changes nothing."""
    return create_app(stage="prod").test_client()


def test_making_the_application_calls_nothing(client: FlaskClient, sandbox: Sandbox) -> None:
    assert sandbox.calls == {}


def test_a_copy_is_ordered_and_told_of(client: FlaskClient, sandbox: Sandbox) -> None:
    answer = client.post("/pictures", json={"picture": "p-1", "width": 100})
    assert answer.status_code == 202
    assert sandbox.calls == {("sqs", "SendMessage"): 1}
    number = answer.get_json()["id"]
    assert client.get(f"/pictures/{number}").get_json() == {"state": "waiting", "result": None}

    sandbox.drain()
    sandbox.calls.clear()

    assert client.get(f"/pictures/{number}").get_json() == {"state": "succeeded", "result": "p-1-100.jpg"}
    assert sandbox.calls == {("dynamodb", "GetItem"): 1}


@pytest.mark.parametrize("asked", [{"picture": "p-1", "width": "wide"}, {"picture": "p-1"}, {"size": 1}])
def test_wrong_arguments_are_refused_and_nothing_is_sent(
    client: FlaskClient, sandbox: Sandbox, asked: dict[str, object]
) -> None:
    assert client.post("/pictures", json=asked).status_code == 422
    assert sandbox.calls == {}


def test_an_order_and_its_event_are_written_together(client: FlaskClient, sandbox: Sandbox) -> None:
    answers = [client.post("/orders/o-1", json={"article": "cup", "email": "a@example.org"}) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 409]
    assert sandbox.calls == {("dynamodb", "TransactWriteItems"): 2}
    sandbox.drain()
    assert sandbox.items("orders") == [{"pk": "o-1", "article": "cup", "cents": 900}]
    assert sandbox.calls[("sqs", "SendMessageBatch")] == 1  # the event went to `confirm`


def test_a_request_that_fails_writes_neither(client: FlaskClient, sandbox: Sandbox) -> None:
    assert client.post("/orders/o-1", json={"article": "fork", "email": "a@example.org"}).status_code == 422
    assert sandbox.calls == {}
    sandbox.drain()
    assert sandbox.items("orders") == []
