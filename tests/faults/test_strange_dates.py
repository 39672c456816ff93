"""A date in a message is a stranger's word: it is a hint, and no date lets a message live for ever, or end unseen."""

import json
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from celeriac import Backoff, Context, Queue, Retry, task
from celeriac.aws import sqs
from celeriac.aws.attributes import FAILURE_ATTRIBUTE, FIRST_SENT_AT, MORE
from celeriac.aws.client import client
from celeriac.model.failure import Failure
from celeriac.testing import Sandbox
from celeriac.testing.account import lying_in
from celeriac.testing.sandbox import START

# The retention is 12 hours because moto, unlike SQS, hides a message for no longer than 12 hours after its send.
PATIENCE, RETENTION = timedelta(hours=1), timedelta(hours=12)
plain = Queue("dates", patience=PATIENCE, retention=RETENTION, batch_size=10)
ordered = Queue("dates-in-order", fifo=True, patience=PATIENCE, retention=RETENTION, batch_size=10)
ran: Counter[str] = Counter()


@pytest.fixture(autouse=True)
def _empty() -> None:
    ran.clear()


@task(plain)
def work(ctx: Context) -> None:
    ran[ctx.id] += 1


@task(ordered)
def work_in_order(ctx: Context) -> None:
    ran[ctx.id] += 1


@task(plain)
def wait(ctx: Context) -> None:
    ran[ctx.id] += 1
    raise Retry("the bank is closed", delay=timedelta(hours=4), charge=False)


@task(ordered)
def wait_in_order(ctx: Context) -> None:
    ran[ctx.id] += 1
    raise Retry("the bank is closed", delay=timedelta(hours=4), charge=False)


@task(plain, retry=Backoff(attempts=1_000, cap=timedelta(minutes=30), give_up_after=timedelta(hours=3)))
def fail(ctx: Context) -> None:
    ran[ctx.id] += 1
    raise ConnectionError


DATES: dict[str, object] = {
    "epoch seconds": 1767225600,
    "epoch milliseconds": 1767225600000,
    "epoch as text": "1767225600",
    "words": "soon",
    "day": "2026-01-01",
    "year 9999": "9999-12-31T23:59:59.999999Z",
    "year 9999 west": "9999-12-31T23:59:59.999999-23:59",
    "year 1": "0001-01-01T00:00:00Z",
    "year 1 east": "0001-01-01T00:00:00+23:59",
    "no zone": "2026-01-01T00:00:00",
    "no zone, future": "2999-01-01T00:00:00",
    "offset": "2026-01-01T05:30:00+05:30",
    "a second": (START + timedelta(seconds=1)).isoformat(),
    "an hour": (START + timedelta(hours=1)).isoformat(),
    "years": "2999-01-01T00:00:00+00:00",
    "February": "2026-02-30T00:00:00+00:00",
    "leap second": "2026-01-01T00:00:60Z",
}
FIELDS = ["enqueued_at", "waits_since", "failure.first_at", "failure.last_at"]
# Waits of four hours for half a day, or of at most half an hour for three hours.
MOST_RUNS = 12


def _body(task_name: str, field: str, date: object, case: str) -> dict[str, object]:
    outer, _, inner = field.partition(".")
    value = {"reason": "exhausted", "type": "E", "request_id": "r", inner: date} if inner else date
    return {"task": task_name, "id": case, outer: value}


def _live(sandbox: Sandbox, queue: Queue, *, for_: timedelta = 2 * RETENTION) -> None:
    """Let virtual days pass. Whatever is in the queue must be gone by then, without SQS's help."""
    until = sandbox.now + for_
    while sandbox.now < until:
        sandbox.run_once()
        sandbox.advance(timedelta(minutes=15))
    assert lying_in(sqs.url(queue.physical_name("test"))) == []


