"""Letters that the page keeps: so many, so many bytes, so long; and never while a job works on their queue."""

import tracemalloc
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from threading import Barrier, Event, Thread
from typing import Any

import msgspec
import pytest
from botocore.client import BaseClient

from celeriac import Queue, Reject, task
from celeriac.aws import sqs
from celeriac.aws.client import client
from celeriac.dead_letters import dead_letter
from celeriac.declare import registry
from celeriac.testing import Sandbox
from celeriac_console.dlq.queue_reader import Taken
from celeriac_console.web.letters import cache
from celeriac_console.web.letters.cache import ALL_BYTES, FIRST, KEPT, MOST_BYTES, REMEMBERED, Letters
from celeriac_console.web.letters.reading import size_of
from celeriac_console.web.letters.turns import JobAtWorkError, Turns
from tests.web.conftest import Page

barns = Queue("barns")
sheds = [Queue(f"sheds-{number}") for number in range(6)]
MIB = 1_048_576


@task(barns)
def page_barns(number: int) -> None:
    """Fail for good."""
    raise Reject(f"barn {number}")


for _shed in sheds:
    task(_shed, name=f"page_{_shed.name}")(page_barns.function)


def _large(queue: Queue, count: int, size: int = MIB) -> list[str]:
    """Letters of this size that SQS itself has moved. Returns their ids."""
    url = sqs.url(queue.dead_letter_name("test"))
    return [client("sqs").send_message(QueueUrl=url, MessageBody="x" * size)["MessageId"] for _ in range(count)]


def _die(sandbox: Sandbox, count: int) -> None:
    page_barns.enqueue_many({"number": number} for number in range(count))
    sandbox.drain()


@pytest.fixture
def at(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, int, Callable[[], object]], None]:
    """Do something before the call of this number, from now, of an operation."""
    real = BaseClient._make_api_call  # type: ignore[attr-defined]
    wanted: dict[str, tuple[int, Callable[[], object]]] = {}
    made: Counter[str] = Counter()

    def call(self: Any, operation: str, arguments: Any) -> Any:
        made[operation] += 1
        number, do = wanted.get(operation, (0, lambda: None))
        if made[operation] == number:
            do()
        return real(self, operation, arguments)

    monkeypatch.setattr(BaseClient, "_make_api_call", call)

    def start(operation: str, number: int, do: Callable[[], object]) -> None:
        made.clear()
        wanted[operation] = number, do

    return start


def test_large_letters_are_read_up_to_a_limit_and_each_is_still_found(page: Page, sandbox: Sandbox) -> None:
    ids = _large(barns, 40)
    shown = page.json("/dead-letters/barns")
    assert shown["total"] == 40
    assert shown["read"] == MOST_BYTES // MIB - 1
    assert shown["is_cut"]
    assert page.shared.letters.size <= MOST_BYTES
    text = page.html("/dead-letters/barns")
    assert "the first 31 of about 40" in text
    assert "they are large, so no more are read" in text
    assert "Read more" not in text
    assert "of about 40 letters" in page.html("/dead-letters/barns/redrive")
    for id_ in (ids[0], ids[-1]):
        assert page.json(f"/dead-letters/barns/letter/{id_}")["message_id"] == id_
    assert page.shared.letters.size <= ALL_BYTES


def test_what_is_dropped_for_room_is_read_again(page: Page, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "ALL_BYTES", 3 * MIB)
    for shed in sheds:
        _large(shed, 1)
        assert page.json(f"/dead-letters/{shed.name}")["read"] == 1
        assert page.shared.letters.size <= 3 * MIB
    before = sandbox.calls["sqs", "ReceiveMessage"]
    page.json(f"/dead-letters/{sheds[-1].name}")
    assert sandbox.calls["sqs", "ReceiveMessage"] == before
    assert page.json(f"/dead-letters/{sheds[0].name}")["read"] == 1
    assert sandbox.calls["sqs", "ReceiveMessage"] > before


