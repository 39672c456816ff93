"""Reports in a sandbox: no AWS, no network, no waiting."""

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import boto3
import pytest

from celeriac.testing import Call, Sandbox
from shop_tasks import reports
from shop_tasks.queues import reports as queue
from shop_tasks.reports import make_report

ROWS, PARTS = 300, 4
ORDERS = [
    {
        "day": f"2026-10-{1 + 15 * (row // 100):02}",
        "number": f"o-{row:05}",
        "customer": f"c-{row % 7}",
        "article": 'a "blue" cup, 0.3 l',
        "cents": str(900 + row),
    }
    for row in range(ROWS)
]
FILE = "day,number,customer,article,cents\r\n" + "".join(
    f'{order["day"]},{order["number"]},{order["customer"]},"a ""blue"" cup, 0.3 l",{order["cents"]}\r\n'
    for order in ORDERS
)


@pytest.fixture(autouse=True)
def _shop(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The bucket, and the table with a month's orders. Parts are small, and each takes 50 seconds to upload."""
    monkeypatch.setenv("REPORTS_BUCKET", "reports")
    monkeypatch.setenv("ORDERS_TABLE", "orders")
    monkeypatch.setattr(reports, "PART_BYTES", 4500)
    monkeypatch.setattr("moto.s3.models.S3_UPLOAD_PART_MIN_SIZE", 4500)
    boto3.client("s3").create_bucket(Bucket="reports", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    boto3.client("dynamodb").create_table(
        TableName="orders",
        KeySchema=[{"AttributeName": "day", "KeyType": "HASH"}, {"AttributeName": "number", "KeyType": "RANGE"}],
        AttributeDefinitions=[
            {"AttributeName": "day", "AttributeType": "S"},
            {"AttributeName": "number", "AttributeType": "S"},
        ],
        BillingMode="PAY_PER_REQUEST",
    )
    with boto3.resource("dynamodb").Table("orders").batch_writer() as table:
        for order in ORDERS:
            table.put_item(Item={**order, "cents": int(order["cents"])})
        table.put_item(Item={"day": "2026-11-01", "number": "o-9", "customer": "c-1", "article": "jug", "cents": 1})
    with sandbox.slow("s3", "UploadPart", by=timedelta(seconds=50)):
        yield


def written(month: str) -> str:
    return boto3.client("s3").get_object(Bucket="reports", Key=f"{month}.csv")["Body"].read().decode()


def test_a_report_takes_as_many_invocations_as_it_needs(sandbox: Sandbox) -> None:
    handle = make_report.enqueue(month="2026-10")
    invocations = 0
    while ran := sandbox.run_once():
        invocations += ran
    assert invocations >= 2
    assert handle.result() == {"file": "2026-10.csv", "rows": ROWS}
    assert written("2026-10") == FILE
    assert sandbox.calls["s3", "UploadPart"] == PARTS  # each part once


def test_a_month_without_orders_is_a_report_without_rows(sandbox: Sandbox) -> None:
    make_report.enqueue(month="2026-09")
    sandbox.drain()
    assert written("2026-09") == "day,number,customer,article,cents\r\n"


@pytest.mark.every_fault(kinds={"dies before"})
def test_the_file_is_the_same_whatever_dies(sandbox: Sandbox) -> None:
    handle = make_report.enqueue(month="2026-10")
    sandbox.drain()
    assert written("2026-10") == FILE
    assert handle.result() == {"file": "2026-10.csv", "rows": ROWS}
    assert sandbox.dead_letters(queue) == []
    assert sandbox.calls["s3", "UploadPart"] <= PARTS + 1  # a death costs a part


@pytest.mark.every_fault(kinds={"dies after", "sent twice"}, calls=lambda call: call.operation != "Query")
def test_what_aws_has_carried_out_twice_is_in_the_file_once(sandbox: Sandbox) -> None:
    handle = make_report.enqueue(month="2026-10")
    sandbox.drain()
    assert written("2026-10") == FILE
    assert handle.result() == {"file": "2026-10.csv", "rows": ROWS}
    assert sandbox.dead_letters(queue) == []


def test_the_tags_of_200_parts_fit_into_a_cursor() -> None:
    cursor = {"upload": "u" * 300, "tags": ["e" * 32] * 200, "rows": 10**9, "last": ["2026-10-31", "o" * 100]}
    assert len(json.dumps(cursor)) < 8192


@pytest.mark.parametrize("after", [False, True])
def test_many_deaths_cost_a_part_each(sandbox: Sandbox, *, after: bool) -> None:
    handle = make_report.enqueue(month="2026-10")
    for _ in range(6):
        sandbox.crash_at(7, after=after)
        sandbox.drain()
    assert written("2026-10") == FILE
    assert handle.result()["rows"] == ROWS


def test_a_report_whose_parts_are_gone_starts_from_its_first_row(sandbox: Sandbox) -> None:
    """The bucket's rule has aborted the upload while the task lay in the dead-letter queue."""
    boto3.client("s3").put_object(Bucket="reports", Key="2026-10.csv", Body=b"old", Metadata={"made-by": "another"})
    aborted: list[str] = []

    def abort_before_part_3(call: Call) -> Any:
        if call.operation == "UploadPart" and call.arguments["PartNumber"] == 3 and not aborted:
            aborted.append(call.arguments["UploadId"])
        if call.arguments.get("UploadId") in aborted:  # moto would answer with an error of its own
            answer = {"Error": {"Code": "NoSuchUpload", "Message": "The specified upload does not exist."}}
            raise call.client.exceptions.NoSuchUpload(answer, call.operation)
        return call.make()

    handle = make_report.enqueue(month="2026-10")
    with sandbox.fault(abort_before_part_3):
        sandbox.drain()
    assert aborted
    assert written("2026-10") == FILE
    assert handle.result() == {"file": "2026-10.csv", "rows": ROWS}


def test_a_part_that_a_frozen_worker_has_overwritten_is_not_taken(sandbox: Sandbox) -> None:
    """As a worker might that has read other orders, was frozen, and wakes up late."""
    overwritten: list[str] = []

    def overwrite(call: Call) -> Any:
        if call.operation == "CompleteMultipartUpload" and not overwritten:
            of_it = {name: call.arguments[name] for name in ("Bucket", "Key", "UploadId")}
            overwritten.append(of_it["UploadId"])
            boto3.client("s3").upload_part(**of_it, PartNumber=2, Body=b"other orders\r\n" * 300)
        return call.make()

    make_report.enqueue(month="2026-10")
    with sandbox.fault(overwrite):
        sandbox.drain()
    assert overwritten
    assert written("2026-10") == FILE
