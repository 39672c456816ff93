"""A call to a service that is not in the bundle is found at synthesis, before anything runs."""

from pathlib import Path

import pytest

from celeriac_cdk.bundle.services import ServiceError, check_services, known_services, listed_services

ROOT = Path(__file__).parents[2]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return tmp_path / "task.py"


@pytest.mark.parametrize(
    "call",
    [
        'boto3.client("sns")',
        'boto3.session.Session(region_name="x").resource("sns")',
        'client("sns")',
        'boto3.client(service_name="sns", region_name="x")',
        'aws.client(\n    "sns",\n)',
    ],
)
def test_an_unlisted_service_is_refused_with_its_line_and_the_cure(source: Path, call: str) -> None:
    source.write_text(f"import boto3\nfrom celeriac import aws\n\ndef send():\n    return {call}.publish()\n")

    with pytest.raises(ServiceError, match=r'task\.py:5 calls AWS \'sns\'.*add "sns" to aws-services'):
        check_services([source], frozenset({"sqs"}))


@pytest.mark.parametrize(
    "call",
    [
        'boto3.client("sqs")',
        "boto3.client(name)",
        'redis.client("cache")',
        'connect("sns")',
        'print("client", "sns")',
        'client(region_name="sns")',
    ],
)
def test_a_listed_service_and_a_call_to_no_service_pass(source: Path, call: str) -> None:
    source.write_text(f"import boto3\nx = {call}\n")

    check_services([source], frozenset({"sqs"}))


def test_this_projects_list_has_real_services_and_those_that_the_library_needs() -> None:
    assert {"sqs", "dynamodb", "s3", "scheduler"} <= listed_services(ROOT / "pyproject.toml") <= known_services()


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('[project]\nname = "x"\n', "lists no AWS services"),
        ("[tool.celeriac]\naws-services = []\n", "lists no AWS services"),
        ('[tool.celeriac]\naws-services = ["sqs", "squeues"]\n', "'squeues'"),
    ],
)
def test_a_list_that_is_missing_or_wrong_is_refused(tmp_path: Path, text: str, complaint: str) -> None:
    pyproject = tmp_path / "pyproject.toml"
    pyproject.write_text(text)

    with pytest.raises(ServiceError, match=complaint):
        listed_services(pyproject)
