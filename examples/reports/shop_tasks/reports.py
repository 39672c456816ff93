"""The report of a month: all its orders in one CSV file in S3, however many they are."""

import csv
import io
import os
from collections.abc import Iterator
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING, NamedTuple, TypedDict

import boto3
from botocore.exceptions import ClientError

from celeriac import Context, Retry, task
from shop_tasks.orders import BEFORE_ALL, Order, orders_of
from shop_tasks.queues import reports

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

PART_BYTES = 8 * 1024 * 1024
"""S3 takes no part below 5 MiB, except the last. The tags of 200 parts fit into a cursor: a report of 1.6 GB."""


class Progress(TypedDict):
    """The cursor: what S3 has of the report."""

    upload: str
    tags: list[str]
    rows: int
    last: list[str]
    """Day and number of the last order in it."""


class Part(NamedTuple):
    """The next part of the file, and what follows from it for the cursor."""

    text: bytes
    rows: int
    last: list[str]


@task(reports, key="month")
def make_report(ctx: Context, month: str) -> dict[str, object]:
    """Write the report of a month that is over. A death costs the part that was being made, and no more."""
    file = f"{month}.csv"
    progress: Progress = ctx.cursor or _begun(file, ctx.id)
    try:
        for part in parts(month, progress):
            progress = _added(file, part, progress)
            ctx.checkpoint(progress)
        _complete(file, progress)
    except ClientError as error:
        if error.response["Error"]["Code"] not in {"NoSuchUpload", "InvalidPart"}:
            raise
        if not _is_complete(file, ctx.id):
            ctx.checkpoint(_begun(file, ctx.id), every=timedelta())
            raise Retry("S3 no longer has the parts, so the report starts from its first row", charge=False) from error
    return {"file": file, "rows": progress["rows"]}


def parts(month: str, progress: Progress) -> Iterator[Part]:
    """Make what is missing of the file. The same progress gives the same parts, as long as the orders are the same."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    if not progress["tags"]:
        writer.writerow(Order._fields)
    rows, last = progress["rows"], progress["last"]
    for order in orders_of(month, after=last):
        writer.writerow(order)
        rows, last = rows + 1, [order.day, order.number]
        if text.tell() >= PART_BYTES:
            yield Part(text.getvalue().encode(), rows, last)
            text.seek(0)
            text.truncate()
    if text.tell():
        yield Part(text.getvalue().encode(), rows, last)


def _begun(file: str, made_by: str) -> Progress:
    upload = _s3().create_multipart_upload(
        Bucket=_bucket(), Key=file, ContentType="text/csv; charset=utf-8", Metadata={"made-by": made_by}
    )
    return {"upload": upload["UploadId"], "tags": [], "rows": 0, "last": BEFORE_ALL}


def _added(file: str, part: Part, progress: Progress) -> Progress:
    """Upload a part. If it was uploaded before and the worker died then, it takes the place of itself."""
    answer = _s3().upload_part(
        Bucket=_bucket(),
        Key=file,
        UploadId=progress["upload"],
        PartNumber=len(progress["tags"]) + 1,
        Body=part.text,
    )
    tags = [*progress["tags"], answer["ETag"].strip('"')]
    return {"upload": progress["upload"], "tags": tags, "rows": part.rows, "last": part.last}


def _complete(file: str, progress: Progress) -> None:
    _s3().complete_multipart_upload(
        Bucket=_bucket(),
        Key=file,
        UploadId=progress["upload"],
        MultipartUpload={
            "Parts": [{"PartNumber": number, "ETag": tag} for number, tag in enumerate(progress["tags"], start=1)]
        },
    )


def _is_complete(file: str, made_by: str) -> bool:
    """Whether this task has completed its upload before: its worker died then, or the answer was lost."""
    try:
        return _s3().head_object(Bucket=_bucket(), Key=file)["Metadata"].get("made-by") == made_by
    except ClientError as error:
        if error.response["Error"]["Code"] == "404":
            return False
        raise


def _bucket() -> str:
    return os.environ["REPORTS_BUCKET"]


@cache
def _s3() -> "S3Client":
    return boto3.client("s3")
