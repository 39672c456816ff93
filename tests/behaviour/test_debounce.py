"""Debounce: of messages that follow each other, the last one runs, once it has been quiet for a while."""

import copy
from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import msgspec
import pytest

import celeriac
from celeriac import Backoff, Context, Debounce, Queue, Rate, Reject, Retry, Superseded, task
from celeriac.aws import sqs
from celeriac.aws.client import client
from celeriac.consume import quarantine
from celeriac.declare import registry
from celeriac.declare.task import Task
from celeriac.flow import debounce, rows
from celeriac.flow.debounce import Newcomer, Pace
from celeriac.model.message import Message, decode, encode
from celeriac.testing import Call, Sandbox, every_fault
from tests.support.redrive import redrive_as_aws_does

PERIOD, LONGEST = timedelta(seconds=5), timedelta(seconds=12)
SOON = Backoff(base=timedelta(seconds=30), jitter=0, attempts=2)
search = Queue("search", timeout=timedelta(seconds=20))
wide = Queue("wide-search", concurrency=10, timeout=timedelta(seconds=20))
log: list[tuple[datetime, str]] = []
runs: list[Context] = []
errors: list[BaseException] = []
quiet = Debounce(PERIOD, by="document", max_wait=LONGEST)


@pytest.fixture(autouse=True)
def _empty() -> None:
    log.clear()
    runs.clear()
    errors.clear()


def _note(text: str) -> None:
    log.append((datetime.now(UTC), text))
    if errors:
        raise errors.pop(0)


def texts() -> list[str]:
    return [text for _, text in log]


@task(search, debounce=quiet, retry=SOON)
def index(ctx: Context, document: str, text: str = "") -> None:
    runs.append(ctx)
    _note(text)


@task(wide, debounce=quiet, retry=SOON)
def index_wide(document: str, text: str) -> None:
    _note(text)


@task(search, debounce=quiet, retry=Backoff(give_up_after=timedelta(seconds=2)))
def index_now_or_never(document: str, text: str) -> None:
    _note(text)


@task(search, debounce=quiet, limits=[Rate("searches", 1, per=timedelta(seconds=40))])
def index_slowly(document: str, text: str) -> None:
    _note(text)


@task(search, debounce=quiet, on="document-changed")
def index_changed(document: str, text: str) -> None:
    _note(text)


@task(search, debounce=quiet, delivery="at_most_once")
def index_once(document: str, text: str) -> None:
    _note(text)


def item_of(made: Task[..., None, None], document: str = "a") -> rows.Item:
    return rows.read(rows.of_debounce(made.queue.name, made.name, made.text_of(("document",), {"document": document})))


def test_of_a_burst_the_last_one_runs_once_it_is_quiet(sandbox: Sandbox) -> None:
    begin = sandbox.now
    for number in range(3):
        index.enqueue("a", str(number))
        sandbox.run_once()
        sandbox.advance(timedelta(seconds=1))
    sandbox.drain()
    assert log == [(begin + timedelta(seconds=2) + PERIOD, "2")]


def test_it_runs_by_max_wait_though_messages_keep_coming(sandbox: Sandbox) -> None:
    begin = sandbox.now
    for number in range(24):
        index.enqueue("a", str(number))
        sandbox.run_once()
        sandbox.advance(timedelta(seconds=1))
        sandbox.run_once()
    sandbox.drain()
    assert len(log) == 2
    assert log[0] == (begin + LONGEST, "11")
    assert texts()[-1] == "23"


def test_each_value_of_by_has_its_own_burst(sandbox: Sandbox) -> None:
    for document in "abc":
        index.enqueue(document, document)
    sandbox.drain()
    assert sorted(texts()) == ["a", "b", "c"]


def test_ten_of_an_invocation_share_a_write(sandbox: Sandbox) -> None:
    index_wide.enqueue_many({"document": "a", "text": str(number)} for number in range(10))
    before = sandbox.calls.copy()
    sandbox.run_once()
    assert sandbox.calls - before == Counter({("dynamodb", "UpdateItem"): 1, ("sqs", "SendMessage"): 1})
    sandbox.drain()
    assert sandbox.calls - before == Counter(
        {
            ("dynamodb", "UpdateItem"): 1 + 1 + 1,  # gathered, taken, done
            ("dynamodb", "GetItem"): 1,  # the tick
            ("dynamodb", "PutItem"): 1,  # claimed
            ("sqs", "SendMessage"): 1,
        }
    )
    assert texts() == ["9"]


