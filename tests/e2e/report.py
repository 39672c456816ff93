"""The report of examples/reports, on the local cloud: 200,000 rows, in short invocations, while workers are killed.

make report                                             some minutes
.venv/bin/python -m tests.e2e.report --rows 60000       a short run

The report is made twice: with deaths, and again without any. Both files must be the one that this program expects. A
part of the file has at least 5 MiB, as S3 asks for; the emulator would take smaller ones.
"""

import argparse
import hashlib
import json
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import batched
from pathlib import Path
from typing import Any

import boto3

from tests.support import example_cloud, scratch
from tests.support.scratch import say

ROWS, PORT = 200_000, 4771
MONTH, QUEUE = "2026-10", "reports"
TIMEOUT_SECONDS = 15
LIMIT_SECONDS = 1500
LEAST_PART = 5 * 1024 * 1024
KILL_SECONDS = (1.5, 6.0)
"""So long after a part is saved. The next invocation begins some two seconds after the last one has ended."""
ENOUGH_DEATHS = 4
PAUSE_SECONDS = 3
"""So much longer each part of the file takes: on a fast machine too an invocation has time for one or two."""
ARTICLE = 'cup, 0.3 l, "blue", ' + "hand-made " * 40
PART_LOOP = "        for part in parts(month, progress):\n"
EDITS = {
    "shop_tasks/queues.py": [("timeout=timedelta(minutes=3)", f"timeout=timedelta(seconds={TIMEOUT_SECONDS})")],
    "shop_tasks/reports.py": [
        ("PART_BYTES = 8 * 1024 * 1024", f"PART_BYTES = {LEAST_PART}"),
        ("import os\n", "import os\nimport time\n"),
        (PART_LOOP, f"{PART_LOOP}            time.sleep({PAUSE_SECONDS})\n"),
    ],
}


def inside(project: Path, rows: int) -> int:
    """Fill the table, make the report with and without deaths, compare. Returns the exit code."""
    named = example_cloud.outputs()
    started = time.monotonic()
    _fill(named["OrdersTable"], rows)
    say(f"{rows:,} orders written in {time.monotonic() - started:.0f} s")

    _celeriac(project, "send", "make_report", "--arg", f"month={MONTH}")
    started, over, sizes = time.monotonic(), threading.Event(), dict[int, int]()
    with ThreadPoolExecutor(1) as pool:
        kills = pool.submit(_kill, project, over)
        try:
            ended = _wait(started, named["ReportsBucket"], sizes)
        finally:
            over.set()
        killed = kills.result()
    seconds = time.monotonic() - started
    deaths = scratch.deaths(QUEUE)
    continued = len(scratch.logged(QUEUE, "task goes on in another invocation"))
    with_deaths, parts = _made(named["ReportsBucket"])
    say(f"with deaths: {killed} kills, {deaths} of them at work, {seconds:.0f} s")
    say(f"{continued + 1} parts of work, {parts} parts of the file")

    _celeriac(project, "rerun", "make_report", MONTH, "--yes")
    started = time.monotonic()
    ended = _wait(started, named["ReportsBucket"], {}) and ended
    without, _ = _made(named["ReportsBucket"])
    say(f"without deaths: {time.monotonic() - started:.0f} s")

    expected = hashlib.sha256(b"".join(_file(rows))).hexdigest()
    say(f"sha256 with deaths {with_deaths}\n    without deaths   {without}\n    expected         {expected}")
    found = {
        "rows": rows,
        "parts": continued + 1,
        "killed": killed,
        "deaths": deaths,
        "seconds": round(seconds),
        "sha256": with_deaths,
    }
    say(json.dumps(found))
    return scratch.verdict(
        {
            "ended": (int(ended), 1),
            "the file with deaths is the one without": (int(with_deaths == without), 1),
            "and the expected one": (int(with_deaths == expected), 1),
            "at least five parts of work": (int(continued + 1 >= 5 or rows < ROWS), 1),
            "at least three deaths at work": (int(deaths >= 3 or rows < ROWS), 1),
            "parts of the file below 5 MiB, except the last": (
                sum(size < LEAST_PART for number, size in sizes.items() if number < parts),
                0,
            ),
            "dead letters": (scratch.waiting(f"{QUEUE}-dlq"), 0),
        }
    )


