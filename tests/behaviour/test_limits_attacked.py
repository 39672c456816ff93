"""What an attack on the limits has found: operators, strangers, outages and long tasks that bend a limit or a wait."""

import json
import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from threading import Event
from typing import Any

import pytest

from celeriac import Backoff, Breaker, Concurrent, Queue, Rate, Throttled, task
from celeriac.flow import overrides, rate, rows
from celeriac.flow.rows import Write
from celeriac.testing import Call, Sandbox

attacked = Queue("attacked", timeout=timedelta(minutes=1), batch_size=10)
attacked_wide = Queue("attacked-wide", timeout=timedelta(minutes=1), batch_size=10, concurrency=2)
attacked_line = Queue("attacked-line", fifo=True, timeout=timedelta(minutes=1))
brief = Queue("attacked-brief", timeout=timedelta(seconds=2), batch_size=10)
ten_seconds = Rate("a-ten-seconds", 1, per=timedelta(seconds=10))
of_whom = Rate("a-of-whom", 1, per=timedelta(seconds=10), by="who")
daily = Rate("a-daily", 1, per=timedelta(days=1), burst=10)
cell = Concurrent("a-cell", 1)
wire = Breaker("a-wire", failures=2, of=10)
DAY = 86_400 * 1_000_000
runs: list[tuple[datetime, object]] = []
raises: list[Exception] = []
passes: list[Callable[[timedelta], None]] = []
sent_on = Event()


@pytest.fixture(autouse=True)
def _empty() -> None:
    runs.clear()
    raises.clear()
    passes.clear()
    sent_on.clear()


def _run(what: object) -> None:
    runs.append((datetime.now(UTC), what))
    if raises:
        raise raises[0]


@task(attacked, limits=[ten_seconds])
def crawl_one(number: int = 0) -> None:
    _run(number)


@task(attacked, limits=[daily])
def report(number: int = 0) -> None:
    _run(number)


@task(attacked, limits=[cell])
def lock_up(number: int = 0) -> None:
    _run(number)


@task(attacked, limits=[wire])
def wired(number: int = 0) -> None:
    _run(number)


@task(attacked, limits=[of_whom])
def of_some(who: list[str], number: int = 0) -> None:
    who.append("changed by the task")
    _run(f"{number} {sent_on.is_set()}")


@task(attacked_wide, limits=[ten_seconds], delivery="at_least_once")
def long_one(number: int = 0) -> None:
    _run(sent_on.wait(10))


@task(attacked_line, limits=[ten_seconds])
def stand(number: int = 0) -> None:
    _run(number)


@task(
    attacked_line,
    limits=[ten_seconds],
    retry=Backoff(base=timedelta(minutes=10), factor=1, attempts=100, give_up_after=timedelta(hours=2)),
)
def stand_or_give_up(number: int = 0) -> None:
    _run(number)


@task(brief, delivery="at_least_once")
def slow_one() -> None:
    _run("slow")
    passes[0](timedelta(seconds=1.25))


@task(brief, limits=[of_whom], timeout=timedelta(milliseconds=500))
def hurried(who: str) -> None:
    _run(who)


def _item(key: str, **attributes: object) -> None:
    """Write attributes of an item, as they may stand there."""
    values = {f":{name}": value for name, value in attributes.items()}
    rows.update(key, Write("", values, [f"{name} = :{name}" for name in attributes]), lives_until=None)


def _note_sends(call: Call) -> Any:
    answer = call.make()
    if call.operation == "SendMessageBatch":
        sent_on.set()
    return answer


def test_a_newcomer_behind_a_short_line_tries_no_write_in_vain(sandbox: Sandbox) -> None:
    _item(rows.of_limit("a-ten-seconds", ""), promised=rows.now() + 500_000)
    crawl_one.enqueue()
    before = sandbox.calls.copy()
    sandbox.run_once()
    assert (sandbox.calls - before)["dynamodb", "UpdateItem"] == 1  # its slot