def test_a_malformed_message_beside_others_is_a_letter_and_counts_for_nothing(sandbox: Sandbox) -> None:
    index_wide.enqueue("a", "good")
    sandbox.advance(timedelta(milliseconds=1))
    sandbox.send(wide, {"task": "index_wide", "args": {"document": "a"}, "text": "misplaced"})
    sandbox.drain()
    assert texts() == ["good"]
    assert [letter.failure.reason for letter in sandbox.dead_letters(wide) if letter.failure] == ["malformed"]


def test_it_runs_as_itself(sandbox: Sandbox) -> None:
    index.options(group="tenant-1").enqueue("a", "0")
    handle = index.options(key="k-1", group="tenant-2").enqueue("a", "1")
    sandbox.drain()
    (ctx,) = runs
    assert (ctx.id, ctx.key, ctx.attempt, ctx.group) == (handle.id, "index:k-1", 1, "tenant-2")
    assert handle.status().state == "succeeded"


def test_the_one_that_sqs_got_last_wins_whatever_the_clocks_say(sandbox: Sandbox) -> None:
    with sandbox.producer(clock=timedelta(days=1)):
        index.enqueue("a", "ahead")
    sandbox.advance(timedelta(milliseconds=1))
    with sandbox.producer(clock=-timedelta(days=1)):
        index.enqueue("a", "behind")
    sandbox.drain()
    assert texts() == ["behind"]


def test_messages_of_every_kind_are_gathered(sandbox: Sandbox) -> None:
    with celeriac.transaction() as tx:
        tx.enqueue(index_changed, "a", "by a transaction")
    sandbox.run_once()
    sandbox.advance(timedelta(milliseconds=1))
    with celeriac.transaction() as tx:
        tx.emit("document-changed", {"document": "a", "text": "by an event"})
    sandbox.run_once()
    sandbox.advance(timedelta(milliseconds=1))
    sandbox.send(search, {"task": "index_changed", "args": {"document": "a", "text": "by hand"}})
    sandbox.drain()
    assert texts() == ["by hand"]


def test_a_delayed_message_is_gathered_when_it_comes(sandbox: Sandbox) -> None:
    begin = sandbox.now
    index.options(delay=timedelta(minutes=10)).enqueue("a", "later")
    sandbox.drain()
    assert log == [(begin + timedelta(minutes=10) + PERIOD, "later")]


@pytest.mark.parametrize("late", [{"delay": timedelta(minutes=16)}, {"at": datetime(2027, 1, 1, tzinfo=UTC)}])
def test_a_longer_delay_is_refused(late: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="it is debounced, so it waits 15 minutes at most"):
        index.options(**late)  # type: ignore[arg-type]  # parametrized


def test_the_wait_for_quiet_is_no_age(sandbox: Sandbox) -> None:
    index_now_or_never.enqueue("a", "0")
    sandbox.drain()
    assert texts() == ["0"]


def test_a_retry_is_superseded_by_newer_arguments(sandbox: Sandbox) -> None:
    errors.append(ConnectionError())
    old = index.enqueue("a", "old")
    sandbox.advance(PERIOD)
    sandbox.run_once()
    sandbox.advance(PERIOD)
    sandbox.run_once()
    assert (texts(), old.status().state) == (["old"], "retrying")
    index.enqueue("a", "new")
    sandbox.drain()
    assert texts() == ["old", "new"]
    assert old.status().state == "superseded"
    with pytest.raises(Superseded, match="newer arguments have come"):
        old.result()


def test_a_retry_is_superseded_while_the_newer_burst_is_open(sandbox: Sandbox) -> None:
    errors.append(ConnectionError())
    index.enqueue("a", "old")
    sandbox.advance(PERIOD)
    sandbox.run_once()
    sandbox.advance(PERIOD)
    sandbox.run_once()
    assert texts() == ["old"]
    sandbox.advance(timedelta(seconds=28))  # its retry comes after 30 s
    index.enqueue("a", "new")
    sandbox.run_once()
    sandbox.drain()
    assert texts() == ["old", "new"]


@pytest.mark.parametrize("by_max_wait", [False, True])
def test_a_message_that_comes_between_read_and_take(sandbox: Sandbox, *, by_max_wait: bool) -> None:
    index.enqueue("a", "first")
    sandbox.run_once()
    first = item_of(index)
    key = rows.of_debounce("search", "index", index.text_of(("document",), {"document": "a"}))
    at_the_take: list[datetime] = []

    def gather_another(call: Call) -> object:
        if "taker" in str(call.arguments.get("UpdateExpression")) and not at_the_take:
            at_the_take.append(sandbox.now)
            newer = Message(
                id="newer",
                task="index",
                args=msgspec.Raw(b'{"document":"a","text":"newer"}'),
                enqueued_at=sandbox.now,
            )
            debounce.gather(key, Newcomer(newer, encode(newer)), Pace(PERIOD, LONGEST))
        return call.make()

    if by_max_wait:
        sandbox.advance(LONGEST)
    with sandbox.fault(gather_another):
        sandbox.drain()
    assert texts() == ["newer"]
    (ran_at, _), (taken_at,) = log[0], at_the_take
    assert ran_at == (taken_at if by_max_wait else taken_at + PERIOD)
    assert first["tick"] == item_of(index)["taker"]