def test_letters_that_are_opened_one_by_one_stay_within_the_limit(
    page: Page, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "MOST_BYTES", 2 * MIB)
    monkeypatch.setattr(cache, "ALL_BYTES", 8 * MIB)
    ids = _large(barns, 12)
    for id_ in ids:
        assert page.json(f"/dead-letters/barns/letter/{id_}")["message_id"] == id_
        assert page.shared.letters.size <= 4 * MIB


def test_all_queues_together_keep_no_more_than_one(page: Page, sandbox: Sandbox) -> None:
    for shed in sheds:
        _large(shed, 12)
    shown = page.json("/dead-letters")
    assert shown["total"] == 12 * len(sheds)
    assert len(sheds) <= shown["read"] <= MOST_BYTES // MIB
    assert page.shared.letters.size <= MOST_BYTES


def test_a_letter_is_shown_from_an_old_reading_but_not_for_ever(page: Page, sandbox: Sandbox) -> None:
    [id_] = _large(barns, 1, 100)
    _die(sandbox, FIRST // 10)
    page.json("/dead-letters/barns")
    reads = sandbox.calls["sqs", "ReceiveMessage"]
    sandbox.advance(KEPT * 2)
    page.json(f"/dead-letters/barns/letter/{id_}")
    assert sandbox.calls["sqs", "ReceiveMessage"] == reads
    page.json("/dead-letters/barns")
    assert sandbox.calls["sqs", "ReceiveMessage"] > reads
    reads = sandbox.calls["sqs", "ReceiveMessage"]
    sandbox.advance(REMEMBERED)
    page.json(f"/dead-letters/barns/letter/{id_}")
    assert sandbox.calls["sqs", "ReceiveMessage"] > reads


def test_a_letter_that_is_opened_by_its_link_is_read_once(page: Page, sandbox: Sandbox) -> None:
    _die(sandbox, 60)
    [letter] = [one for one in sandbox.dead_letters(barns) if one.args["number"] == 59]
    page.json(f"/dead-letters/barns/letter/{letter.id}")
    reads = sandbox.calls["sqs", "ReceiveMessage"]
    page.json(f"/dead-letters/barns/letter/{letter.id}", arguments="show")
    assert sandbox.calls["sqs", "ReceiveMessage"] == reads
    # That reading of one letter isn't taken for all.
    assert page.json("/dead-letters/barns")["read"] == 60
    assert page.browser.get("/dead-letters/barns/letter/nobody").status_code == 404


def test_while_a_job_works_its_queue_is_not_read(
    page: Page, sandbox: Sandbox, at: Callable[[str, int, Callable[[], object]], None]
) -> None:
    _die(sandbox, 120)
    seen: list[Any] = []

    def look() -> None:
        seen.append(page.json("/dead-letters/barns"))
        seen.append(page.html("/dead-letters/barns"))
        seen.append(page.browser.get("/dead-letters/barns/redrive").status_code)
        seen.append(page.browser.get("/dead-letters/barns/letter/some").text)
        seen.append(page.json("/dead-letters"))

    at("SendMessageBatch", 2, look)
    page.act("/dead-letters/barns/jobs", what="redrive")
    job = page.shared.jobs.get("1")
    job.join(30)
    shown, text, preview, letter, every = seen
    assert [each["number"] for each in shown["jobs"]] == [1]
    assert "letters" not in shown
    assert "aren't read meanwhile" in text
    assert "hx-get" in text  # it asks again, and shows the letters when the job has ended
    assert preview == 400
    assert "pause it, or wait" in letter
    assert (every["read"], every["groups"]) == (0, [])
    progress = job.progress()
    assert (progress.state, progress.count, progress.work.notes) == ("done", 120, [])
    assert page.json("/dead-letters/barns")["read"] == 0


def test_an_action_on_one_letter_waits_for_no_job_and_leaves_no_line(page: Page, sandbox: Sandbox) -> None:
    _die(sandbox, 1)
    [letter] = sandbox.dead_letters(barns)
    url = f"/dead-letters/barns/letter/{letter.id}"
    page.json(url)
    with page.shared.letters.job("barns"):
        assert "a job works on" in page.act(f"{url}/redrive", status=400)
        assert "a job works on" in page.act(f"{url}/discard", status=400)
    assert page.json("/activity")["lines"] == []
    page.act(f"{url}/discard")
    assert sandbox.dead_letters(barns) == []


def test_a_job_that_begins_during_a_read_misses_nothing(
    page: Page, sandbox: Sandbox, at: Callable[[str, int, Callable[[], object]], None]
) -> None:
    _die(sandbox, 60)
    at("ReceiveMessage", 2, lambda: page.act("/dead-letters/barns/jobs", what="redrive"))
    page.json("/dead-letters/barns")
    job = page.shared.jobs.get("1")
    job.join(30)
    progress = job.progress()
    assert (progress.state, progress.count, progress.work.notes) == ("done", 60, [])
    # What was read before the job's end isn't shown after it.
    assert page.json("/dead-letters/barns")["read"] == 0


def test_turns_follow_each_other_and_a_jobs_is_not_waited_for() -> None:
    turns, said, entered = Turns(), list[str](), Event()

    def job() -> None:
        with turns.long("a"):
            entered.set()
            said.append("job")

    with turns.short("a"):
        thread = Thread(target=job)
        thread.start()
        assert not entered.wait(0.05)
        with turns.short("b"):
            said.append("another queue")
        said.append("read")
    thread.join()
    assert said == ["another queue", "read", "job"]
    with turns.long("a"), pytest.raises(JobAtWorkError), turns.short("a"):
        pass
    with turns.short("a"):
        said.append("free again")


def test_eight_tabs_that_ask_at_once_read_a_queue_once(sandbox: Sandbox) -> None:
    _die(sandbox, 15)
    letters, barrier, found = Letters(), Barrier(8), list[int]()

    def ask() -> None:
        barrier.wait()
        found.append(len(letters.of(registry.queues()["barns"]).letters))

    threads = [Thread(target=ask) for _ in range(8)]
    before = sandbox.calls["sqs", "ReceiveMessage"]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert found == [15] * 8
    assert sandbox.calls["sqs", "ReceiveMessage"] - before == 2


@pytest.mark.parametrize(
    "args",
    [
        {"number": 1},
        {"text": "x" * 900_000},
        {"text": "ä€" * 150_000},
        {"numbers": list(range(100_000))},
        {"rows": [{"id": number, "name": "x"} for number in range(30_000)]},
    ],
)
def test_the_size_of_a_letter_is_about_its_memory(args: dict[str, Any]) -> None:
    body = msgspec.json.encode({"v": 1, "task": "page_barns", "id": "id-1", "args": args})

    def letter() -> Taken:
        message: Any = {"MessageId": "1", "Body": body.decode(), "Attributes": {"SentTimestamp": "1767225600000"}}
        return Taken(message, dead_letter.read("barns-dlq", message))

    assert letter().letter.args == args
    tracemalloc.start()
    try:
        kept = letter()
        used = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert 0.7 * used - 1000 < size_of(kept) < 4 * used + 1000


@pytest.mark.parametrize("count", [1, 12, 99])
def test_no_connection_waits_for_letters_that_a_short_queue_doesnt_have(
    page: Page, sandbox: Sandbox, count: int
) -> None:
    """A reader that finds nothing waits for a second, and the screen would wait for it."""
    _die(sandbox, count)
    before = sandbox.calls["sqs", "ReceiveMessage"]
    assert page.json("/dead-letters/barns")["read"] == count
    assert sandbox.calls["sqs", "ReceiveMessage"] - before == -(-count // 10)
    [letter, *_] = sandbox.dead_letters(barns)
    before = sandbox.calls["sqs", "ReceiveMessage"]
    page.act(f"/dead-letters/barns/letter/{letter.id}/redrive")
    # The pass that sends it, and the screen that follows.
    assert sandbox.calls["sqs", "ReceiveMessage"] - before <= 2 * -(-count // 10)


def test_a_clock_that_is_set_back_does_not_keep_letters_for_ever(page: Page, sandbox: Sandbox) -> None:
    _large(barns, 1, 10)
    page.json("/dead-letters/barns")
    before = sandbox.calls["sqs", "ReceiveMessage"]
    with sandbox._clock.wrong(timedelta(hours=-1)):
        page.json("/dead-letters/barns")
    assert sandbox.calls["sqs", "ReceiveMessage"] > before
