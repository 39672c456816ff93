"""A call to a service that is not in the bundle is found at synthesis, before anything runs."""

from pathlib import Path

import pytest

from celeriac_cdk.bundle.services import ServiceError, check_services, known_services, listed_services, services_of
from celeriac_cdk.bundle.source import Source, library_files

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


def test_without_a_list_the_services_are_those_that_the_sources_and_the_library_call(source: Path) -> None:
    source.write_text('import boto3\nses = boto3.client("ses")\nredis = other.client("cache")\n')

    assert services_of([source], library_files(), {}) == {"dynamodb", "events", "s3", "scheduler", "sqs", "ses"}


def test_the_parameters_of_powertools_need_two_services(source: Path) -> None:
    source.write_text("from aws_lambda_powertools.utilities.parameters import get_secret\n")

    assert services_of([source], [], {}) == {"secretsmanager", "ssm"}


@pytest.mark.parametrize(
    ("text", "line", "service"),
    [
        ("from aws_lambda_powertools.utilities.parameters import get_secret\n", 1, "secretsmanager"),
        (
            "from aws_lambda_powertools.utilities import parameters\nx = parameters.get_secret('a')\n",
            2,
            "secretsmanager",
        ),
        ("import aws_lambda_powertools.utilities.parameters as p\n\nx = p.get_parameter('a')\n", 3, "ssm"),
        ("from aws_lambda_powertools.utilities.parameters.appconfig import get_app_config\n", 1, "appconfigdata"),
    ],
)
def test_the_parameters_of_powertools_are_refused_if_their_service_is_not_listed(
    source: Path, text: str, line: int, service: str
) -> None:
    source.write_text(text)

    with pytest.raises(
        ServiceError, match=rf"task\.py:{line} calls AWS '{service}'.*add \"{service}\" to aws-services"
    ):
        services_of([source], [], {"aws-services": ["sqs"]})
    assert services_of([source], [], {"aws-services": ["sqs", service]}) == {"sqs", service}
    assert {service, "secretsmanager", "ssm"} <= services_of([source], [], {})


def test_another_method_of_that_name_asks_for_no_service(source: Path) -> None:
    source.write_text("import vault\nx = vault.get_secret('a')\n")

    assert services_of([source], [], {"aws-services": ["sqs"]}) == {"sqs"}


def test_a_list_is_taken_as_it_is_and_must_hold_what_is_called(source: Path) -> None:
    source.write_text('import boto3\nses = boto3.client("ses")\n')

    assert services_of([source], [], {"aws-services": ["ses", "sns"]}) == {"ses", "sns"}
    with pytest.raises(ServiceError, match=r'add "s3" to aws-services'):
        services_of([source], library_files(), {"aws-services": ["ses"]})


def test_this_projects_list_has_real_services_and_those_that_the_library_needs() -> None:
    listed = listed_services(Source(ROOT / "functions" / "tasks", ROOT).options())
    assert {"sqs", "dynamodb", "s3", "scheduler"} <= listed <= known_services()


@pytest.mark.parametrize(
    ("listed", "complaint"),
    [([], r"is \[\]: write"), ("sqs", "is 'sqs': write"), (["sqs", "squeues"], "'squeues'")],
)
def test_a_list_that_is_empty_or_wrong_is_refused(listed: object, complaint: str) -> None:
    with pytest.raises(ServiceError, match=complaint):
        listed_services({"aws-services": listed})