def test_a_retry_without_newer_arguments_runs(sandbox: Sandbox) -> None:
    errors.append(Retry(charge=False))
    errors.append(ConnectionError())
    handle = index.enqueue("a", "0")
    sandbox.drain()
    assert texts() == ["0", "0", "0"]
    assert handle.status().attempts == 2


def test_a_redriven_letter_runs_or_is_superseded(sandbox: Sandbox) -> None:
    errors.append(Reject("no"))
    index.enqueue("a", "old")
    sandbox.drain()
    (letter,) = sandbox.dead_letters(search)
    assert decode(letter.body).args  # people can read what didn't work
    redrive_as_aws_does(search)
    sandbox.drain()
    assert texts() == ["old", "old"]

    errors.append(Reject("no"))
    index.enqueue("b", "older")
    sandbox.drain()
    index.enqueue("b", "newer")
    sandbox.drain()
    redrive_as_aws_does(search)
    sandbox.drain()
    assert texts()[2:] == ["older", "newer"]
    assert sandbox.dead_letters(search) == []


def test_what_an_enqueue_returned_knows_that_it_is_superseded(sandbox: Sandbox) -> None:
    old = index.enqueue("a", "old")
    sandbox.advance(timedelta(milliseconds=1))
    new = index.enqueue("a", "new")
    assert [old.status().state, new.status().state] == ["queued", "queued"]
    sandbox.run_once()
    assert [old.status().state, new.status().state] == ["superseded", "queued"]
    sandbox.drain()
    assert [old.status().state, new.status().state] == ["superseded", "succeeded"]
    assert celeriac.handle(old.ref).status().state == "queued"


def test_in_quarantine_each_message_is_a_letter_and_redriven_the_last_one_runs(sandbox: Sandbox) -> None:
    quarantine.add(quarantine.of_task("index"))
    quarantine.refresh()
    with sandbox.producer(clock=timedelta(days=1)):
        index.enqueue("a", "0")
    for number in range(1, 4):
        sandbox.advance(timedelta(milliseconds=1))
        index.enqueue("a", str(number))
    sandbox.drain()
    letters = sandbox.dead_letters(search)
    assert len(letters) == 4
    quarantine.lift(quarantine.of_task("index"))
    quarantine.refresh()
    dead, source = (sqs.url(name) for name in (search.dead_letter_name("test"), search.physical_name("test")))
    client("sqs").purge_queue(QueueUrl=dead)
    for letter in reversed(letters):
        sandbox.advance(timedelta(milliseconds=1))
        client("sqs").send_message(QueueUrl=source, MessageBody=letter.body)
    sandbox.drain()
    assert texts() == ["3"]


def test_a_burst_that_ends_in_quarantine_leaves_the_letter_of_its_last_message(sandbox: Sandbox) -> None:
    index.enqueue("a", "0")
    sandbox.run_once()
    quarantine.add(quarantine.of_task("index"))
    quarantine.refresh()
    sandbox.drain()
    (letter,) = sandbox.dead_letters(search)
    assert b'"0"' in bytes(decode(letter.body).args)
    quarantine.lift(quarantine.of_task("index"))
    quarantine.refresh()
    index.enqueue("a", "1")  # waits for no tick that lies among the letters
    sandbox.drain()
    assert texts() == ["1"]


def test_a_burst_that_waits_for_a_limit_goes_on_gathering(sandbox: Sandbox) -> None:
    begin = sandbox.now
    for number in range(100):
        index_slowly.enqueue("a", str(number))
        sandbox.run_once()
        sandbox.advance(timedelta(seconds=1))
        sandbox.run_once()
    sandbox.drain()
    times = [at - begin for at, _ in log]
    assert all(later - earlier >= timedelta(seconds=40) for earlier, later in pairwise(times))
    assert len(times) >= 3
    assert texts() == sorted(texts(), key=int)
    assert texts()[-1] == "99"
    assert all(int(text) >= at.total_seconds() - 2 for (text, at) in zip(texts()[:-1], times, strict=False))


def test_large_arguments_lie_in_the_bucket(sandbox: Sandbox) -> None:
    index.enqueue("a", "x" * 50_000)
    sandbox.run_once()
    assert len(str(item_of(index)["body"])) < 1_000
    sandbox.drain()
    assert texts() == ["x" * 50_000]


