"""examples/reports and examples/uploads: what their tasks may do, and what their buckets do."""

import json

import pytest

from tests.infra.examples import synthesized
from tests.infra.template import Stack


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> Stack:
    return synthesized("reports", "shop-prod", tmp_path_factory.mktemp("reports"), stage="prod")


@pytest.fixture(scope="module")
def uploads(tmp_path_factory: pytest.TempPathFactory) -> Stack:
    return synthesized("uploads", "shop-prod", tmp_path_factory.mktemp("uploads"), stage="prod")


def test_parts_of_a_report_that_is_never_completed_are_deleted(reports: Stack) -> None:
    rules = [each["LifecycleConfiguration"]["Rules"] for each in reports.resources("S3::Bucket")]
    assert [{"AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 14}, "Status": "Enabled"}] in rules


def test_only_the_tasks_of_reports_read_orders_and_write_reports(reports: Stack) -> None:
    consumer = reports.named("Lambda::Function", "FunctionName", "shop-prod--reports")
    assert {"ORDERS_TABLE", "REPORTS_BUCKET"} <= consumer["Environment"]["Variables"].keys()
    assert rights(reports, "Orders") == {"dynamodb:Query"}
    assert {"s3:PutObject", "s3:GetObject*"} <= rights(reports, "Reports") <= ALLOWED


def test_s3_tells_eventbridge_of_pictures_and_a_rule_the_task(uploads: Stack) -> None:
    (pictures,) = [each for each in uploads.resources("S3::Bucket") if "NotificationConfiguration" in each]
    assert pictures["NotificationConfiguration"] == {"EventBridgeConfiguration": {"EventBridgeEnabled": True}}
    assert "shop-prod-pictures-" in json.dumps(pictures["BucketName"])
    (rule,) = [each for each in uploads.resources("Events::Rule") if "aws.s3" in json.dumps(each)]
    assert rule["EventPattern"]["detail"] == {"bucket": {"name": [{"wildcard": "shop-*-pictures-*"}]}}


def test_only_the_tasks_of_uploads_read_pictures_and_write_thumbnails(uploads: Stack) -> None:
    assert rights(uploads, "Pictures") == READ
    assert "s3:PutObject" in rights(uploads, "Thumbnails") <= ALLOWED - READ


READ = {"s3:GetObject*", "s3:GetBucket*", "s3:List*"}
RETENTION = {"s3:PutObjectLegalHold", "s3:PutObjectRetention", "s3:PutObjectTagging", "s3:PutObjectVersionTagging"}
ALLOWED = {*READ, *RETENTION, "s3:PutObject", "s3:Abort*"}


def rights(made: Stack, resource: str) -> set[str]:
    """What roles may do with a resource, by the start of its logical id. Only the consumer's role may do anything."""
    actions: set[str] = set()
    for policy in made.resources("IAM::Policy"):
        for statement in policy["PolicyDocument"]["Statement"]:
            if f'"{resource}' in json.dumps(statement["Resource"]):
                assert "Consumer" in json.dumps(policy["Roles"]), policy
                named = statement["Action"]
                actions |= {named} if isinstance(named, str) else set(named)
    return actions
