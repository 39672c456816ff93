"""Uploads in a sandbox: no AWS, no network, no waiting."""

import io
from typing import Any

import boto3
import pytest
from PIL import Image

from celeriac.testing import Sandbox
from shop_tasks import thumbnails
from shop_tasks.queues import uploads
from shop_tasks.thumbnails import PoisonImageError, thumbnail
from shop_tasks.uploads import make_thumbnails

PICTURES = "shop-test-pictures-123456789012"


def picture(width: int = 1600, height: int = 1200, kind: str = "JPEG", mode: str = "RGB", **settings: Any) -> bytes:
    """An image with some colours in it."""
    file = io.BytesIO()
    Image.linear_gradient("L").resize((width, height)).convert(mode).save(file, kind, **settings)
    return file.getvalue()


@pytest.fixture(autouse=True)
def _buckets(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PICTURES_BUCKET", PICTURES)
    monkeypatch.setenv("THUMBNAILS_BUCKET", "thumbnails")
    for bucket in (PICTURES, "thumbnails"):
        boto3.client("s3").create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})


def upload(key: str, body: bytes) -> dict[str, Any]:
    """Upload an object, and return S3's event of it, as its documentation shows it."""
    etag = boto3.client("s3").put_object(Bucket=PICTURES, Key=key, Body=body)["ETag"].strip('"')
    return {
        "version": "0",
        "id": f"17793124-05d4-b198-2fde-{len(body):012}",
        "detail-type": "Object Created",
        "source": "aws.s3",
        "account": "123456789012",
        "time": "2026-11-12T00:00:00Z",
        "region": "eu-west-1",
        "resources": [f"arn:aws:s3:::{PICTURES}"],
        "detail": {
            "version": "0",
            "bucket": {"name": PICTURES},
            "object": {"key": key, "size": len(body), "etag": etag, "sequencer": "00617F08299329D189"},
            "request-id": "N4N7GDK58NMKJ12R",
            "requester": "123456789012",
            "source-ip-address": "1.2.3.4",
            "reason": "PutObject",
        },
    }


def made() -> dict[str, tuple[int, int]]:
    """The thumbnails, by name, with their sizes."""
    s3 = boto3.client("s3")
    names = [each["Key"] for each in s3.list_objects_v2(Bucket="thumbnails").get("Contents", [])]
    bodies = {name: s3.get_object(Bucket="thumbnails", Key=name)["Body"].read() for name in names}
    return {name: Image.open(io.BytesIO(body)).size for name, body in bodies.items()}


def test_a_picture_gets_its_thumbnails(sandbox: Sandbox) -> None:
    event = upload("cats/täbby 1.jpg", picture())
    assert sandbox.aws_event(event) == ["make_thumbnails"]
    sandbox.drain()
    name = f"{PICTURES}/cats/täbby 1.jpg/{event['detail']['object']['etag']}"
    assert made() == {f"{name}/800.jpg": (800, 600), f"{name}/200.jpg": (200, 150)}


def test_a_picture_whose_event_comes_twice_is_made_once(sandbox: Sandbox) -> None:
    event = upload("cat.jpg", picture())
    for _ in range(2):
        sandbox.aws_event(event)
    sandbox.drain()
    assert sandbox.calls["s3", "GetObject"] == 1


@pytest.mark.every_fault(kinds={"dies before", "dies after", "answer lost"})
def test_thumbnails_are_written_once_whatever_dies(sandbox: Sandbox) -> None:
    boto3.client("s3").put_bucket_versioning(Bucket="thumbnails", VersioningConfiguration={"Status": "Enabled"})
    event = upload("cat.jpg", picture(160, 120))
    sandbox.aws_event(event)
    sandbox.drain()
    sandbox.aws_event({**event, "id": "another event of S3 for the same picture"})
    sandbox.drain()
    versions = boto3.client("s3").list_object_versions(Bucket="thumbnails")["Versions"]
    assert len(versions) == len(made()) == 2
    assert sandbox.dead_letters(uploads) == []


