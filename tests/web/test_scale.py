"""A stage with a hundred queues and a million dead letters: what each screen asks of AWS, and what it takes itself."""

import gzip
import re
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import batched
from threading import Barrier, Lock
from typing import Any
from urllib.parse import quote

import msgspec
import pytest
from botocore.client import BaseClient

from celeriac import Queue, Reject, task
from celeriac.aws import sqs
from celeriac.aws.client import client
from celeriac.declare import registry
from celeriac.testing import Sandbox
from celeriac_console.dlq.queue_reader import WORKERS
from celeriac_console.web.guard.compressed import LEVEL
from celeriac_console.web.letters.cache import FIRST
from celeriac_console.web.live.counts import AT_ONCE
from celeriac_console.web.live.deploys import STACKS
from tests.support.redrive import received
from tests.web.conftest import Opens, Page

MILLION = 1_000_000
PILE = "scale-000"
"""The queue whose dead-letter queue says that it has a million letters. In truth it has `LETTERS`."""
LETTERS = 600
DEAD = 30
"""So many queues have dead letters."""
OWN_SECONDS = 0.1
"""What a screen may take beside AWS's own time. Here it is CPU, because a test's machine may be busy."""
ZIPPED = 150_000


@dataclass
class Aws:
    """Stands before AWS: counts the calls and their CPU, and says what an account of this size would say."""

    queues: list[Queue]
    calls: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    lock: Lock = field(default_factory=Lock)

    def says(self, operation: str, arguments: Any) -> Any:
        """The answer that the sandbox can't give; None if it can."""
        match operation:
            case "GetMetricData":
                return {
                    "MetricDataResults": [self._figures(each, arguments) for each in arguments["MetricDataQueries"]]
                }
            case "ListEventSourceMappings":
                start = int(arguments.get("Marker", 0))
                some = [self._mapping(number) for number in range(len(self.queues))][start : start + 100]
                more = {"NextMarker": str(start + 100)} if start + 100 < len(self.queues) else {}
                return {"EventSourceMappings": some} | more
            case "DescribeAlarms":
                return {"MetricAlarms": [self._alarm(number) for number in range(0, len(self.queues), 7)]}
            case "DescribeStacks":
                at = datetime.now(UTC) - timedelta(minutes=20)
                return {"Stacks": [{"StackStatus": "UPDATE_COMPLETE", "CreationTime": at, "LastUpdatedTime": at}]}
        return None

    def _figures(self, query: Any, arguments: Any) -> Any:
        times = [arguments["StartTime"] + timedelta(minutes=number) for number in range(60)]
        return {"Id": query["Id"], "Timestamps": times, "Values": [float(at.minute % 7) for at in times]}

    def _mapping(self, number: int) -> Any:
        arn = f"arn:aws:sqs:eu-west-1:123456789012:{self.queues[number].physical_name('test')}"
        return {"EventSourceArn": arn, "State": "Disabled" if number % 10 == 3 else "Enabled", "UUID": str(number)}

    def _alarm(self, number: int) -> Any:
        at = datetime.now(UTC) - timedelta(minutes=3)
        name = f"{self.queues[number].physical_name('test')}-oldest-message"
        return {"AlarmName": name, "StateReason": "Threshold crossed", "StateUpdatedTimestamp": at}


@dataclass
class Stage:
    """A stage of many queues."""

    queues: list[Queue]
    aws: Aws

    def screens(self, page: Page) -> dict[str, str]:
        """The URL of each screen, with something to show."""
        shown = page.json(f"/dead-letters/{PILE}")
        kind = shown["groups"][0]["kind"]
        of_kind = f"/dead-letters/{PILE}?kind={quote(kind)}"
        letter = page.json(f"/dead-letters/{PILE}", kind=kind)["letters"][0]["message_id"]
        handle = registry.tasks[f"{PILE}-task"].enqueue()
        return {
            "overview": "/",
            "queue": f"/queues/{PILE}",
            "dead letters": "/dead-letters",
            "letters of a queue": f"/dead-letters/{PILE}",
            "letters of a group": of_kind,
            "letter": f"/dead-letters/{PILE}/letter/{letter}",
            "preview of a redrive": f"/dead-letters/{PILE}/redrive",
            "preview of a discard": f"/dead-letters/{PILE}/discard",
            "jobs": "/jobs",
            "tasks": "/tasks",
            "task": f"/tasks/{PILE}-task",
            "find a task": "/status",
            "status": f"/status?ref={quote(handle.ref)}",
            "schedules": "/schedules",
            "outbox": "/outbox",
            "quarantine": "/quarantine",
            "activity": "/activity",
            "batches": "/batches",
        }


