"""Random histories of debounced tasks, on the real code: late, duplicated, reordered, killed, retried, redriven.

Whatever happens, the last arguments run to success, older ones never start after newer ones, and the sandbox gets
quiet.
"""

import os
import random
from datetime import timedelta

import pytest

from celeriac import Backoff, Concurrent, Debounce, Handle, Queue, Rate, Reject, task
from celeriac.aws import sqs
from celeriac.aws.client import client
from celeriac.declare.task import Task
from celeriac.testing import Sandbox, die

PERIOD, LONGEST = timedelta(seconds=5), timedelta(seconds=12)
SOON = Backoff(base=timedelta(seconds=2), jitter=0.5, attempts=3)
narrow = Queue("narrow-index", timeout=timedelta(seconds=20))
wide = Queue("wide-index", concurrency=10, timeout=timedelta(seconds=20))
HISTORIES = int(os.environ.get("HISTORIES", "12"))
"""How many there are of each kind. More of them are a matter of minutes."""

type Run = tuple[str, int]
type Sent = dict[str, tuple[int, Handle[None]]]
started: list[Run] = []
ended: list[Run] = []
chance = random.Random()  # noqa: S311 - no secret
trouble = 0.0


def _work(document: str, version: int) -> None:
    started.append((document, version))
    if chance.random() < trouble:
        match chance.randrange(4):
            case 0:
                die()
            case 1:
                raise Reject("for a redrive")
            case _:
                raise ConnectionError
    ended.append((document, version))


plainly = Debounce(PERIOD, by="document", max_wait=LONGEST)


@task(narrow, debounce=plainly, retry=SOON)
def index(document: str, version: int) -> None:
    _work(document, version)


@task(wide, debounce=plainly, retry=SOON)
def index_wide(document: str, version: int) -> None:
    _work(document, version)


@task(wide, debounce=plainly, retry=SOON, limits=[Rate("index", 1, per=timedelta(seconds=7), by="document")])
def index_slowly(document: str, version: int) -> None:
    _work(document, version)


@task(wide, debounce=plainly, retry=SOON, limits=[Concurrent("index-one", 1, by="document")])
def index_alone(document: str, version: int) -> None:
    _work(document, version)


@task(wide, debounce=plainly, retry=SOON, delivery="at_least_once")
def index_at_least(document: str, version: int) -> None:
    _work(document, version)


TASKS = [index, index_wide, index_slowly, index_alone, index_at_least]


@pytest.fixture(autouse=True)
def _empty() -> None:
    started.clear()
    ended.clear()


def _redrive(queue: Queue) -> bool:
    """Send all dead letters anew, in any order. Returns whether there were any."""
    name = queue.dead_letter_name("test")
    bodies = []
    while messages := client("sqs").receive_message(QueueUrl=sqs.url(name), MaxNumberOfMessages=10).get("Messages"):
        for message in messages:
            bodies.append(message["Body"])
            client("sqs").delete_message(QueueUrl=sqs.url(name), ReceiptHandle=message["ReceiptHandle"])
    chance.shuffle(bodies)
    for body in bodies:
        client("sqs").send_message(QueueUrl=sqs.url(queue.physical_name("test")), MessageBody=body)
    return bool(bodies)


def _play(sandbox: Sandbox, made: Task[[str, int], None, None], *, crashes: float) -> Sent:
    """Send messages of two documents, while workers die. Returns the last version and handle of each document."""
    last: Sent = {}
    for version in range(chance.randrange(2, 25)):
        document = chance.choice("ab")
        delay = chance.choice([timedelta()] * 6 + [timedelta(seconds=chance.randrange(1, 30))])
        with sandbox.producer(clock=chance.choice([timedelta(), timedelta(days=1), timedelta(days=-1)])):
            last[document] = version, made.options(delay=delay).enqueue(document, version)
        sandbox.advance(timedelta(milliseconds=chance.choice([1, 1, 1, 300, 2_000, 9_000])))
        if chance.random() < crashes:
            sandbox.crash_at(chance.randrange(0, 8), after=chance.random() < 0.5)
        match chance.randrange(6):
            case 0 | 1 | 2:
                sandbox.run_once()
            case 3 if crashes:
                sandbox.throttle(timedelta(seconds=chance.randrange(1, 90)))
            case 4 if crashes:
                _redrive(made.queue)
            case _:
                pass
    return last


@pytest.mark.parametrize("made", TASKS, ids=lambda made: made.name)
@pytest.mark.parametrize("seed", range(HISTORIES))
def test_the_last_arguments_run_and_older_ones_never_after_newer_ones(
    made: Task[[str, int], None, None], seed: int
) -> None:
    global trouble  # noqa: PLW0603 - the tasks' fate
    chance.seed(f"{made.name} {seed}")
    random.seed(seed)
    with Sandbox() as sandbox:
        trouble = chance.choice([0, 0.1, 0.4])
        sandbox.deliver(duplicates=chance.choice([0, 0.1, 0.5]), reorders=True, seed=seed)
        last = _play(sandbox, made, crashes=chance.choice([0, 0.2, 0.5]))
        sandbox.drain()
        trouble = 0
        while _redrive(made.queue):
            sandbox.drain()
        for document, (newest, handle) in last.items():
            versions = [version for of, version in started if of == document]
            assert versions == sorted(versions), (document, started)
            assert (document, newest) in ended, (document, started)
            if made.guarantee != "at_least_once":
                assert handle.status().state == "succeeded", (document, started, handle.status())
