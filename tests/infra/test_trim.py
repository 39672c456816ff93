"""Which files go into the bundle, tested on a small tree of invented packages."""

from pathlib import Path

import pytest

from celeriac_cdk.bundle.trim import sources, trim

SERVICES = frozenset({"sqs", "dynamodb"})


def grow(root: Path, *files: str) -> Path:
    for name in files:
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(name)
    return root


def left(root: Path) -> set[str]:
    return {file.relative_to(root).as_posix() for file in root.rglob("*") if file.is_file()}


def test_sources_and_their_data_are_shipped(tmp_path: Path) -> None:
    grow(tmp_path, "consumer.py", "tasks/mail.py", "tasks/welcome.html", "celeriac/queue.py", "celeriac/py.typed")

    assert {file.relative_to(tmp_path).as_posix() for file in sources(tmp_path)} == left(tmp_path)


@pytest.mark.parametrize(
    "name",
    [
        "celeriac/testing/plugin.py",
        "tasks/__pycache__/mail.cpython-313.pyc",
        "tasks/tests/test_mail.py",
        "tasks/mail.pyc",
        "tasks/.secret",
        ".idea/workspace.xml",
    ],
)
def test_tests_caches_and_hidden_files_are_not_shipped(tmp_path: Path, name: str) -> None:
    grow(tmp_path, "consumer.py", name)

    assert sources(tmp_path) == [tmp_path / "consumer.py"]


def test_only_the_newest_model_of_each_listed_service_stays(tmp_path: Path) -> None:
    stays = {
        "botocore/__init__.py",
        "botocore/data/endpoints.json",
        "botocore/data/partitions.json",
        "botocore/data/sdk-default-configuration.json",
        "botocore/data/_retry.json",
        "botocore/data/sqs/2012-11-05/service-2.json.gz",
        "botocore/data/sqs/2012-11-05/endpoint-rule-set-1.json.gz",
        "botocore/data/sqs/2012-11-05/paginators-1.json",
        "botocore/data/dynamodb/2012-08-10/service-2.json.gz",
        "boto3/data/sqs/2012-11-05/resources-1.json",
    }
    goes = {
        "botocore/data/ec2/2016-11-15/service-2.json.gz",
        "botocore/data/dynamodb/2011-12-05/service-2.json.gz",
        "botocore/data/sqs/2012-11-05/examples-1.json",
        "boto3/data/ec2/2016-11-15/resources-1.json",
        "boto3/examples/s3.rst",
    }
    grow(tmp_path, *stays, *goes)

    trim(tmp_path, SERVICES)

    assert left(tmp_path) == stays


def test_a_distribution_keeps_the_files_that_importlib_metadata_reads(tmp_path: Path) -> None:
    grow(
        tmp_path,
        *(f"six-1.17.0.dist-info/{name}" for name in ("METADATA", "entry_points.txt", "top_level.txt")),
        *(f"six-1.17.0.dist-info/{name}" for name in ("RECORD", "INSTALLER", "WHEEL", "uv_cache.json", "licenses/MIT")),
        *("bin/jp.py", ".lock", "six.py", "pkg/__pycache__/x.pyc"),
    )

    trim(tmp_path, SERVICES)

    assert left(tmp_path) == {
        "six.py",
        *(f"six-1.17.0.dist-info/{name}" for name in ("METADATA", "entry_points.txt", "top_level.txt")),
    }


def test_a_tree_without_boto_is_not_changed(tmp_path: Path) -> None:
    grow(tmp_path, "six.py")

    trim(tmp_path, SERVICES)

    assert left(tmp_path) == {"six.py"}


def test_powertools_keeps_what_a_consumer_can_use(tmp_path: Path) -> None:
    openapi, parser = "aws_lambda_powertools/event_handler/openapi", "aws_lambda_powertools/utilities/parser"
    goes = {f"{openapi}/swagger_ui/swagger-ui-bundle.min.js", f"{parser}/__init__.py"}
    grow(tmp_path, f"{openapi}/swagger_ui/html.py", *goes)

    trim(tmp_path, SERVICES)

    assert left(tmp_path) == {f"{openapi}/swagger_ui/html.py"}


def test_the_parser_stays_beside_pydantic(tmp_path: Path) -> None:
    stays = {"aws_lambda_powertools/utilities/parser/__init__.py", "pydantic/__init__.py"}
    grow(tmp_path, *stays)

    trim(tmp_path, SERVICES)

    assert left(tmp_path) == stays
