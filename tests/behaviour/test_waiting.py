"""What waiting for a limit is: no attempt, no age, bounded, and nobody else's business."""

import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from celeriac import Backoff, Breaker, Concurrent, Queue, Rate, Reject, Throttled, task
from celeriac.consume.admission import waits
from celeriac.flow import overrides, rows
from celeriac.flow.rows import Write
from celeriac.testing import Sandbox
from tests.support.redrive import redrive_as_aws_does

waiting_room = Queue("waiting-room", timeout=timedelta(minutes=1), batch_size=10)
waiting_line = Queue("waiting-line", fifo=True, timeout=timedelta(minutes=1))
hourly = Rate("hourly", 1, per=timedelta(hours=1))
narrow = Rate("narrow", 1, per=timedelta(seconds=10), by="who")
wide = Rate("wide", 1, per=timedelta(seconds=4))
desk = Concurrent("desk", 1, by="who")
fuse = Breaker("fuse", failures=1, of=1)
runs: list[tuple[datetime, object]] = []
raises: list[Exception] = []


@pytest.fixture(autouse=True)
def _empty() -> None:
    runs.clear()
    raises.clear()


def _run(what: object) -> None:
    runs.append((datetime.now(UTC), what))
    if raises:
        raise raises[0]


@task(waiting_room, limits=[hourly], retry=Backoff(give_up_after=timedelta(hours=2), attempts=2))
def seldom(number: int = 0) -> None:
    _run(number)


@task(waiting_room, limits=[hourly], delivery="at_least_once")
def seldom_plain(number: int = 0) -> None:
    _run(number)


@task(waiting_room, limits=[wide], delivery="at_most_once")
def only_once(number: int = 0) -> None:
    _run(number)


@task(waiting_room, limits=[wide], retry=Backoff(attempts=1))
def throttled(number: int = 0) -> None:
    _run(number)


@task(waiting_room, limits=[wide, narrow])
def both(who: str, blob: str = "") -> None:
    _run(who)


@task(waiting_line, limits=[wide])
def in_order(number: int) -> None:
    _run(number)


@task(waiting_room)
def unlimited() -> None:
    _run("unlimited")


@task(waiting_room, limits=[desk])
def at_desk(who: str) -> None:
    _run(who)


@task(waiting_room, limits=[fuse])
def fused() -> None:
    _run("fused")


def test_waiting_is_neither_an_attempt_nor_age(sandbox: Sandbox) -> None:
    handles = seldom.enqueue_many({"number": number} for number in range(5))
    sandbox.drain()
    times = [when for when, _ in runs]
    assert max(times) - min(times) >= timedelta(hours=4)  # twice as long as `give_up_after`
    assert {handle.status().attempts for handle in handles} == {1}
    assert sandbox.dead_letters(waiting_room) == []


def test_a_message_that_only_waits_is_never_looked_at_as_if_it_had_killed_a_worker(sandbox: Sandbox) -> None:
    seldom_plain.enqueue_many({"number": number} for number in range(2))
    sandbox.drain()
    assert len(runs) == 2
    assert sandbox.calls["dynamodb", "PutItem"] == 0  # no record, no visit
    assert sandbox.calls["dynamodb", "GetItem"] <= 70  # the quarantine and what operators set, once a minute


def test_what_an_invocation_sends_on_leaves_in_tens(sandbox: Sandbox) -> None:
    seldom.enqueue_many({"number": number} for number in range(10))
    before = sandbox.calls.copy()
    sandbox.run_once()
    assert (sandbox.calls - before)["sqs", "SendMessageBatch"] == 1
    assert (sandbox.calls - before)["sqs", "SendMessage"] == 0


def test_after_fourteen_days_it_is_a_dead_letter_and_a_redrive_begins_anew(sandbox: Sandbox) -> None:
    seldom.enqueue_many({"number": number} for number in range(2))
    sandbox.run_once()
    waits_on = (waits.LONGEST + timedelta(days=1)) // timedelta(microseconds=1)
    block = Write("", {":until": rows.now() + waits_on}, ["blocked = :until"])
    rows.update(rows.of_limit("hourly", ""), block, lives_until=rows.now() + waits_on)
    sandbox.drain()
    [letter] = sandbox.dead_letters(waiting_room)
    assert letter.failure is not None
    assert (letter.failure.reason, letter.failure.attempts) == ("waited too long", 0)
    redrive_as_aws_does(waiting_room)
    sandbox.drain()
    assert Counter(number for _, number in runs) == {0: 1, 1: 1}
    assert sandbox.dead_letters(waiting_room) == []


def test_a_redriven_letter_stands_at_the_end_of_the_line(sandbox: Sandbox) -> None:
    raises.append(Reject("not now"))
    seldom.enqueue(number=0)
    sandbox.run_once()
    raises.clear()
    seldom.enqueue(number=1)
    sandbox.run_once()
    redrive_as_aws_does(waiting_room)
    sandbox.drain()
    assert [number for _, number in runs] == [0, 1, 0]


def test_an_outage_of_the_table_starts_nothing_and_charges_nobody(sandbox: Sandbox) -> None:
    handle, other = both.enqueue(who="a"), unlimited.enqueue()
    with sandbox.outage("dynamodb", table="flow", code="InternalServerError", for_=timedelta(hours=3)):
        sandbox.run_once()
        sandbox.advance(timedelta(hours=1))
        sandbox.run_once()
        assert [what for _, what in runs] == ["unlimited"]
        assert other.status().state == "succeeded"
        sandbox.drain()
    assert handle.status().attempts == 1
    assert sandbox.dead_letters(waiting_room) == []


