"""Resources of the sample tasks: an e-mail sender, a payment provider, and a key that signs webhooks.

`-c sender=ADDRESS` is the sender of the e-mails, an identity that SES has verified. `-c provider_url=URL` is the
payment provider. Secrets Manager generates the signing key, and the tasks read it at run time. No template contains it.
"""

from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct, Node

from celeriac.model import names
from celeriac_cdk.config import ConfigError, StageConfig, context
from celeriac_cdk.nag import acknowledge
from celeriac_cdk.permissions import arn

_IDENTITIES = arn("ses", "identity/*")
WILDCARDS = {_IDENTITIES: "a condition limits the sender; in SES's sandbox AWS checks each recipient's identity too"}


def webhook_secret(scope: Construct, config: StageConfig, key: kms.IKey | None) -> None:
    """Build the key that signs webhooks."""
    secret = secretsmanager.Secret(
        scope,
        "WebhookSecret",
        secret_name=_secret_name(config),
        description="Signs the webhooks that Celeriac's tasks send",
        generate_secret_string=secretsmanager.SecretStringGenerator(password_length=64, exclude_punctuation=True),
        encryption_key=key,
        removal_policy=config.removal_policy,
    )
    acknowledge(secret, "SMG4", "receivers of webhooks must get a new key too, so no schedule rotates the key")


def environment(node: Node, config: StageConfig) -> dict[str, str]:
    """Return the environment of the tasks. Raises ConfigError for a wrong context value."""
    provider_url = context(node, "provider_url", "https://payments.example.org")
    if not provider_url.startswith(("https://", "http://")):
        raise ConfigError(f"provider_url={provider_url!r} is not a URL: write -c provider_url=https://...")
    return {
        "EMAIL_SENDER": _sender(node),
        "PAYMENT_PROVIDER_URL": provider_url,
        "WEBHOOK_SECRET_ID": _secret_name(config),
    }


def permissions(node: Node, config: StageConfig) -> list[iam.PolicyStatement]:
    """Return the rights to send e-mails from the sender, and to read the signing key."""
    return [
        iam.PolicyStatement(
            actions=["ses:SendEmail"],
            # The condition limits the right, not the resource. While an account is in SES's sandbox, AWS checks the
            # recipient's identity too, and a stack can't know the recipients.
            resources=[_IDENTITIES],
            conditions={"StringEquals": {"ses:FromAddress": _sender(node)}},
        ),
        iam.PolicyStatement(
            actions=["secretsmanager:GetSecretValue"],
            # Secrets Manager adds a hyphen and six random characters to the name in an ARN.
            resources=[arn("secretsmanager", f"secret:{_secret_name(config)}-??????")],
        ),
    ]


def _sender(node: Node) -> str:
    sender = context(node, "sender", "no-reply@example.org")
    if "@" not in sender:
        raise ConfigError(f"sender={sender!r} is not an e-mail address: write -c sender=name@example.org")
    return sender


def _secret_name(config: StageConfig) -> str:
    return names.part(config.stage, "webhook-secret")
