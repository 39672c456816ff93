"""The local payment provider and receiver of webhooks: how they decide, and that they answer over HTTP."""

import json
import socket
import threading
import time
from collections.abc import Iterator

import pytest
import urllib3

from celeriac_local.provider.charges import Charges
from celeriac_local.provider.hooks import Hooks
from celeriac_local.provider.server import Provider, running_provider


def order(amount_cents: int, order_id: str = "o-1") -> bytes:
    return json.dumps({"amount_cents": amount_cents, "order_id": order_id}).encode()


def test_repeated_requests_with_one_key_are_charged_once() -> None:
    charges = Charges()

    answers = [charges.post("k", order(500)) for _ in range(3)]

    assert [answer.status for answer in answers] == [201, 201, 201]
    assert {answer.body["id"] for answer in answers} == {charges.ledger[0].id}
    assert [(charge.key, charge.order_id, charge.amount_cents) for charge in charges.ledger] == [("k", "o-1", 500)]


def test_two_keys_are_two_charges() -> None:
    charges = Charges()

    charges.post("k-1", order(500))
    charges.post("k-2", order(500))

    assert [charge.key for charge in charges.ledger] == ["k-1", "k-2"]
    assert len({charge.id for charge in charges.ledger}) == 2


@pytest.mark.parametrize("other", [order(501), order(500, "o-2")])
def test_a_key_with_another_body_is_refused(other: bytes) -> None:
    charges = Charges()
    charges.post("k", order(500))

    assert charges.post("k", other).status == 422
    assert len(charges.ledger) == 1


@pytest.mark.parametrize("key", [None, ""])
def test_a_charge_without_a_key_is_refused(key: str | None) -> None:
    charges = Charges()

    assert charges.post(key, order(500)).status == 400
    assert charges.ledger == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"not JSON",
        b"\xff",
        b'{"order_id": "o-1"}',
        b'{"order_id": 1, "amount_cents": 1}',
        b'{"order_id": "o-1", "amount_cents": "500"}',
        b'{"order_id": "o-1", "amount_cents": true}',
        b'{"order_id": "o-1", "amount_cents": 0}',
    ],
)
def test_an_invalid_charge_is_refused(body: bytes) -> None:
    charges = Charges()

    assert charges.post("k", body).status == 400
    assert charges.ledger == []


@pytest.mark.parametrize(
    ("amount_cents", "statuses", "charged"),
    [
        (1_500, [201, 201], 1),
        (1_402, [402, 402], 0),
        (1_429, [429, 201, 201], 1),
        (1_503, [503, 201, 201], 1),
    ],
)
def test_the_amount_sets_how_the_provider_answers(amount_cents: int, statuses: list[int], charged: int) -> None:
    charges = Charges()

    assert [charges.post("k", order(amount_cents)).status for _ in statuses] == statuses
    assert len(charges.ledger) == charged


def test_the_answer_for_a_declined_card_names_it_and_for_a_busy_provider_has_retry_after() -> None:
    charges = Charges()

    assert charges.post("k-1", order(402)).body == {"error": "card_declined"}
    assert charges.post("k-2", order(429)).headers == {"Retry-After": "1"}


def test_a_silent_charge_is_made_and_its_repeat_answers_with_the_first_charge() -> None:
    charges = Charges()

    first, again = charges.post("k", order(504)), charges.post("k", order(504))

    assert first.silent
    assert not again.silent
    assert (again.status, again.body) == (201, {"id": charges.ledger[0].id})
    assert len(charges.ledger) == 1


@pytest.mark.parametrize(
    ("path", "statuses"),
    [
        ("/hooks/ok", [204, 204]),
        ("/hooks/flaky", [503, 204, 204]),
        ("/hooks/busy", [429, 204, 204]),
        ("/hooks/gone", [410, 410]),
        ("/hooks/nowhere", [404]),
    ],
)
def test_the_path_sets_how_a_webhook_is_answered(path: str, statuses: list[int]) -> None:
    hooks = Hooks()

    assert [hooks.post(path, {"Webhook-Id": "w"}, b"{}").status for _ in statuses] == statuses
    assert [delivery.status for delivery in hooks.received] == statuses


def test_each_delivery_of_a_flaky_webhook_is_refused_once() -> None:
    hooks = Hooks()

    statuses = [hooks.post("/hooks/flaky", {"Webhook-Id": name}, b"").status for name in ("a", "b", "a", "b")]

    assert statuses == [503, 503, 204, 204]


