"""Webhooks, signed as https://www.standardwebhooks.com lays down, so that receivers find a library for it."""

import base64
import hmac
import os
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

import msgspec
from aws_lambda_powertools.utilities.parameters import get_secret

from celeriac import Backoff, Context, Reject, Retry, task
from tasks.http import SERVER_ERROR, pool, retry_after
from tasks.queues import webhooks

# A rotated secret is used after this time at the latest.
SECRET_MAX_AGE_SECONDS = 300


class ReceiverError(RuntimeError):
    """The receiver didn't take the webhook."""


@task(
    webhooks,
    # The receiver sees the same Webhook-Id at every attempt and absorbs what it has seen: no record of ours is needed.
    delivery="at_least_once",
    retry=Backoff(base=timedelta(seconds=2), factor=4, attempts=8, give_up_after=timedelta(days=1)),
    timeout=timedelta(seconds=15),
)
def deliver_webhook(ctx: Context, url: str, event: str, data: dict[str, Any]) -> None:
    """Tell a receiver of an event: retried on 5xx, 429 and silence, a dead letter on any other refusal."""
    _check(url)
    body = msgspec.json.encode({"type": event, "timestamp": datetime.now(UTC), "data": data})
    answer = pool().request(
        "POST",
        url,
        body=body,
        headers={"Content-Type": "application/json", **_signed(ctx.id, int(datetime.now(UTC).timestamp()), body)},
        redirect=False,
    )
    if answer.status == HTTPStatus.TOO_MANY_REQUESTS:
        raise Retry("the receiver asks to wait", delay=retry_after(answer.headers))
    if answer.status >= SERVER_ERROR:
        raise ReceiverError(f"the receiver answered {answer.status}")
    if not HTTPStatus.OK <= answer.status < HTTPStatus.MULTIPLE_CHOICES:
        raise Reject(f"the receiver refuses with {answer.status}")


def _check(url: str) -> None:
    """Receivers choose their URL: without TLS, or within the network of this function, they'd choose too much."""
    parts = urlsplit(url)
    allowed = os.environ.get("WEBHOOK_PLAIN_HTTP_HOST")  # the receiver that comes with the local cloud
    if parts.scheme != "https" and not (allowed and parts.hostname == allowed):
        raise Reject("a webhook's URL must be https")


def _signed(delivery: str, timestamp: int, body: bytes) -> dict[str, str]:
    secret = get_secret(os.environ["WEBHOOK_SECRET_ID"], max_age=SECRET_MAX_AGE_SECONDS)
    signed = f"{delivery}.{timestamp}.".encode() + body
    digest = hmac.digest(secret.encode(), signed, "sha256")
    return {
        "Webhook-Id": delivery,
        "Webhook-Timestamp": str(timestamp),
        "Webhook-Signature": f"v1,{base64.b64encode(digest).decode()}",
    }
