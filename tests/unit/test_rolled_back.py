"""A creation that was rolled back can be tried again, though a kept stage's stacks are protected from deletion."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import boto3
import pytest
from moto import mock_aws
from moto.cloudformation.models import cloudformation_backends

from celeriac_local.rolled_back import unprotect

TEMPLATE = '{"Resources": {"Topic": {"Type": "AWS::SNS::Topic"}}}'


@pytest.fixture(autouse=True)
def _account(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name, value in {"ACCESS_KEY_ID": "none", "SECRET_ACCESS_KEY": "none", "DEFAULT_REGION": "eu-west-1"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    monkeypatch.setenv("CELERIAC_APPLICATION", "shop")
    with mock_aws():
        yield


@pytest.fixture
def unprotected() -> Iterator[list[str]]:
    """The stacks whose protection is taken off: moto has no such call."""
    off: list[str] = []

    def answer(params: dict[str, Any], **_: object) -> Any:
        off.append(params["body"]["StackName"])
        return type("Answer", (), {"status_code": 200}), {"StackId": "s"}

    with patch.object(boto3.Session, "client", _registering(boto3.Session.client, answer)):
        yield off


def _registering(make: Any, answer: Any) -> Any:
    def client(self: boto3.Session, *arguments: Any, **options: Any) -> Any:
        made = make(self, *arguments, **options)
        made.meta.events.register("before-call.cloudformation.UpdateTerminationProtection", answer)
        return made

    return client


def stack(name: str, status: str) -> None:
    boto3.client("cloudformation").create_stack(StackName=name, TemplateBody=TEMPLATE, EnableTerminationProtection=True)
    backend: Any = cloudformation_backends["123456789012"]["eu-west-1"]
    found = next(each for each in backend.stacks.values() if each.name == name)
    found.status, found.enable_termination_protection = status, True


def test_only_stacks_whose_creation_failed_lose_their_protection(tmp_path: Path, unprotected: list[str]) -> None:
    (tmp_path / "celeriac.toml").write_text('name = "shop"\n')
    stack("shop-prod--state", "ROLLBACK_COMPLETE")
    stack("shop-prod--work", "UPDATE_ROLLBACK_COMPLETE")
    stack("other-prod--state", "ROLLBACK_COMPLETE")

    (said,) = unprotect(tmp_path, "prod", ["--require-approval", "never"])
    assert said == "The creation of shop-prod--state in eu-west-1 was rolled back: it is made again."
    assert unprotected == ["shop-prod--state"]
    assert list(unprotect(tmp_path, "dev", [])) == []
