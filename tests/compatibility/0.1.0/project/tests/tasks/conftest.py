"""What the sample tasks need around them: a verified sender, a signing secret, a partner server that answers."""

from collections.abc import Iterator

import boto3
import pytest

from celeriac.testing import Sandbox
from celeriac_local.provider.server import Provider, running_provider
from tasks.http import pool


@pytest.fixture
def webhook_secret() -> str:
    return "a secret of the test's"


@pytest.fixture
def provider(sandbox: Sandbox, webhook_secret: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Provider]:
    """The partner's server in this process. Its silence lasts no longer than a test should take."""
    boto3.client("ses").verify_email_identity(EmailAddress="shop@example.org")
    boto3.client("secretsmanager").create_secret(Name="webhook-secret", SecretString=webhook_secret)
    with running_provider(silence_seconds=0.01) as running:
        monkeypatch.setenv("EMAIL_SENDER", "shop@example.org")
        monkeypatch.setenv("PAYMENT_PROVIDER_URL", running.url)
        monkeypatch.setenv("WEBHOOK_SECRET_ID", "webhook-secret")
        monkeypatch.setenv("WEBHOOK_PLAIN_HTTP_HOST", "127.0.0.1")
        yield running
        pool().clear()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--whole`, which pytest knows if this folder is named on the command line."""
    parser.addoption("--whole", action="store_true", help="all tests, types and lint without the samples")