def test_only_the_version_of_the_event_is_used(sandbox: Sandbox) -> None:
    older = upload("cat.jpg", picture(1000, 1000))
    newer = upload("cat.jpg", picture(1000, 500))
    for event in (newer, older):  # events may come in any order
        sandbox.aws_event(event)
    sandbox.drain()
    assert set(made().values()) == {(800, 400), (200, 100)}


def test_what_was_deleted_meanwhile_is_left_out(sandbox: Sandbox) -> None:
    event = upload("cat.jpg", picture())
    boto3.client("s3").delete_object(Bucket=PICTURES, Key="cat.jpg")
    sandbox.aws_event(event)
    sandbox.drain()
    assert made() == {}
    assert sandbox.dead_letters(uploads) == []


def test_another_stages_bucket_is_left_out(sandbox: Sandbox) -> None:
    make_thumbnails.enqueue(bucket="shop-prod-pictures-123456789012", key="cat.jpg", etag="e")
    sandbox.drain()
    assert sandbox.calls["s3", "GetObject"] == 0


POISON = {
    "it is no JPEG, PNG, WEBP image": [b"", b"%PDF-1.7", picture(kind="GIF"), b"\xff\xd8\xff"],
    "it is broken": [picture()[:4000], picture(kind="PNG")[:300], picture(kind="WEBP")[:500]],
    "it has 5,400 pixels, more than 5,000": [picture(60, 90)],
}


@pytest.mark.parametrize(("reason", "body"), [(reason, body) for reason, bodies in POISON.items() for body in bodies])
def test_a_poison_image_is_a_dead_letter_at_once_with_its_reason(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, reason: str, body: bytes
) -> None:
    if "more than" in reason:
        monkeypatch.setattr(thumbnails, "MOST_PIXELS", 5000)
    sandbox.aws_event(upload("poison.jpg", body))
    sandbox.aws_event(upload("cat.png", picture(60, 80, kind="PNG")))
    sandbox.drain()
    (letter,) = sandbox.dead_letters(uploads)
    assert letter.failure is not None
    assert letter.failure.reason == "rejected"
    assert reason in letter.failure.message
    assert len(made()) == 2  # those of the other picture


def test_a_file_that_is_too_large_is_not_read(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shop_tasks.uploads.MOST_BYTES", 1000)
    sandbox.aws_event(upload("cat.jpg", picture()))
    sandbox.drain()
    (letter,) = sandbox.dead_letters(uploads)
    assert letter.failure is not None
    assert "more than 1,000" in letter.failure.message


def test_a_picture_of_a_phone_stands_upright() -> None:
    turned = Image.Exif()
    turned[0x0112] = 6  # the camera was held upright
    small = Image.open(io.BytesIO(thumbnail(picture(400, 300, exif=turned), 200)))
    assert small.size == (150, 200)
    assert not small.getexif()


@pytest.mark.parametrize(
    ("kind", "mode"), [("PNG", "RGBA"), ("PNG", "P"), ("PNG", "LA"), ("PNG", "1"), ("JPEG", "CMYK")]
)
def test_every_mode_becomes_a_jpeg(kind: str, mode: str) -> None:
    small = Image.open(io.BytesIO(thumbnail(picture(400, 300, kind, mode), 200)))
    assert (small.format, small.mode, small.size) == ("JPEG", "RGB", (200, 150))


def test_grey_of_16_bits_stays_grey() -> None:
    file = io.BytesIO()
    Image.new("I;16", (400, 300), 128 * 256).save(file, "PNG")
    small = Image.open(io.BytesIO(thumbnail(file.getvalue(), 200)))
    assert small.getpixel((100, 75)) == (128, 128, 128)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_broken_image_is_poison_or_a_thumbnail_and_nothing_else(kind: str) -> None:
    whole = picture(64, 48, kind)
    for at in range(len(whole)):
        for broken in (whole[:at], whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :]):
            try:
                assert thumbnail(broken, 16)
            except PoisonImageError:
                continue