def test_a_role_that_may_not_read_many_items_at_once_reads_one_by_one(sandbox: Sandbox) -> None:
    with sandbox.outage("dynamodb", "BatchGetItem", code="AccessDeniedException"):
        both.enqueue_many({"who": who} for who in "abab")
        sandbox.drain()
    assert Counter(who for _, who in runs) == {"a": 2, "b": 2}


def test_a_throttled_item_is_a_short_wait_that_grows(sandbox: Sandbox) -> None:
    handle = seldom.enqueue()
    with sandbox.outage("dynamodb", "UpdateItem", table="flow", for_=timedelta(hours=2)):
        sandbox.drain()
    assert handle.status().attempts == 1
    assert sandbox.calls["sqs", "SendMessageBatch"] < 200  # about one in 68 seconds


def test_throttled_of_an_at_most_once_task_is_a_dead_letter(sandbox: Sandbox) -> None:
    raises.append(Throttled(retry_after=timedelta(seconds=5)))
    only_once.enqueue()
    sandbox.drain()
    [letter] = sandbox.dead_letters(waiting_room)
    assert letter.failure is not None
    assert letter.failure.reason == "throttled"
    assert len(runs) == 1


def test_twenty_times_throttled_is_charged_to_nobody_then_each_is_an_attempt(sandbox: Sandbox) -> None:
    raises.append(Throttled(retry_after=timedelta(seconds=5)))
    throttled.enqueue()
    sandbox.drain()
    [letter] = sandbox.dead_letters(waiting_room)
    assert letter.failure is not None
    assert (letter.failure.reason, letter.failure.attempts) == ("exhausted", 1)
    assert len(runs) == 21


def test_throttled_stops_everybody_who_names_the_limit(sandbox: Sandbox) -> None:
    raises.append(Throttled(retry_after=timedelta(minutes=5), limit=wide))
    throttled.enqueue()
    sandbox.run_once()
    raises.clear()
    begin = sandbox.now
    both.enqueue(who="a")
    sandbox.drain()
    assert all(when >= begin + timedelta(minutes=5) for when, _ in runs[1:])
    assert len(runs) == 3


def test_each_of_several_rates_is_exact(sandbox: Sandbox) -> None:
    both.enqueue_many({"who": who} for who in "aabbcc")
    sandbox.drain()
    times = sorted(when for when, _ in runs)
    assert len(times) == 6
    assert all(later - earlier >= timedelta(seconds=4) for earlier, later in pairwise(times))
    for who in "abc":
        first, second = (when for when, its in runs if its == who)
        assert second - first >= timedelta(seconds=10)


def test_a_group_waits_behind_its_head_in_place(sandbox: Sandbox) -> None:
    for number in range(5):
        in_order.options(group="g").enqueue(number=number)
    sandbox.drain()
    assert [number for _, number in runs] == [0, 1, 2, 3, 4]
    assert sandbox.dead_letters(waiting_line) == []
    assert sandbox.calls["sqs", "SendMessageBatch"] == 0


def test_large_arguments_wait_in_s3(sandbox: Sandbox) -> None:
    both.enqueue_many({"who": "a", "blob": "x" * 300_000} for _ in range(2))
    sandbox.drain()
    assert [what for _, what in runs] == ["a", "a"]


def test_a_stranger_who_writes_a_slot_gets_ahead_of_the_line_and_past_no_limit(sandbox: Sandbox) -> None:
    seldom.enqueue_many({"number": number} for number in range(3))
    sandbox.run_once()
    forged = {"task": "seldom", "args": {"number": 9}, "slots": {"hourly": 0}, "waited": 10**12, "v": 1}
    sandbox.send(waiting_room, json.dumps(forged))
    sandbox.drain()
    times = sorted(when for when, _ in runs)
    assert len(times) == 4
    assert all(later - earlier >= timedelta(hours=1) for earlier, later in pairwise(times))


def test_what_an_operator_sets_counts_within_a_minute(sandbox: Sandbox) -> None:
    overrides.put("hourly", overrides.Override(limit=60, per_microseconds=3_600_000_000))
    sandbox.advance(timedelta(minutes=1))
    seldom.enqueue_many({"number": number} for number in range(4))
    sandbox.drain()
    times = [when for when, _ in runs]
    assert timedelta(minutes=3) <= max(times) - min(times) < timedelta(minutes=6)


def test_a_breaker_that_is_held_open_lets_nobody_through(sandbox: Sandbox) -> None:
    overrides.put("fuse", overrides.Override(is_open=True))
    sandbox.advance(timedelta(minutes=1))
    fused.enqueue()
    sandbox.run_once()
    sandbox.advance(timedelta(hours=1))
    sandbox.run_once()
    assert runs == []
    overrides.lift("fuse")
    sandbox.drain()
    assert len(runs) == 1


def test_places_that_are_lowered_while_all_are_held_by_the_dead_are_found_again(sandbox: Sandbox) -> None:
    key = rows.of_limit("desk", at_desk.text_of(("who",), {"who": "a"}))
    dead = {f"token{number}": rows.now() + 1_000_000 for number in range(50)}
    rows.update(key, Write("", {":holders": dead}, ["holders = :holders"]))
    at_desk.enqueue(who="a")
    sandbox.drain()
    assert len(runs) == 1
