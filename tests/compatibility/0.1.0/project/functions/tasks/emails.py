"""E-mails through SES."""

import os
from functools import cache
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config

from celeriac import Reject, task
from tasks.queues import emails

if TYPE_CHECKING:
    from mypy_boto3_ses import SESClient


@task(emails, key="user_id")
def send_welcome_email(user_id: int, email: str) -> dict[str, str]:
    """Welcome a new user: one e-mail for each user, even if the sign-up is submitted several times."""
    return _send(email, "Welcome", f"Welcome, user {user_id}. It is good to have you here.")


@task(emails, key="order_id", on="order.created")
def send_order_confirmation(order_id: str, email: str) -> dict[str, str]:
    """Confirm an order to its customer."""
    return _send(email, f"Your order {order_id}", f"We have received your order {order_id}.")


def _send(to: str, subject: str, text: str) -> dict[str, str]:
    # SES takes no idempotency key. If a worker dies after this call and before the success is recorded, the next run
    # sends the mail again.
    ses = _ses()
    try:
        sent = ses.send_email(
            Source=os.environ["EMAIL_SENDER"],
            Destination={"ToAddresses": [to]},
            Message={"Subject": {"Data": subject}, "Body": {"Text": {"Data": text}}},
        )
    except ses.exceptions.MessageRejected as error:
        raise Reject(f"SES refuses the mail: {error.response['Error'].get('Message', '')}") from error
    return {"message_id": sent["MessageId"]}


@cache
def _ses() -> "SESClient":
    # By default boto3 waits for 60 s, which is longer than the queue's timeout.
    return boto3.client("ses", config=Config(connect_timeout=2, read_timeout=10))
