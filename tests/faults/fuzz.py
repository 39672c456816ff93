"""Send generated bodies through the real consumer. It must never raise, must account for each body, and must not leak
memory.

python -m tests.faults.fuzz [--seed 1] [--count 100000]
"""

import argparse
import ctypes
import gc
import json
import os
import random
import sys
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import redirect_stdout
from datetime import UTC, datetime, timedelta
from itertools import batched, islice
from pathlib import Path
from typing import Any

os.environ |= {
    "AWS_DEFAULT_REGION": "eu-west-1",
    "AWS_ACCESS_KEY_ID": "none",
    "AWS_SECRET_ACCESS_KEY": "none",
    "CELERIAC_APPLICATION": "celeriac",
    "CELERIAC_STAGE": "test",
    "POWERTOOLS_LOG_LEVEL": "CRITICAL",
}
for name in [name for name in os.environ if name.startswith("AWS_ENDPOINT") or name == "AWS_PROFILE"]:
    del os.environ[name]

from aws_lambda_powertools.utilities.typing import LambdaContext  # noqa: E402

from celeriac import Backoff, Context, Queue, Reject, task  # noqa: E402 - after the environment is set
from celeriac.aws.attributes import FAILURE_ATTRIBUTE, FIRST_SENT_AT, MORE  # noqa: E402
from celeriac.aws.sqs import BATCH_BYTES  # noqa: E402
from celeriac.consume import handler  # noqa: E402
from celeriac.model.foreign_events import is_test_event  # noqa: E402
from celeriac.model.message import MalformedMessageError, Message, NewerVersionError, decode  # noqa: E402
from tests.faults.bodies import bodies  # noqa: E402
from tests.faults.stub import Stub, is_legal  # noqa: E402

# By then caches, threads and boto3's own memory have been filled.
WARM_UP = 10_000
# Normal changes are smaller: 1 MB and 1,000 objects. A leak of a hundred bytes a message, or of an object in twenty
# messages, would reach this. The process itself grows by 30 MB, since the heaps of its threads get holes.
MOST_GROWTH_MB, MOST_GROWTH_OBJECTS = 8, 4_500
# A sender's attributes: none, some, and as many as SQS allows, also with Celeriac's names.
_TAG = {"stringValue": "t-7", "stringListValues": [], "binaryListValues": [], "dataType": "String"}
ATTRIBUTES: list[dict[str, Any]] = [
    *({}, {}, {}),
    {"tenant": _TAG, "raw": {"binaryValue": "AP8=", "dataType": "Binary.png"}},
    {f"a-{number}": _TAG for number in range(10)},
    {"failure": _TAG, "first_sent_at": _TAG, "more_attributes": _TAG},
    {FAILURE_ATTRIBUTE: _TAG, FIRST_SENT_AT: _TAG, MORE: _TAG},
    {"first_sent_at": {**_TAG, "stringValue": "2999-01-01T00:00:00+00:00"}},
    *(
        {name: {**_TAG, "stringValue": f'{{"x": {{"type": "{kind}", "text": "a"}}}}'}}
        for kind in ("Foo", "Number", "Binary", "String")
        for name in (MORE, "more_attributes")
    ),
]
RECEIVES = [1, 1, 1, 1, 2, 3, 4, 19, 20, 21]

queue = Queue("fuzz", timeout=timedelta(minutes=5), batch_size=10)
DEAD = queue.dead_letter_name("test")
ran: Counter[str] = Counter()


@task(queue)
def work(ctx: Context, name: str = "", note: str = "", tags: list[str] | None = None) -> str:
    ran[ctx.id] += 1
    return name


@task(queue, key="number", delivery="at_least_once")
def count(ctx: Context, number: int, at: datetime | None = None, ratio: float = 0.5) -> float:
    ran[ctx.id] += 1
    return number * ratio


@task(queue, delivery="at_most_once")
def launch(ctx: Context, options: dict[str, Any]) -> dict[str, Any]:
    ran[ctx.id] += 1
    return options


@task(queue, retry=Backoff(attempts=3))
def fail(name: str) -> None:
    raise ConnectionError(name)


@task(queue)
def refuse(name: str) -> None:
    raise Reject(name)


VALID: list[dict[str, Any]] = [
    {"task": "work", "args": {"name": "a", "note": "\u00e9", "tags": ["x"]}},
    {"task": "work", "args": {}, "id": "019b76da-a800-777b-b172-c1977946262c", "v": 1, "attempt": 2, "key": "k"},
    {"task": "count", "args": {"number": 5, "at": "2026-01-01T00:00:00Z", "ratio": 1.5}},
    {"task": "launch", "args": {"options": {"a": {"b": [1, 2.5, None]}}}, "enqueued_at": "2026-01-01T00:00:00Z"},
    {"task": "fail", "args": {"name": "a"}, "attempt": 1},
    {"task": "fail", "args": {"name": "b"}, "attempt": 3},
    {"task": "refuse", "args": {"name": "a"}, "stored": "", "key": None},
    {"task": "unheard", "args": {"name": "a"}},
]


class _Context(LambdaContext):
    """Lambda's context, of an invocation that always has time."""

    _function_name = "fuzz"
    _aws_request_id = "request"
    _function_version = "$LATEST"

    @staticmethod
    def get_remaining_time_in_millis() -> int:
        return 300_000


class UnaccountedError(AssertionError):
    """A message that is neither done, nor dead, nor sent again, nor handed back."""