def test_no_write_lets_an_item_die_before_the_starts_that_it_holds(sandbox: Sandbox) -> None:
    report.enqueue_many({"number": number} for number in range(10))
    sandbox.run_once()
    raises.append(Throttled(retry_after=timedelta(seconds=1)))
    key = rows.of_limit("a-daily", "")
    assert int(rows.read(key)["spent"]) >= rows.now() + 10 * DAY
    holds = rate.holds_until(rate.Line(0, 0, 0), overrides.pace_of(daily), rows.now())
    rate.block(key, rows.now() + 1, holds=holds)
    report.enqueue(number=11)
    sandbox.run_once()  # takes a slot, tomorrow
    item = rows.read(key)
    assert int(item["promised"]) > rows.now()
    assert int(item["expires_at"]) * 1_000_000 > int(item["spent"])


def test_a_throttled_task_lets_an_item_live_as_long_as_its_starts(sandbox: Sandbox) -> None:
    raises.append(Throttled(retry_after=timedelta(seconds=1)))
    report.enqueue_many({"number": number} for number in range(10))
    sandbox.run_once()
    item = rows.read(rows.of_limit("a-daily", ""))
    assert "blocked" in item
    assert int(item["expires_at"]) * 1_000_000 > int(item["spent"])


def test_no_batch_promises_slots_beyond_the_horizon(sandbox: Sandbox) -> None:
    key = rows.of_limit("a-cell", "")
    rows.update(key, Write("", {":map": {"t": rows.now() + 1_000_000}}, ["holders = :map"]))
    _item(key, held=600_000_000)  # somebody held it for ten minutes once
    lock_up.enqueue_many({"number": number} for number in range(10))
    sandbox.run_once()
    assert int(rows.read(key)["promised"]) <= rows.now() + rate.HORIZON // timedelta(microseconds=1) + 600_000_000
    sandbox.drain()
    assert len(runs) == 10


