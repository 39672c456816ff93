"""What the sample's own tasks need beside Celeriac. Replace it with what yours need: a team edits this file first.

`-c sender=ADDRESS` is whom the e-mails come from, an identity that SES has verified; `-c provider_url=URL` is
the payment provider. The key that signs webhooks is made here and read at run time: no template holds it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct, Node

from celeriac import names
from celeriac.table import Table
from infra.config import ConfigError, StageConfig, context
from infra.nag import acknowledge
from infra.permissions import arn, read_and_write_items
from infra.table import string_key_table

_IDENTITIES = arn("ses", "identity/*")


class ApplicationState(Construct):
    """What the application stores: its tables and its secret."""

    def __init__(self, scope: Construct, tables: Sequence[Table], config: StageConfig, key: kms.IKey | None) -> None:
        """Build the tables of functions/tasks/tables.py and the webhooks' signing key."""
        super().__init__(scope, "Application")
        for table in tables:
            string_key_table(
                self,
                f"Table-{table.name}",
                name=table.physical_name(config.stage),
                key=table.key,
                config=config,
                encryption_key=key,
            )
        secret = secretsmanager.Secret(
            self,
            "WebhookSecret",
            secret_name=webhook_secret(config.stage),
            description="Signs the webhooks that Celeriac's tasks send",
            generate_secret_string=secretsmanager.SecretStringGenerator(password_length=64, exclude_punctuation=True),
            encryption_key=key,
            removal_policy=config.removal_policy,
        )
        acknowledge(secret, "SMG4", "receivers of webhooks know it: it changes when they are told, not by the calendar")


@dataclass(frozen=True, slots=True)
class Application:
    """What the functions that run the application's tasks are given."""

    environment: Mapping[str, str]
    permissions: Sequence[iam.PolicyStatement]
    wildcards: Mapping[str, str]
    """Resources among them that hold a wildcard, and why: synth fails for one that nobody has given a reason for."""


def application(node: Node, tables: Sequence[Table], config: StageConfig) -> Application:
    """Return the environment and permissions of the tasks; raise ConfigError for context values that can't work."""
    sender = context(node, "sender", "no-reply@example.org")
    if "@" not in sender:
        raise ConfigError(f"sender={sender!r} is not an e-mail address: write -c sender=name@example.org")
    provider_url = context(node, "provider_url", "https://payments.example.org")
    if not provider_url.startswith(("https://", "http://")):
        raise ConfigError(f"provider_url={provider_url!r} is not a URL: write -c provider_url=https://...")
    secret = webhook_secret(config.stage)
    environment = {
        "EMAIL_SENDER": sender,
        "PAYMENT_PROVIDER_URL": provider_url,
        "WEBHOOK_SECRET_ID": secret,
    }
    permissions = [
        _send_email(sender),
        iam.PolicyStatement(
            actions=["secretsmanager:GetSecretValue"],
            # Secrets Manager ends an ARN in a hyphen and six characters of its own choice.
            resources=[arn("secretsmanager", f"secret:{secret}-??????")],
        ),
    ]
    wildcards = {_IDENTITIES: "the sender bounds it; in SES's sandbox each recipient is an identity too"}
    if tables:
        permissions.append(read_and_write_items([table.physical_name(config.stage) for table in tables]))
    return Application(environment, permissions, wildcards)


def webhook_secret(stage: str) -> str:
    """Return the name of the secret that holds the webhooks' signing key."""
    return f"{names.prefix(stage)}-webhook-secret"


def _send_email(sender: str) -> iam.PolicyStatement:
    """Let it send from `sender` alone.

    The condition bounds it, not the resource: while an account is in SES's sandbox, the recipient's
    identity is checked as well, and no stack can know recipients.
    """
    return iam.PolicyStatement(
        actions=["ses:SendEmail"],
        resources=[_IDENTITIES],
        conditions={"StringEquals": {"ses:FromAddress": sender}},
    )
