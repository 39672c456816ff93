"""A stage is deployed only where celeriac.toml says, and never over what isn't the application's."""

import json
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from moto import mock_aws

from celeriac_local.target import problem

TEMPLATE = json.dumps({"Resources": {"Topic": {"Type": "AWS::SNS::Topic"}}})
HERE, ELSEWHERE = "123456789012", "999999999999"  # moto's account, and another one


@pytest.fixture(autouse=True)
def _account(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name, value in {"ACCESS_KEY_ID": "none", "SECRET_ACCESS_KEY": "none", "DEFAULT_REGION": "eu-west-1"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    monkeypatch.setenv("CELERIAC_APPLICATION", "shop")
    with mock_aws():
        yield


def project(folder: Path, account: str = HERE) -> Path:
    (folder / "celeriac.toml").write_text(f'name = "shop"\n[stages.prod]\naccount = "{account}"\n')
    return folder


def deploy(name: str, application: str | None) -> None:
    boto3.client("cloudformation").create_stack(
        StackName=name,
        TemplateBody=TEMPLATE,
        Tags=[{"Key": "celeriac:application", "Value": application}] if application else [],
    )


def test_an_empty_account_and_an_own_stack_are_as_they_should_be(tmp_path: Path) -> None:
    assert problem(project(tmp_path), "prod", []) is None
    deploy("shop-prod--state", "shop")
    assert problem(tmp_path, "prod", []) is None


def test_another_account_is_named_in_one_sentence(tmp_path: Path) -> None:
    found = problem(project(tmp_path, ELSEWHERE), "prod", [])
    assert found is not None
    assert found.startswith(f"the stage prod belongs to the account {ELSEWHERE} (celeriac.toml), and the credentials")
    assert HERE in found
    assert problem(tmp_path, "dev", []) is None


@pytest.mark.parametrize(("owner", "words"), [("books", "application 'books'"), (None, "wasn't made by Celeriac")])
def test_a_stack_of_somebody_else_is_not_touched(tmp_path: Path, owner: str | None, words: str) -> None:
    deploy("shop-prod--work", owner)
    found = problem(project(tmp_path), "prod", [])
    assert found is not None
    assert found.startswith("the stack shop-prod--work exists in eu-west-1 and")
    assert words in found


def test_a_mistake_in_the_file_is_told_before_anything_is_asked(tmp_path: Path) -> None:
    (tmp_path / "celeriac.toml").write_text("name = 3")
    assert "name is missing" in str(problem(tmp_path, "prod", []))
    assert "the stage 'Prod'" in str(problem(project(tmp_path), "Prod", []))
