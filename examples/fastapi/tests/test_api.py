"""The API in a sandbox: no AWS, no network, no waiting."""

import asyncio
from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

import api as shop
from celeriac.testing import Sandbox


@pytest.fixture
def client(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    """The running application. In a sandbox, `configure` checks its values and changes nothing."""
    monkeypatch.setenv("SHOP_STAGE", "prod")
    with TestClient(shop.api) as running:
        yield running


def test_a_report_is_ordered_and_told_of(client: TestClient, sandbox: Sandbox) -> None:
    ref = client.post("/reports", json={"month": "2026-01"}, headers={"Idempotency-Key": "r-1"}).json()["ref"]
    assert sandbox.calls == {("sqs", "SendMessage"): 1}
    assert client.get("/reports", params={"ref": ref}).json() == {"state": "queued", "result": None}

    sandbox.drain()

    assert client.get("/reports", params={"ref": ref}).json() == {
        "state": "succeeded",
        "result": {"file": "reports/2026-01/r-1.pdf"},
    }


def test_a_key_may_hold_what_means_something_in_an_address(client: TestClient, sandbox: Sandbox) -> None:
    headers = {"Idempotency-Key": "r/1?a=%2F&b#c"}
    ref = client.post("/reports", json={"month": "2026-01"}, headers=headers).json()["ref"]
    assert client.get("/reports", params={"ref": ref}).json()["state"] == "queued"


def test_asking_for_a_state_costs_a_read_or_two(client: TestClient, sandbox: Sandbox) -> None:
    ref = client.post("/reports", json={"month": "2026-01"}).json()["ref"]
    sandbox.calls.clear()
    client.get("/reports", params={"ref": ref})
    assert sandbox.calls[("dynamodb", "GetItem")] == 2
    sandbox.drain()
    sandbox.calls.clear()
    client.get("/reports", params={"ref": ref})
    assert sandbox.calls == {("dynamodb", "GetItem"): 1}


@pytest.mark.parametrize("ref", ["nonsense", "make_report", "confirm/a/b", "no_such_task/a/b"])
def test_what_is_no_reference_of_a_report_is_not_found(client: TestClient, ref: str) -> None:
    assert client.get("/reports", params={"ref": ref}).status_code == 404


def test_a_request_that_is_repeated_is_one_report(client: TestClient, sandbox: Sandbox) -> None:
    for _ in range(2):
        client.post("/reports", json={"month": "2026-01"}, headers={"Idempotency-Key": "r-1"})
    sandbox.drain()
    assert sandbox.calls[("dynamodb", "UpdateItem")] == 1  # one success was recorded


def test_a_caller_is_told_to_try_again_if_sqs_is_slow(
    client: TestClient, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Slow:
        async def aenqueue(self, **_: str) -> None:
            await asyncio.sleep(60)

    monkeypatch.setattr(shop, "PATIENCE", 0)
    monkeypatch.setattr(shop, "make_report", Slow())
    answer = client.post("/reports", json={"month": "2026-01"})
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")


def test_an_order_and_its_event_are_written_together(client: TestClient, sandbox: Sandbox) -> None:
    answers = [client.post("/orders/o-1", json={"article": "cup", "email": "a@example.org"}) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 409]
    assert sandbox.calls == {("dynamodb", "TransactWriteItems"): 2}
    sandbox.drain()
    assert sandbox.items("orders") == [{"pk": "o-1", "article": "cup", "cents": 900}]
    assert sandbox.calls[("sqs", "SendMessageBatch")] == 1  # the event went to `confirm`


def test_a_request_that_fails_writes_neither(client: TestClient, sandbox: Sandbox) -> None:
    assert client.post("/orders/o-1", json={"article": "fork", "email": "a@example.org"}).status_code == 422
    assert sandbox.calls == {}
    sandbox.drain()
    assert sandbox.items("orders") == []


def test_without_a_stage_the_server_says_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SHOP_STAGE", raising=False)
    with pytest.raises(RuntimeError, match="SHOP_STAGE=dev"), TestClient(shop.api):
        pass
