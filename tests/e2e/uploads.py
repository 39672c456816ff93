"""The uploads of examples/uploads, on the local cloud: real events of S3, the real bundle with Pillow, the real roles.

python -m tests.e2e.uploads                             two minutes
"""

import argparse
import io
import sys
import time
from pathlib import Path

import boto3
from PIL import Image

from tests.support import example_cloud, scratch
from tests.support.scratch import say

PORT, QUEUE = 4772, "uploads"
PICTURES, POISON = 20, 3
LIMIT_SECONDS = 120


def inside() -> int:
    """Upload pictures and poison, wait, count. Returns the exit code."""
    named = example_cloud.outputs()
    pictures, thumbnails = named["PicturesBucket"], named["ThumbnailsBucket"]
    s3, started = boto3.client("s3"), time.monotonic()
    for number in range(PICTURES):
        s3.put_object(Bucket=pictures, Key=f"cats/täbby {number}.png", Body=_picture(number))
    for number in range(POISON):
        s3.put_object(Bucket=pictures, Key=f"poison {number}.png", Body=_picture(number)[: 60 + number])
    while time.monotonic() - started < LIMIT_SECONDS:
        made = s3.list_objects_v2(Bucket=thumbnails).get("Contents", [])
        if len(made) >= 2 * PICTURES and scratch.waiting(f"{QUEUE}-dlq") >= POISON and not scratch.waiting(QUEUE):
            break
        time.sleep(1)
    say(f"{PICTURES} pictures and {POISON} others: {len(made)} thumbnails after {time.monotonic() - started:.0f} s")
    sizes = [
        Image.open(io.BytesIO(s3.get_object(Bucket=thumbnails, Key=each["Key"])["Body"].read())).size for each in made
    ]
    return scratch.verdict(
        {
            "thumbnails of 800 pixels": (sum(size == (800, 600) for size in sizes), PICTURES),
            "thumbnails of 200 pixels": (sum(size == (200, 150) for size in sizes), PICTURES),
            "dead letters": (scratch.waiting(f"{QUEUE}-dlq"), POISON),
            "messages left": (scratch.waiting(QUEUE), 0),
        }
    )


def _picture(number: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (1600, 1200), (number, 100, 200)).save(file, "PNG")
    return file.getvalue()


def main() -> int:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Let uploads on a local cloud become thumbnails.")
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
    if parser.parse_args().inside:
        return inside()
    return example_cloud.run_inside("uploads", "tests.e2e.uploads", [], port=PORT, edits={}, packages=["examples"])


if __name__ == "__main__":
    sys.exit(main())
