"""What the sample tasks need: tables, an e-mail sender, a payment provider, and a key that signs webhooks.

`-c sender=ADDRESS` is the sender of the e-mails, an identity that SES has verified. `-c provider_url=URL` is the
payment provider. Secrets Manager generates the signing key, and the tasks read it at run time. No template contains it.
"""

from email.utils import parseaddr
from urllib.parse import urlsplit

from aws_cdk import aws_iam as iam
from constructs import Node

from celeriac_cdk.application import Application
from celeriac_cdk.config import ConfigError, context
from celeriac_cdk.own import Secret
from celeriac_cdk.permissions import arn

WEBHOOK_SECRET = Secret("webhook-secret")


def give(application: Application, node: Node) -> None:
    """Give each queue of the samples what its tasks need. Raises ConfigError for a wrong context value."""
    sender = _sender(node)
    application.queue("orders").table("orders")
    application.queue("payments").table("orders", "payments").environment(PAYMENT_PROVIDER_URL=_url(node))
    application.queue("webhooks").secret(WEBHOOK_SECRET, "WEBHOOK_SECRET_ID")
    application.queue("emails").environment(EMAIL_SENDER=sender).allow(
        iam.PolicyStatement(
            actions=["ses:SendEmail"],
            # The condition limits the right, not the resource. While an account is in SES's sandbox, AWS checks the
            # recipient's identity too, and a stack can't know the recipients.
            resources=[arn("ses", "identity/*")],
            conditions={"StringEquals": {"ses:FromAddress": sender}},
        ),
        because="a condition limits the sender; in SES's sandbox AWS checks each recipient's identity too",
    )


def _url(node: Node) -> str:
    url = context(node, "provider_url", "https://payments.example.org")
    if not url.startswith(("https://", "http://")) or not urlsplit(url).hostname:
        raise ConfigError(f"provider_url={url!r} is not a URL: write -c provider_url=https://...")
    return url


def _sender(node: Node) -> str:
    sender = context(node, "sender", "no-reply@example.org")
    # IAM compares the address alone, so a display name isn't part of it.
    if parseaddr(sender)[1] != sender or "@" not in sender.strip("@"):
        raise ConfigError(f"sender={sender!r} is not an e-mail address: write -c sender=name@example.org")
    return sender
