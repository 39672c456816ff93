"""Each picture that is uploaded to the shop's bucket gets its thumbnails."""

import os
from functools import cache
from typing import TYPE_CHECKING

import boto3
from botocore.exceptions import ClientError

from celeriac import AwsEvent, Reject, task
from shop_tasks.queues import uploads
from shop_tasks.thumbnails import PoisonImageError, thumbnail

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

WIDTHS = (800, 200)
MOST_BYTES = 50_000_000

uploaded = AwsEvent(
    {
        "source": ["aws.s3"],
        "detail-type": ["Object Created"],
        "detail": {"bucket": {"name": [{"wildcard": "shop-*-pictures-*"}]}},
    },
    args={"bucket": "$.detail.bucket.name", "key": "$.detail.object.key", "etag": "$.detail.object.etag"},
)


@task(uploads, on_aws=uploaded)
def make_thumbnails(bucket: str, key: str, etag: str) -> dict[str, object]:
    """Write the thumbnails of one version of a picture, each once. A picture that can't be read is a dead letter."""
    if bucket != os.environ["PICTURES_BUCKET"]:
        return {"left out": "the bucket belongs to another stage"}
    picture = _read(bucket, key, etag)
    if picture is None:
        return {"left out": "the picture was replaced or deleted meanwhile"}
    try:
        small = {f"{bucket}/{key}/{etag}/{width}.jpg": thumbnail(picture, width) for width in WIDTHS}
    except PoisonImageError as error:
        raise Reject(f"no thumbnail: {error}") from error
    for name, image in small.items():
        _write_once(name, image)
    return {"written": list(small)}


def _read(bucket: str, key: str, etag: str) -> bytes | None:
    """Read the version that the event tells of; None if it is gone. A newer one has an event of its own."""
    try:
        found = _s3().get_object(Bucket=bucket, Key=key, IfMatch=f'"{etag}"')
    except ClientError as error:
        if error.response["Error"]["Code"] in {"PreconditionFailed", "NoSuchKey"}:
            return None
        raise
    if found["ContentLength"] > MOST_BYTES:
        raise Reject(f"no thumbnail: the file has {found['ContentLength']:,} bytes, more than {MOST_BYTES:,}")
    return found["Body"].read()


def _write_once(name: str, image: bytes) -> None:
    """Write an object unless it is there: by an earlier run, or by a second event of S3 for the same picture."""
    bucket = os.environ["THUMBNAILS_BUCKET"]
    try:
        _s3().put_object(Bucket=bucket, Key=name, Body=image, ContentType="image/jpeg", IfNoneMatch="*")
    except ClientError as error:
        if error.response["Error"]["Code"] != "PreconditionFailed":
            raise


@cache
def _s3() -> "S3Client":
    return boto3.client("s3")