def test_a_webhook_is_stored_with_its_signature_and_body() -> None:
    hooks = Hooks()

    hooks.post("/hooks/ok", {"Webhook-Id": "w", "Webhook-Signature": "v1,abc", "Accept": "*/*"}, b'{"type": "x"}')

    assert hooks.received[0].headers == {"Webhook-Id": "w", "Webhook-Signature": "v1,abc"}
    assert hooks.received[0].body == '{"type": "x"}'


def threads_since(before: set[threading.Thread]) -> set[threading.Thread]:
    """Wait for new threads, which answer a caller, and return them."""
    deadline = time.monotonic() + 10
    while not (started := {t for t in threading.enumerate() if t.is_alive()} - before) and time.monotonic() < deadline:
        threading.Event().wait(0.005)
    return started


@pytest.fixture
def provider() -> Iterator[Provider]:
    with running_provider() as running:
        yield running


@pytest.fixture
def http() -> Iterator[urllib3.PoolManager]:
    with urllib3.PoolManager(retries=False, timeout=5.0) as pool:
        yield pool


def test_a_charge_over_http_is_in_the_ledger(provider: Provider, http: urllib3.PoolManager) -> None:
    answer = http.request("POST", f"{provider.url}/charges", body=order(500), headers={"idempotency-key": "k"})

    assert answer.status == 201
    assert answer.json() == {"id": provider.charges[0].id}
    assert http.request("GET", f"{provider.url}/charges").json() == [
        {"id": provider.charges[0].id, "key": "k", "order_id": "o-1", "amount_cents": 500}
    ]


def test_retry_after_arrives_over_http(provider: Provider, http: urllib3.PoolManager) -> None:
    answer = http.request("POST", f"{provider.url}/charges", body=order(429), headers={"Idempotency-Key": "k"})

    assert (answer.status, answer.headers["Retry-After"]) == (429, "1")


def test_a_webhook_over_http_is_stored_and_the_connection_stays_open(
    provider: Provider, http: urllib3.PoolManager
) -> None:
    headers = {"webhook-id": "w", "webhook-timestamp": "1", "webhook-signature": "v1,abc"}

    statuses = [http.request("POST", f"{provider.url}/hooks/flaky", headers=headers, body=b"{}").status for _ in "12"]

    assert statuses == [503, 204]
    kept = http.request("GET", f"{provider.url}/hooks").json()
    assert [delivery["headers"]["Webhook-Id"] for delivery in kept] == ["w", "w"]
    assert kept[0]["headers"]["Webhook-Signature"] == "v1,abc"


def test_a_silent_charge_leaves_the_caller_without_an_answer(http: urllib3.PoolManager) -> None:
    headers = {"Idempotency-Key": "k"}
    with running_provider(silence_seconds=0.01) as provider:
        with pytest.raises(urllib3.exceptions.ProtocolError):
            http.request("POST", f"{provider.url}/charges", body=order(504), headers=headers)

        assert len(provider.charges) == 1
        assert http.request("POST", f"{provider.url}/charges", body=order(504), headers=headers).status == 201
        assert len(provider.charges) == 1


def test_the_provider_notices_that_the_caller_of_a_silent_charge_has_gone() -> None:
    body = order(504)
    request = f"POST /charges HTTP/1.1\r\nHost: x\r\nIdempotency-Key: k\r\nContent-Length: {len(body)}\r\n\r\n"
    with running_provider(silence_seconds=60) as provider:
        before = set(threading.enumerate())
        with socket.create_connection(("127.0.0.1", provider.server_port)) as caller:
            caller.sendall(request.encode() + body)
            answering = threads_since(before)

        for thread in answering:
            thread.join(timeout=10)
        assert answering
        assert not any(thread.is_alive() for thread in answering)


def test_a_request_whose_sender_dies_halfway_is_ignored(provider: Provider) -> None:
    with socket.create_connection(("127.0.0.1", provider.server_port)) as dying:
        dying.sendall(b"POST /hooks/ok HTTP/1.1\r\nHost: x\r\nContent-Length: 40\r\n\r\n{")
        dying.shutdown(socket.SHUT_WR)
        assert dying.recv(1024) == b""
    assert provider.hooks == []


def test_the_provider_listens_on_this_machine_only(provider: Provider) -> None:
    assert provider.server_address[0] == "127.0.0.1"