@pytest.mark.parametrize(
    ("name", "queue"),
    [
        *(("work", plain), ("wait", plain), ("fail", plain), ("unheard", plain)),
        *(("work_in_order", ordered), ("wait_in_order", ordered), ("unheard", ordered)),
    ],
)
def test_a_message_with_any_date_in_a_field_ends_and_is_seen(sandbox: Sandbox, name: str, queue: Queue) -> None:
    cases = [f"{field} {case}" for field in FIELDS for case in DATES]
    for number, case in enumerate(cases):
        field, _, date = case.partition(" ")
        sandbox.send(queue, _body(name, field, DATES[date], case), group=str(number) if queue.fifo else None)
    _live(sandbox, queue)

    letters = {json.loads(letter.body)["id"]: letter for letter in sandbox.dead_letters(queue)}
    for case in cases:
        letter = letters.get(case)
        assert ran[case] <= MOST_RUNS, case
        if letter is None:
            assert (name[:4], ran[case]) == ("work", 1), case
        else:
            assert letter.failure is not None, case
            # A date that can't be read makes the message malformed. A past one may have used up the time.
            assert letter.failure.reason in {"malformed", "expired", "unknown task"}, case


def _attributes(name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for case, date in DATES.items():
        yield case, {name: {"DataType": "String", "StringValue": str(date)}}
        yield case, {name: {"DataType": "String", "StringValue": json.dumps({"reason": "x", "last_at": date})}}
    yield "number", {name: {"DataType": "Number", "StringValue": "1767225600"}}
    yield "date as number", {name: {"DataType": "Number", "StringValue": "20260101"}}
    yield "binary", {name: {"DataType": "Binary", "BinaryValue": b"\xff\x00"}}
    yield "custom", {name: {"DataType": "String.date", "StringValue": "2999-01-01T00:00:00+00:00"}}


@pytest.mark.parametrize("body", ['{"task": "work"}', '{"task": "unheard"}', '{"v": 99}', "nonsense"])
@pytest.mark.parametrize(
    "name", [FIRST_SENT_AT, FAILURE_ATTRIBUTE, MORE, "first_sent_at", "failure", "more_attributes"]
)
def test_a_message_with_any_date_in_an_attribute_ends_and_is_seen(sandbox: Sandbox, body: str, name: str) -> None:
    cases = list(_attributes(name))
    for _, attributes in cases:
        sqs.send(plain.physical_name("test"), sqs.Entry(body, attributes=attributes))
    _live(sandbox, plain, for_=PATIENCE + timedelta(hours=1))

    reason = {'{"task": "unheard"}': "unknown task", '{"v": 99}': "newer version", "nonsense": "malformed"}.get(body)
    if reason is None:
        assert sum(ran.values()) == len(cases)
        return
    letters = sandbox.dead_letters(plain)
    assert [letter.failure.reason for letter in letters if letter.failure] == [reason] * len(cases)
    if name in {FIRST_SENT_AT, FAILURE_ATTRIBUTE}:
        assert not any(letter.attributes for letter in letters)
    else:
        kept = [letter.attributes for letter in letters]
        lost = [attributes for case, attributes in cases if attributes not in kept]
        # A sender's date that looks like an old release's, on a message that only a newer release reads.
        lost = [one for one in lost if (name, body) != ("first_sent_at", '{"v": 99}') or not _is_as_we_wrote(one)]
        assert lost == []


def _is_as_we_wrote(attributes: dict[str, Any]) -> bool:
    text: str = attributes["first_sent_at"].get("StringValue", "")
    try:
        return datetime.fromisoformat(text).astimezone(UTC).isoformat() == text
    except (ValueError, OverflowError):
        return False


@pytest.mark.parametrize(
    "date", ["2999-01-01T00:00:00+00:00", "2026-01-01T00:00:00+00:00", "0001-01-01T00:00:00+00:00"]
)
@pytest.mark.parametrize("name", [FIRST_SENT_AT, "first_sent_at"])
def test_a_good_message_runs_whatever_its_attribute_says(sandbox: Sandbox, name: str, date: str) -> None:
    attributes: Any = {name: {"DataType": "String", "StringValue": date}}
    sqs.send(plain.physical_name("test"), sqs.Entry('{"task": "work", "id": "a"}', attributes=attributes))
    sandbox.drain()
    assert ran["a"] == 1


def test_a_dead_letter_keeps_the_date_that_its_sender_named_as_old_releases_did(sandbox: Sandbox) -> None:
    attributes: Any = {"first_sent_at": {"DataType": "String", "StringValue": "2025-12-31T00:00:00+00:00"}}
    sqs.send(plain.physical_name("test"), sqs.Entry('{"task": "unheard"}', attributes=attributes))
    sandbox.drain()
    (letter,) = sandbox.dead_letters(plain)
    assert letter.attributes == attributes


def test_a_message_of_a_newer_version_waits_for_as_long_as_the_queue_is_patient(sandbox: Sandbox) -> None:
    sandbox.send(plain, '{"v": 99}')
    sandbox.drain()
    (letter,) = sandbox.dead_letters(plain)
    assert letter.failure is not None
    assert (letter.failure.reason, letter.failure.first_at) == ("newer version", START)
    assert PATIENCE < sandbox.now - START < 2 * PATIENCE


def _as_the_first_releases_wrote_it(attributes: dict[str, Any]) -> dict[str, Any]:
    old = {FAILURE_ATTRIBUTE: "failure", FIRST_SENT_AT: "first_sent_at", MORE: "more_attributes"}
    return {old.get(name, name): value for name, value in attributes.items()}


def test_a_message_that_an_old_release_postpones_ends_no_later_than_twice_its_patience(sandbox: Sandbox) -> None:
    """Old and new releases take turns: each one takes the other's attribute for the sender's, or knows both."""
    tags: Any = {f"tag-{number}": {"DataType": "String", "StringValue": "t"} for number in range(10)}
    sqs.send(plain.physical_name("test"), sqs.Entry('{"v": 99}', attributes=tags))
    url = sqs.url(plain.physical_name("test"))
    for _ in range(3):
        sandbox.run_once()
        (message,) = lying_in(url)
        client("sqs").purge_queue(QueueUrl=url)
        sqs.send(
            plain.physical_name("test"),
            sqs.Entry(message["Body"], attributes=_as_the_first_releases_wrote_it(message["MessageAttributes"])),
        )
        sandbox.advance(timedelta(minutes=5))
    sandbox.drain()
    (letter,) = sandbox.dead_letters(plain)
    assert letter.attributes == tags
    assert letter.failure is not None
    assert letter.failure.first_at == START
    assert sandbox.now - START < 2 * PATIENCE


def test_a_letter_that_an_old_release_wrote_is_read_and_redriven(sandbox: Sandbox) -> None:
    died = Failure("malformed", "E", "no JSON", last_at=START, function="f", request_id="r")
    theirs: Any = {"failure": {"DataType": "String", "StringValue": '{"reason": "card declined"}'}}
    sandbox.send(plain, "nonsense", attributes={"failure": '{"reason": "card declined"}'})
    sandbox.drain()
    (message,) = lying_in(sqs.url(plain.dead_letter_name("test")))
    client("sqs").purge_queue(QueueUrl=sqs.url(plain.dead_letter_name("test")))
    packed = json.dumps({"failure": {"type": "String", "text": '{"reason": "card declined"}'}})
    noted = message["MessageAttributes"][FAILURE_ATTRIBUTE]
    old: Any = {"failure": noted, "more_attributes": {"DataType": "String", "StringValue": packed}}
    sqs.send(plain.dead_letter_name("test"), sqs.Entry("nonsense", attributes=old))

    (letter,) = sandbox.dead_letters(plain)
    assert letter.failure is not None
    assert (letter.failure.reason, letter.failure.function) == (died.reason, "celeriac-test--dates")
    assert letter.attributes == theirs
