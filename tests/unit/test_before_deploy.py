"""Before a deploy: a key is turned on and off step by step, and a creation that was rolled back can be tried again."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import boto3
import pytest
from moto import mock_aws
from moto.cloudformation.models import cloudformation_backends

from celeriac_local.before_deploy import key_at_once, unprotect

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


def encrypted(tmp_path: Path, deployed: str | None, wanted: str, *words: str) -> str | None:
    template = json.loads(TEMPLATE) | ({"Outputs": {"Kms": {"Value": deployed}}} if deployed else {})
    tags = [{"Key": "celeriac:application", "Value": "shop"}]
    boto3.client("cloudformation").create_stack(
        StackName="shop-prod--state",
        TemplateBody=json.dumps(template),
        Tags=tags,  # type: ignore[arg-type]  # of the stubs' own type
    )
    (tmp_path / "celeriac.toml").write_text(f'name = "shop"\n[stages.prod]\nkms = {wanted}\n')
    return key_at_once(tmp_path, "prod", words)


@pytest.mark.parametrize(
    ("deployed", "wanted"),
    [
        ("off", "false"),
        ("off", '"prepare"'),
        ("prepared", "true"),
        ("on", "true"),
        ("on", '"prepare"'),
        (None, "false"),
    ],
)
def test_a_key_is_turned_on_and_off_step_by_step(tmp_path: Path, deployed: str | None, wanted: str) -> None:
    assert encrypted(tmp_path, deployed, wanted) is None


@pytest.mark.parametrize(
    ("deployed", "wanted", "words"),
    [("off", "true", ()), ("on", "false", ()), (None, "true", ()), ("off", "false", ("-c", "kms=true"))],
)
def test_a_key_is_not_turned_on_or_off_in_one_deploy(
    tmp_path: Path, deployed: str | None, wanted: str, words: tuple[str, ...]
) -> None:
    found = encrypted(tmp_path, deployed, wanted, *words)
    assert found is not None
    assert 'write kms = "prepare" under stages.prod in celeriac.toml, deploy' in found


def test_a_new_stage_may_have_a_key_at_once(tmp_path: Path) -> None:
    (tmp_path / "celeriac.toml").write_text('name = "shop"\n[stages.prod]\nkms = true\n')
    assert key_at_once(tmp_path, "prod", []) is None