type Makes = Callable[[int], Stage]


def _fails(number: int = 1) -> None:
    """Send a bill."""
    raise Reject(f"bill {number}")


@pytest.fixture
def makes(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Makes:
    """Make a stage of so many queues. One of them has `LETTERS` dead letters, and says that it has a million."""

    def start(number: int) -> Stage:
        queues = [Queue(f"scale-{each:03}") for each in range(number)]
        tasks = {
            f"{queue.name}-task": task(queue, name=f"{queue.name}-task", cron="cron(0 3 ? * MON-FRI *)")(_fails)
            for queue in queues
        }
        monkeypatch.setattr(registry, "tasks", tasks)
        monkeypatch.setattr(registry, "queues", lambda: {queue.name: queue for queue in queues})
        _die(sandbox, queues)
        aws = Aws(queues)
        real = BaseClient._make_api_call  # type: ignore[attr-defined]
        pile = sqs.url(queues[0].dead_letter_name("test"))

        def call(self: Any, operation: str, arguments: Any) -> Any:
            begun = time.thread_time()
            try:
                answer = aws.says(operation, arguments) or real(self, operation, arguments)
                if operation == "GetQueueAttributes" and arguments["QueueUrl"] == pile:
                    answer["Attributes"] |= {
                        "ApproximateNumberOfMessages": str(MILLION),
                        "ApproximateNumberOfMessagesNotVisible": "0",
                    }
                return answer
            finally:
                with aws.lock:
                    aws.calls[operation] += 1
                    aws.seconds += time.thread_time() - begun

        monkeypatch.setattr(BaseClient, "_make_api_call", call)
        return Stage(queues, aws)

    return start


def _die(sandbox: Sandbox, queues: list[Queue]) -> None:
    """A letter that has died in each of some queues, and many like it in the first."""
    for queue in queues[:DEAD]:
        registry.tasks[f"{queue.name}-task"].enqueue()
    sandbox.drain()
    pile = queues[0].dead_letter_name("test")
    [one] = received(pile)
    body = msgspec.json.decode(one["Body"])
    for numbers in batched(range(LETTERS), 10):
        entries: Any = [
            {
                "Id": str(number),
                "MessageBody": msgspec.json.encode(body | {"id": f"letter-{number}"}).decode(),
            }
            for number in numbers
        ]
        client("sqs").send_message_batch(QueueUrl=sqs.url(pile), Entries=entries)


# What each screen asks of AWS when it is the first one that is opened: with one queue, and with a hundred.
CALLS = {
    "overview": (17, 215),
    "queue": (17, 215),
    "jobs": (0, 0),
    "tasks": (0, 0),
    "find a task": (0, 0),
    "status": (24, 24),
    "schedules": (1, 1),
    "outbox": (10, 10),
    "quarantine": (1, 1),
    "activity": (1, 1),
    "batches": (8, 8),
}
# The same for those that read letters: at most, because several threads read a queue until one of them has enough.
# The dead letters also ask for the last deploy, and a letter for the newest lines of the activity.
READING = 1 + 2 * (FIRST // 10 + WORKERS)
AT_MOST = {
    "dead letters": (2 + READING + len(STACKS), 200 + 25 * (1 + 3 * 2) + len(STACKS)),
    "letters of a queue": (READING + len(STACKS),) * 2,
    "letters of a group": (READING + len(STACKS),) * 2,
    "letter": (1 + 2 * (LETTERS // 10 + WORKERS) + 2,) * 2,
    "preview of a redrive": (READING,) * 2,
    "preview of a discard": (READING,) * 2,
    "task": (4 + READING, 202 + READING),
}


@pytest.mark.parametrize(("column", "number"), [(0, 1), (1, 100)])
def test_each_screen_asks_aws_for_no_more_than_it_shows(makes: Makes, opened: Opens, column: int, number: int) -> None:
    stage = makes(number)
    screens = stage.screens(opened().enter())
    assert screens.keys() == CALLS.keys() | AT_MOST.keys()
    for name, url in screens.items():
        page = opened().enter()
        stage.aws.calls.clear()
        page.html(url)
        made = stage.aws.calls.total()
        if name in CALLS:
            assert made == CALLS[name][column], (name, stage.aws.calls)
        else:
            assert made <= AT_MOST[name][column], (name, stage.aws.calls)
        stage.aws.calls.clear()
        page.html(url)
        again = stage.aws.calls.total()
        assert again <= MOST_AGAIN.get(name, 0), (name, stage.aws.calls)


# What is asked again when the same screen is opened at once a second time. All else is shared by all tabs.
MOST_AGAIN = {"letter": 2, "status": 3, "schedules": 1, "outbox": 9, "quarantine": 1, "activity": 1, "batches": 8}


def test_a_screen_of_a_hundred_queues_takes_little_time_and_weighs_little(makes: Makes, page: Page) -> None:
    stage = makes(100)
    for name, url in stage.screens(page).items():
        text, own = page.html(url), []
        for _ in range(3):
            stage.aws.seconds, begun = 0.0, time.process_time()
            page.html(url)
            own.append(time.process_time() - begun - stage.aws.seconds)
        files = {each: _zipped(page.browser.get(each).content) for each in _files(text)}
        whole = _zipped(text.encode()) + sum(files.values())
        print(f"{name}: {1000 * min(own):.1f} ms, {len(text)} bytes, zipped {whole}")  # noqa: T201 - for a report
        assert min(own) < OWN_SECONDS, name
        assert len(files) > 5
        assert whole < ZIPPED, name


def test_a_million_letters_are_read_in_parts_and_the_screen_says_so(makes: Makes, page: Page) -> None:
    stage = makes(100)
    stage.aws.calls.clear()
    shown = page.json(f"/dead-letters/{PILE}")
    assert (shown["read"], shown["total"]) == (FIRST, MILLION)
    assert sum(group["count"] for group in shown["groups"]) == FIRST
    assert stage.aws.calls["ReceiveMessage"] <= FIRST // 10 + WORKERS
    text = page.html(f"/dead-letters/{PILE}")
    assert "the first 500 of about 1\u202f000\u202f000" in text
    assert "are of the letters that were read, not of all" in text
    preview = page.json(f"/dead-letters/{PILE}/redrive")
    assert (preview["is_all"], preview["estimated"]) == (False, MILLION)
    some = page.json("/dead-letters")
    assert some["total"] == MILLION + DEAD - 1
    assert f"{some['unread']} more queues weren't read here" in page.html("/dead-letters").replace("&#39;", "'")
    assert len(some["groups"]) + some["unread"] == DEAD


def test_the_counts_of_many_queues_are_asked_for_side_by_side(
    makes: Makes, page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One after the other, two hundred calls of AWS would take some seconds."""
    makes(100)
    together, first = Barrier(AT_ONCE), list(range(AT_ONCE))
    real = BaseClient._make_api_call  # type: ignore[attr-defined]

    def call(self: Any, operation: str, arguments: Any) -> Any:
        if operation == "GetQueueAttributes":
            with suppress(IndexError):
                first.pop()
                together.wait(30)  # broken, and an error, if fewer come
        return real(self, operation, arguments)

    monkeypatch.setattr(BaseClient, "_make_api_call", call)
    assert len(page.json("/")["rows"]) == 100
    assert not together.broken
    assert first == []


def test_all_letters_are_all_where_the_screen_says_so(makes: Makes, page: Page) -> None:
    makes(2)
    text = page.html("/dead-letters/scale-001")
    assert "all 1" in text
    assert "not of all" not in text


def _files(text: str) -> set[str]:
    return set(re.findall(r'(?:src|href)="(/static/[^"]+)"', text))


def _zipped(content: bytes) -> int:
    return len(gzip.compress(content, LEVEL))