def test_a_breaker_whose_item_expired_and_still_lies_there_counts_anew(sandbox: Sandbox) -> None:
    key = rows.of_limit("a-wire", "")
    now = rows.now()
    _item(key, open_until=now - 3 * DAY, opened_at=now - 3 * DAY, failed=7, expires_at=(now - DAY) // 1_000_000)
    raises.append(ValueError())
    wired.enqueue_many({"number": number} for number in range(4))
    sandbox.run_once()
    assert len(runs) == 2
    assert int(rows.read(key)["open_until"]) > rows.now()


@pytest.mark.parametrize("written", ['{"limit":-5,"per_microseconds":1000000}', '{"limit":0}', '{"limit":1e99}'])
def test_an_override_with_nonsense_is_none(sandbox: Sandbox, written: str, caplog: pytest.LogCaptureFixture) -> None:
    names = {"#name": "of_a-ten-seconds"}
    rows.update(rows.OVERRIDES, Write("", {":o": written}, ["#name = :o"], names=names), lives_until=None)
    overrides.forget()
    with caplog.at_level(logging.WARNING):
        assert overrides.of("a-ten-seconds") is None
    assert "override of a limit can't be read" in caplog.text


@pytest.mark.parametrize("ahead", [timedelta(minutes=10), timedelta(days=10_000)])
def test_a_slot_in_a_line_that_was_reset_keeps_nobody_waiting(sandbox: Sandbox, ahead: timedelta) -> None:
    slot = (rows.now() + ahead // timedelta(microseconds=1)) // 1_000
    sandbox.send(attacked, json.dumps({"task": "crawl_one", "args": {}, "slots": {"a-ten-seconds": slot}, "v": 1}))
    sandbox.run_once()
    assert len(runs) == 1


def test_a_slot_as_large_as_no_date_is_none(sandbox: Sandbox) -> None:
    sandbox.send(attacked, json.dumps({"task": "crawl_one", "args": {}, "slots": {"a-ten-seconds": 10**30}, "v": 1}))
    sandbox.run_once()
    assert len(runs) == 1


def test_a_hot_item_for_hours_uses_up_no_receives_of_a_group(sandbox: Sandbox) -> None:
    stand.options(group="g").enqueue()
    with sandbox.outage("dynamodb", "BatchGetItem", for_=timedelta(hours=4)):
        sandbox.drain()
    assert len(runs) == 1
    assert sandbox.dead_letters(attacked_line) == []
    assert sandbox.calls["sqs", "ChangeMessageVisibilityBatch"] < 400


def test_items_that_dynamodb_leaves_out_again_and_again_are_a_short_wait(sandbox: Sandbox) -> None:
    def leave_out(call: Call) -> Any:
        answer = call.make()
        if call.operation != "BatchGetItem":
            return answer
        return answer | {"Responses": {}, "UnprocessedKeys": call.arguments["RequestItems"]}

    crawl_one.enqueue()
    with sandbox.fault(leave_out):
        sandbox.run_once()
    assert sandbox.calls["sqs", "SendMessageBatch"] == 1  # sent on, and not received again
    sandbox.drain()
    assert len(runs) == 1


def test_who_waits_is_sent_on_before_the_only_lane_runs_another_task(sandbox: Sandbox) -> None:
    for number, who in enumerate("aab"):
        of_some.enqueue(who=[who], number=number)
    with sandbox.fault(_note_sends):
        sandbox.run_once()
    assert [what for _, what in runs] == ["0 False", "2 True"]  # the second waits, and has left before the third runs


def test_who_waits_is_sent_on_while_others_run_for_long(sandbox: Sandbox) -> None:
    long_one.enqueue_many({"number": number} for number in range(4))
    with sandbox.fault(_note_sends):
        sandbox.run_once()
    assert [was_sent for _, was_sent in runs] == [True]


def test_throttled_blocks_the_limit_that_let_it_in_though_the_task_changed_its_arguments(sandbox: Sandbox) -> None:
    raises.append(Throttled(retry_after=timedelta(minutes=5)))
    of_some.enqueue(who=["a"])
    sandbox.run_once()
    key = rows.of_limit("a-of-whom", of_some.text_of(("who",), {"who": ["a"]}))
    assert int(rows.read(key)["blocked"]) > rows.now()


def test_a_lane_sleeps_no_longer_than_its_worker_lives(sandbox: Sandbox) -> None:
    passes.append(sandbox.advance)
    key = rows.of_limit("a-of-whom", hurried.text_of(("who",), {"who": "a"}))
    _item(key, spent=rows.now() + 2_150_000)  # 0.9 s after the first has ended, and its worker lives for 2 s
    slow_one.enqueue()
    hurried.enqueue(who="a")
    sandbox.drain()
    assert [what for _, what in runs] == ["slow", "a"]


def test_on_a_fifo_queue_only_waits_are_no_age(sandbox: Sandbox) -> None:
    stand_or_give_up.options(group="g").enqueue(number=0)
    stand_or_give_up.options(group="h").enqueue(number=1)  # it waits for ten seconds, and then fails for hours
    raises.append(ValueError())
    sandbox.drain()
    letters = sandbox.dead_letters(attacked_line)
    assert [letter.failure.reason for letter in letters if letter.failure is not None] == ["expired", "expired"]
    assert sandbox.now < runs[0][0] + timedelta(hours=3)


def test_a_limit_that_was_raised_keeps_nobody_waiting_for_what_was_slow_before(sandbox: Sandbox) -> None:
    report.enqueue_many({"number": number} for number in range(12))
    sandbox.run_once()
    assert len(runs) == 10
    sandbox.limits.set(daily, 100)
    sandbox.advance(timedelta(minutes=15))
    begin = sandbox.now
    report.enqueue(number=20)
    sandbox.drain()
    assert len(runs) == 13
    assert max(when for when, _ in runs) <= begin + timedelta(minutes=15)