def event(texts: tuple[str, ...], first: int, chance: random.Random) -> dict[str, Any]:
    """A batch as Lambda would hand it over."""
    sent = str(int((datetime.now(UTC) - chance.choice([timedelta(), timedelta(days=3)])).timestamp() * 1000))
    return {
        "Records": [
            {
                "messageId": f"m-{first + i}",
                "receiptHandle": f"r-{first + i}",
                "body": text,
                "attributes": {"ApproximateReceiveCount": str(chance.choice(RECEIVES)), "SentTimestamp": sent},
                # Attributes count towards the size: the largest bodies leave no room for them.
                "messageAttributes": chance.choice(ATTRIBUTES) if len(text) < BATCH_BYTES // 4 else {},
                "eventSourceARN": f"arn:aws:sqs:eu-west-1:123456789012:{queue.physical_name('test')}",
            }
            for i, text in enumerate(texts)
        ]
    }


def fate(record: dict[str, Any], handed_back: set[str], stub: Stub) -> str:
    """What became of a message. Raises UnaccountedError."""
    body = record["body"]
    if record["messageId"] in handed_back:
        if is_legal(body, {}):
            raise UnaccountedError(f"handed back, though AWS was within reach: {body[:500]!r}")
        return "handed back: SQS would not have accepted it either"
    if is_test_event(body):
        return "the test event of S3"
    message = _read(body)
    id_ = (message.id or record["messageId"]) if message is not None else ""
    for position, (place, sent, attributes) in enumerate(stub.sent):
        found = _untouched(body, sent, attributes, stub) if message is None else _carried(message, id_, sent, stub)
        if found:
            del stub.sent[position]
            return found if place == DEAD else f"sent again, {found}"
    # Checked last, because another message of the batch may have the same id.
    if ran[id_]:
        ran[id_] -= 1
        return "succeeded"
    raise UnaccountedError(f"gone: {body[:500]!r}, sent were {[sent[:200] for _, sent, _ in stub.sent]}")


def _untouched(body: str, sent: str, attributes: Mapping[str, Any], stub: Stub) -> str:
    """How an unreadable body was sent on: byte for byte, with its reason. Empty if `sent` is another message."""
    noted = attributes.keys() & {FAILURE_ATTRIBUTE, FIRST_SENT_AT}
    if not noted:
        return ""
    if sent == body:
        return "unreadable: untouched"
    key = json.loads(sent)["stored_body"] if sent.startswith('{"stored_body":"bodies/') else ""
    return "unreadable: untouched, through S3" if stub.stored.get(key) == body.encode() else ""


def _carried(message: Message, id_: str, sent: str, stub: Stub) -> str:
    """How a task's message was sent on, with its id and its arguments. Empty if `sent` is another message."""
    copy = _read(sent)
    if copy is None or (copy.id, copy.task) != (id_, message.task):
        return ""
    # Arguments that are too large for a message are stored in the bucket.
    through_s3 = copy.stored != message.stored
    arguments = stub.stored.get(copy.stored) if through_s3 else bytes(copy.args)
    if arguments != (b"{}" if message.stored else bytes(message.args)):
        return ""
    attempt = "the next attempt" if copy.attempt > message.attempt else "uncharged"
    return (copy.failure.reason if copy.failure is not None else attempt) + (", through S3" if through_s3 else "")


def _read(body: str) -> Message | None:
    try:
        return decode(body)
    except (MalformedMessageError, NewerVersionError):
        return None


class _MallocInfo(ctypes.Structure):
    """What glibc tells of its heaps, in bytes: https://man7.org/linux/man-pages/man3/mallinfo.3.html"""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
            *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
        )
    ]


def in_use() -> tuple[float, int]:
    """The memory that is in use outside Python's own heap, in MB, and the number of blocks in Python's heap."""
    gc.collect()
    libc = ctypes.CDLL(None)
    libc.mallinfo2.restype = _MallocInfo
    found = libc.mallinfo2()
    return (found.uordblks + found.hblkhd) / 1e6, sys.getallocatedblocks()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=100_000)
    options = parser.parse_args()
    stub, fates = Stub(), Counter[str]()
    chance = random.Random(options.seed)  # noqa: S311 - this randomness decides nothing secret
    stub.install()
    nowhere = Path(os.devnull).open("w")  # noqa: SIM115 - open until the process ends
    started, done = time.monotonic(), 0
    warm: tuple[float, int] | None = None
    for texts in batched(islice(bodies(options.seed, VALID), options.count), 10):
        given = event(texts, done, chance)
        with redirect_stdout(nowhere):  # the metrics
            answer = handler.handler(given, _Context())
        handed_back = {str(failure["itemIdentifier"]) for failure in answer["batchItemFailures"]}
        fates.update(fate(record, handed_back, stub) for record in given["Records"])
        stub.forget()
        ran.clear()
        done += len(texts)
        if not warm and done >= WARM_UP:
            warm = in_use()
    sys.stdout.write(f"{done} bodies of seed {options.seed} in {time.monotonic() - started:.0f} s\n")
    for name, number in fates.most_common():
        sys.stdout.write(f"{number:8} {name}\n")
    if not warm:
        return 0
    megabytes, blocks = in_use()
    more_mb, more_blocks = megabytes - warm[0], blocks - warm[1]
    sys.stdout.write(
        f"in use: {warm[0]:.1f} MB and {warm[1]} objects after {WARM_UP}, {more_mb:+.1f} MB and {more_blocks:+} at the "
        "end\n"
    )
    return int(more_mb > MOST_GROWTH_MB or more_blocks > MOST_GROWTH_OBJECTS)


if __name__ == "__main__":
    sys.exit(main())
