"""Sending e-mails with SES."""

import boto3
import pytest

from celeriac.testing import Sandbox
from celeriac_local.provider.server import Provider
from tasks.emails import send_welcome_email
from tasks.queues import emails


def _mails() -> int:
    return int(boto3.client("ses").get_send_quota()["SentLast24Hours"])


@pytest.mark.usefixtures("provider")
def test_a_new_user_is_welcomed_once(sandbox: Sandbox) -> None:
    send_welcome_email.enqueue(user_id=7, email="ada@example.org")
    send_welcome_email.enqueue(user_id=7, email="ada@example.org")
    send_welcome_email.enqueue(user_id=8, email="bob@example.org")
    sandbox.drain()
    assert _mails() == 2


def test_a_mail_that_ses_refuses_is_a_dead_letter(
    sandbox: Sandbox, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EMAIL_SENDER", "nobody@example.org")
    send_welcome_email.enqueue(user_id=7, email="ada@example.org")
    sandbox.drain()

    (letter,) = sandbox.dead_letters(emails)
    assert letter.failure is not None
    assert letter.failure.reason == "rejected"
    assert "SES refuses the mail" in letter.failure.message
