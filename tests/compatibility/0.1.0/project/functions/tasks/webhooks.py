"""Webhooks, signed as https://www.standardwebhooks.com specifies. Receivers can check them with existing libraries."""

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

# After this time at the latest, a worker uses a rotated secret.
SECRET_MAX_AGE_SECONDS = 300


class ReceiverError(RuntimeError):
    """The receiver didn't accept the webhook."""


@task(
    webhooks,
    # The receiver sees the same Webhook-Id at every attempt and can skip a second delivery: no record is needed here.
    delivery="at_least_once",
    retry=Backoff(base=timedelta(seconds=2), factor=4, attempts=8, give_up_after=timedelta(days=1)),
    timeout=timedelta(seconds=15),
)
def deliver_webhook(ctx: Context, url: str, event: str, data: dict[str, Any]) -> None:
    """Send an event to a receiver. 5xx, 429 and no answer are retried; any other refusal makes a dead letter."""
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
    """Raise Reject unless the URL is https, or names the receiver of the local cloud.

    Receivers choose their URL. Plain HTTP would send the data without encryption, and could reach servers in the
    network of this function.
    """
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