def _orders(rows: int) -> Iterator[tuple[str, str, str, str, int]]:
    for row in range(rows):
        day = f"{MONTH}-{1 + row * 31 // rows:02}"
        yield day, f"o-{row:07}", f"c-{row % 999}", f"{ARTICLE}{row % 17}", 900 + row % 5000


def _file(rows: int) -> Iterator[bytes]:
    yield b"day,number,customer,article,cents\r\n"
    for day, number, customer, article, cents in _orders(rows):
        quoted = article.replace('"', '""')
        yield f'{day},{number},{customer},"{quoted}",{cents}\r\n'.encode()


def _fill(table: str, rows: int) -> None:
    dynamodb = boto3.client("dynamodb")

    def write(some: tuple[tuple[str, str, str, str, int], ...]) -> None:
        entries: list[Any] = []
        for day, number, customer, article, cents in some:
            item = {
                "day": {"S": day},
                "number": {"S": number},
                "customer": {"S": customer},
                "article": {"S": article},
                "cents": {"N": str(cents)},
            }
            entries.append({"PutRequest": {"Item": item}})
        if dynamodb.batch_write_item(RequestItems={table: entries})["UnprocessedItems"]:
            raise RuntimeError("DynamoDB didn't take every order")

    with ThreadPoolExecutor(4) as pool:
        for _ in pool.map(write, batched(_orders(rows), 25)):
            pass


def _celeriac(project: Path, *words: str) -> None:
    subprocess.run([example_cloud.BIN / "celeriac", "--stage", "local", *words], cwd=project, check=True)


def _kill(project: Path, over: threading.Event) -> int:
    """Kill the worker at a random moment of each part of the file, until enough were at work. Returns how many kills.

    A worker that dies three times at one cursor ends the task, which is a promise of its own.
    """
    killed = 0
    struck: set[str] = set()
    while not over.wait(0.3) and scratch.deaths(QUEUE) < ENOUGH_DEATHS:
        cursor = _cursor()
        if cursor in struck:
            continue
        over.wait(random.uniform(*KILL_SECONDS))
        if _cursor() == cursor and scratch.kill(scratch.workers(project, scratch.PREFIX + QUEUE)):
            struck.add(cursor)
            killed += 1
    return killed


def _cursor() -> str:
    """The cursor of the report, as it is stored; empty without one."""
    return next((record["cursor"]["S"] for record in scratch.rows("idempotency") if "cursor" in record), "")


def _wait(started: float, bucket: str, sizes: dict[int, int]) -> bool:
    """Wait until the queue is empty, and note the sizes of the file's parts. False if the time ran out first."""
    said = started
    time.sleep(2)
    while (now := time.monotonic()) - started < LIMIT_SECONDS:
        sizes.update(_uploaded(bucket))
        if not scratch.waiting(QUEUE):
            return True
        if now - said > 10:
            said = now
            say(f"{now - started:4.0f} s  {len(sizes)} parts of the file")
        time.sleep(0.5)
    return False


def _uploaded(bucket: str) -> dict[int, int]:
    """The sizes of the parts that S3 has of the upload under way, by number."""
    s3 = boto3.client("s3")
    found: dict[int, int] = {}
    for upload in s3.list_multipart_uploads(Bucket=bucket).get("Uploads", []):
        with suppress(s3.exceptions.NoSuchUpload):  # it has been completed
            parts = s3.list_parts(Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"]).get("Parts", [])
            found |= {part["PartNumber"]: part["Size"] for part in parts}
    return found


def _made(bucket: str) -> tuple[str, int]:
    """The SHA-256 of the report, and the number of the parts that it was made of."""
    found = boto3.client("s3").get_object(Bucket=bucket, Key=f"{MONTH}.csv")
    digest = hashlib.sha256()
    for chunk in found["Body"].iter_chunks(1 << 20):
        digest.update(chunk)
    return digest.hexdigest(), int(found["ETag"].strip('"').rpartition("-")[2])


def main() -> int:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Make a long report while its workers are killed.")
    parser.add_argument("--rows", type=int, default=ROWS, help="how many rows")
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.inside:
        return inside(chosen.inside, chosen.rows)
    arguments = ["--rows", str(chosen.rows)]
    return example_cloud.run_inside("reports", "tests.e2e.report", arguments, port=PORT, edits=EDITS)


if __name__ == "__main__":
    sys.exit(main())
