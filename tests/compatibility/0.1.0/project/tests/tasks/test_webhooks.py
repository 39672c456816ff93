"""Webhooks: signed, retried, and given up."""

import base64
import hmac
import json
from datetime import timedelta

import pytest

from celeriac.testing import Sandbox
from celeriac_local.provider.server import Provider
from tasks.http import retry_after
from tasks.queues import webhooks
from tasks.webhooks import deliver_webhook


def test_a_webhook_is_signed_so_its_receiver_can_verify_it(
    sandbox: Sandbox, provider: Provider, webhook_secret: str
) -> None:
    handle = deliver_webhook.enqueue(url=f"{provider.url}/hooks/ok", event="order.paid", data={"order": "o-1"})
    sandbox.drain()

    (delivery,) = provider.hooks
    assert json.loads(delivery.body) == {
        "type": "order.paid",
        "timestamp": "2026-01-01T00:00:00Z",
        "data": {"order": "o-1"},
    }
    assert delivery.headers["Webhook-Id"] == handle.id
    signed = f"{handle.id}.{delivery.headers['Webhook-Timestamp']}.{delivery.body}".encode()
    expected = base64.b64encode(hmac.digest(webhook_secret.encode(), signed, "sha256")).decode()
    assert delivery.headers["Webhook-Signature"] == f"v1,{expected}"


@pytest.mark.parametrize(("hook", "waits"), [("flaky", timedelta(seconds=1)), ("busy", timedelta(seconds=1))])
def test_a_webhook_is_delivered_again_under_the_same_id(
    sandbox: Sandbox, provider: Provider, hook: str, waits: timedelta
) -> None:
    start = sandbox.now
    deliver_webhook.enqueue(url=f"{provider.url}/hooks/{hook}", event="order.paid", data={})
    sandbox.drain()

    first, second = provider.hooks
    assert first.headers["Webhook-Id"] == second.headers["Webhook-Id"]
    assert sandbox.now - start >= waits
    assert sandbox.dead_letters(webhooks) == []


def test_a_webhook_that_its_receiver_refuses_is_not_sent_again(sandbox: Sandbox, provider: Provider) -> None:
    deliver_webhook.enqueue(url=f"{provider.url}/hooks/gone", event="order.paid", data={})
    sandbox.drain()

    assert len(provider.hooks) == 1
    (letter,) = sandbox.dead_letters(webhooks)
    assert letter.failure is not None
    assert (letter.failure.reason, letter.failure.message) == ("rejected", "the receiver refuses with 410")


def test_a_webhook_to_an_unreachable_receiver_is_retried_for_an_hour(sandbox: Sandbox, provider: Provider) -> None:
    start = sandbox.now
    deliver_webhook.enqueue(url="http://127.0.0.1:1/hooks", event="order.paid", data={})
    sandbox.drain()

    (letter,) = sandbox.dead_letters(webhooks)
    assert letter.failure is not None
    assert letter.failure.attempts == 8
    assert sandbox.now - start > timedelta(hours=1)


@pytest.mark.parametrize(
    "url", ["http://example.org/hook", "http://169.254.169.254/", "file:///etc/passwd", "nonsense"]
)
def test_a_url_without_tls_is_refused(sandbox: Sandbox, provider: Provider, url: str) -> None:
    deliver_webhook.enqueue(url=url, event="order.paid", data={})
    sandbox.drain()

    (letter,) = sandbox.dead_letters(webhooks)
    assert letter.failure is not None
    assert letter.failure.message == "a webhook's URL must be https"


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("120", timedelta(seconds=120)),
        ("9999999", timedelta(days=1)),
        ("Thu, 01 Jan 2026 00:01:00 GMT", timedelta(minutes=1)),
        ("Wed, 31 Dec 2025 00:00:00 GMT", timedelta()),
        ("soon", None),
        ("-5", None),
        (None, None),
    ],
)
@pytest.mark.usefixtures("sandbox")
def test_retry_after_is_seconds_or_a_date(header: str | None, expected: timedelta | None) -> None:
    assert retry_after({"Retry-After": header} if header is not None else {}) == expected