def test_a_tick_that_somebody_deleted_is_sent_anew_after_a_day(sandbox: Sandbox) -> None:
    index.enqueue("a", "0")
    sandbox.run_once()
    client("sqs").purge_queue(QueueUrl=sqs.url(search.physical_name("test")))
    sandbox.drain()
    index.enqueue("a", "1")
    sandbox.drain()
    assert texts() == []
    sandbox.advance(timedelta(days=1) + LONGEST + timedelta(seconds=1))
    index.enqueue("a", "2")
    sandbox.drain()
    assert texts() == ["2"]


def test_an_item_that_has_expired_counts_for_nothing(sandbox: Sandbox) -> None:
    index.enqueue("a", "0")
    sandbox.run_once()
    client("sqs").purge_queue(QueueUrl=sqs.url(search.physical_name("test")))
    sandbox.advance(timedelta(days=40))
    index.enqueue("a", "1")
    sandbox.drain()
    assert texts() == ["1"]


def test_a_tick_runs_what_is_left_after_a_release_without_debounce(sandbox: Sandbox) -> None:
    index_wide.enqueue("a", "0")
    sandbox.run_once()
    registry.tasks["index_wide"].debounce = None
    try:
        index_wide.enqueue("b", "1")
        sandbox.drain()
    finally:
        registry.tasks["index_wide"].debounce = quiet
    assert sorted(texts()) == ["0", "1"]


def test_a_tick_of_nobody_does_nothing(sandbox: Sandbox) -> None:
    tick = f"{'0' * 32}.{'1' * 32}"
    sandbox.send(search, {"v": 3, "task": "index", "id": tick, "tick": tick})
    sandbox.drain()
    assert (texts(), sandbox.dead_letters(search)) == ([], [])


def test_an_at_most_once_task_runs_once_for_a_burst(sandbox: Sandbox) -> None:
    errors.append(ConnectionError())
    for number in range(3):
        index_once.enqueue("a", str(number))
    sandbox.drain()
    assert texts() == ["2"]
    assert len(sandbox.dead_letters(search)) == 1


def _thirty_in_twenty_seconds(sandbox: Sandbox) -> None:
    """A third of them comes from a producer whose clock is a day ahead."""
    for number in range(30):
        with sandbox.producer(clock=timedelta(days=number % 3 == 0)):
            index.enqueue("a", str(number))
        sandbox.run_once()
        sandbox.advance(timedelta(seconds=20) / 30)
        sandbox.run_once()


def test_thirty_messages_without_any_fault(sandbox: Sandbox) -> None:
    begin = sandbox.now
    _thirty_in_twenty_seconds(sandbox)
    sandbox.drain()
    assert log[0][0] - begin < LONGEST + timedelta(seconds=1)  # the test's own steps are 667 ms
    assert texts()[-1] == "29"
    assert len(texts()) == 2


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("call", range(0, 60, 4))
def test_thirty_messages_and_a_worker_that_dies(sandbox: Sandbox, call: int, *, after: bool) -> None:
    # Old messages come again, up to five minutes later, and so after the run.
    sandbox.deliver(duplicates=0.2, reorders=True, seed=call)
    sandbox.crash_at(call, after=after)
    _thirty_in_twenty_seconds(sandbox)
    sandbox.drain()
    numbers = [int(text) for text in texts()]
    assert numbers == sorted(numbers)
    assert numbers[-1] == 29


def test_whatever_happens_to_one_call() -> None:
    def scenario(sandbox: Sandbox) -> None:
        log.clear()
        errors[:] = [ConnectionError()]  # the last one runs twice
        for number in range(3):
            index.enqueue("a", str(number))
            sandbox.run_once()
            sandbox.advance(timedelta(seconds=2))

    runs_of_it = every_fault(scenario)
    for sandbox in runs_of_it:
        assert texts() == sorted(texts()), runs_of_it.story
        assert texts()[-1] == "2", runs_of_it.story
        assert sandbox.dead_letters(search) == [], runs_of_it.story
        assert "tick" not in item_of(index), runs_of_it.story


@pytest.mark.parametrize("seed", range(10))
def test_the_last_arguments_run_though_a_deploy_is_under_way(sandbox: Sandbox, seed: int) -> None:
    before = copy.copy(index)
    before.debounce = None
    sandbox.deliver(duplicates=0.3, reorders=True, seed=seed)
    with sandbox.rollout([before]):
        for number in range(12):
            index.enqueue("a", str(number))
            sandbox.run_once()
            sandbox.advance(timedelta(seconds=1 + seed / 4))
        sandbox.drain()
    assert "11" in texts()
    assert "tick" not in item_of(index)
