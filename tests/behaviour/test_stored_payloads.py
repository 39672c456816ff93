"""Large payloads in S3: they outlive every message that points to them, and they are not believed."""

import json
from datetime import timedelta
from hashlib import sha256
from typing import Any

import pytest

import celeriac
from celeriac import Backoff, Context, Queue, Reject, Retry, task
from celeriac.aws import payloads, sqs
from celeriac.aws.client import client
from celeriac.model.payload import MOST_BYTES, PayloadError
from celeriac.testing import Sandbox
from celeriac.testing.calls import Call
from tests.support.redrive import redrive_as_aws_does

jobs = Queue("stored", batch_size=10)
ledger = Queue("stored-ledger", fifo=True, max_body_bytes=2048, batch_size=10)
patient = Queue("stored-patient", patience=timedelta(days=3), batch_size=10)
LARGE = "x" * 300_000
DAY = timedelta(days=1)
ran: list[tuple[int, int]] = []


class Now:
    """The state of the running test."""

    cured = False


@pytest.fixture(autouse=True)
def _empty() -> None:
    ran.clear()
    Now.cured = False


@task(jobs)
def charge(ctx: Context, cents: int, note: str) -> None:
    ran.append((ctx.attempt, cents))
    if not Now.cured:
        raise Reject("declined")


@task(patient)
def known() -> None: ...


def _bucket() -> str:
    return payloads.bucket(jobs.physical_name("test"))


def _objects() -> list[Any]:
    return [dict(one) for one in client("s3").list_objects_v2(Bucket=_bucket()).get("Contents", [])]


def _put(key: str, content: bytes) -> str:
    client("s3").put_object(Bucket=_bucket(), Key=key, Body=content)
    return key


def _args(cents: int) -> bytes:
    return json.dumps({"cents": cents, "note": "by hand"}).encode()


def _failure(sandbox: Sandbox, queue: Queue = jobs) -> Any:
    (letter,) = sandbox.dead_letters(queue)
    assert letter.failure is not None
    return letter.failure


# Lifetimes


def test_a_large_message_costs_one_put_and_one_get(sandbox: Sandbox) -> None:
    Now.cured = True
    charge.enqueue(cents=5, note=LARGE)
    with celeriac.transaction() as tx:
        tx.enqueue(charge, cents=6, note=LARGE)
    sandbox.drain()
    assert sorted(ran) == [(1, 5), (1, 6)]
    assert {call: n for call, n in sandbox.calls.items() if call[0] == "s3"} == {
        ("s3", "PutObject"): 2,
        ("s3", "GetObject"): 2,
    }


def test_a_large_retry_of_the_same_day_costs_no_call_more_than_its_get(sandbox: Sandbox) -> None:
    @task(jobs, retry=Backoff(attempts=2, base=timedelta(minutes=5)))
    def fail_once(ctx: Context, note: str) -> None:
        if ctx.attempt == 1:
            raise ConnectionError

    fail_once.enqueue(LARGE)
    sandbox.drain()
    assert sandbox.calls["s3", "PutObject"] == 1
    assert sandbox.calls["s3", "GetObject"] == 2


def test_a_letter_redriven_late_and_again_still_has_its_arguments(sandbox: Sandbox) -> None:
    charge.enqueue(cents=5, note=LARGE)
    for _ in range(3):
        sandbox.drain()
        sandbox.advance(13 * DAY)
        redrive_as_aws_does(jobs)
    Now.cured = True
    sandbox.drain()
    assert [cents for _, cents in ran] == [5] * 4
    assert sandbox.dead_letters(jobs) == []


def test_a_chain_of_long_waits_outlives_two_years(sandbox: Sandbox) -> None:
    @task(jobs, retry=Backoff(attempts=5))
    def wait(ctx: Context, note: str) -> None:
        ran.append((ctx.attempt, len(note)))
        if ctx.attempt < 4:
            raise Retry("next year", delay=300 * DAY)

    wait.enqueue(note=LARGE)
    sandbox.drain()
    assert ran == [(attempt, len(LARGE)) for attempt in (1, 2, 3, 4)]


def test_retries_of_six_weeks_keep_their_arguments(sandbox: Sandbox) -> None:
    @task(jobs, retry=lambda error, attempt: timedelta(minutes=14) if attempt % 2 else 2 * DAY)
    def fail(ctx: Context, note: str) -> None:
        ran.append((ctx.attempt, len(note)))
        if ctx.attempt <= 42:
            raise ConnectionError

    fail.enqueue(note=LARGE)
    sandbox.drain()
    assert ran[-1] == (43, len(LARGE))
    assert sandbox.dead_letters(jobs) == []


def test_a_row_of_the_outbox_keeps_its_arguments_while_it_is_stranded(sandbox: Sandbox) -> None:
    Now.cured = True
    with celeriac.transaction() as tx:
        tx.enqueue(charge, cents=5, note=LARGE)
    sandbox.advance(90 * DAY)
    sandbox.drain()
    assert ran == [(1, 5)]


def test_a_message_that_no_release_knows_yet_keeps_its_arguments(sandbox: Sandbox) -> None:
    """Every few days somebody redrives it, too early."""
    content = _args(5)
    sandbox.send(patient, {"task": "later", "stored": payloads.store(patient.physical_name("test"), content)})
    for _ in range(3):
        sandbox.drain()
        assert _failure(sandbox, patient).reason == "unknown task"
        sandbox.advance(12 * DAY)
        redrive_as_aws_does(patient)

    @task(patient)
    def later(cents: int, note: str) -> None:
        ran.append((1, cents))

    sandbox.drain()
    assert ran == [(1, 5)]


@pytest.mark.parametrize("field", ["stored", "stored_body"])
def test_an_unreadable_letter_that_is_redriven_again_and_again_keeps_what_it_points_to(
    sandbox: Sandbox, field: str
) -> None:
    name = jobs.physical_name("test")
    key = payloads.store(name, _args(5)) if field == "stored" else payloads.store_body(name, _args(5))
    body = json.dumps({"v": 99, "task": "charge", field: key} if field == "stored" else {field: key})
    sandbox.send(jobs, body)
    for _ in range(4):
        sandbox.drain()
        sandbox.advance(12 * DAY)
        redrive_as_aws_does(jobs)
    assert [one["Key"] for one in _objects()] == [key]
    read = payloads.load if field == "stored" else payloads.load_body
    assert read(name, key) == _args(5)


def test_a_letter_whose_payload_is_gone_is_still_a_letter(sandbox: Sandbox) -> None:
    charge.enqueue(cents=5, note=LARGE)
    (stored,) = _objects()
    client("s3").delete_object(Bucket=_bucket(), Key=stored["Key"])
    sandbox.advance(3 * DAY)  # it would be renewed
    sandbox.drain()
    assert (_failure(sandbox).reason, _failure(sandbox).type) == ("malformed", "celeriac.PayloadGoneError")
    assert ran == []


# Belief


def test_an_overwritten_object_is_malformed(sandbox: Sandbox) -> None:
    Now.cured = True
    charge.enqueue(cents=5, note=LARGE)
    (stored,) = _objects()
    content = client("s3").get_object(Bucket=_bucket(), Key=stored["Key"])["Body"].read()
    for forged in (content.replace(b'"cents":5,"note":"xxxxxx', b'"cents":5000000,"note":"'), content + b" ", b""):
        assert forged != content
        _put(stored["Key"], forged)
        sandbox.drain()
        failure = _failure(sandbox)
        assert failure.reason == "malformed"
        assert "isn't what was stored" in failure.message
        assert ran == []
        redrive_as_aws_does(jobs)
    _put(stored["Key"], content)
    sandbox.drain()
    assert ran == [(1, 5)]


def test_a_message_cannot_make_its_consumer_read_the_payload_of_another_queue(sandbox: Sandbox) -> None:
    key = payloads.store(patient.physical_name("test"), _args(5_000_000))
    sandbox.send(jobs, {"task": "charge", "stored": key})
    sandbox.drain()
    failure = _failure(sandbox)
    assert (failure.reason, ran) == ("malformed", [])
    assert "is a payload of another queue, 'stored-patient'" in failure.message
    assert sandbox.calls["s3", "GetObject"] == 0


@pytest.mark.parametrize(
    "key",
    [
        "secrets/key",
        "args/",
        "args/notes.json",
        "args/" + "0" * 63,
        "args/../secrets/" + "0" * 64,
        "bodies/" + "0" * 64,
        "scheduled/x",
        "args/2026-01-01/" + "0" * 64 + "-5",
        "args/stored/2026-01-01/" + "0" * 64,
        "args/stored/2026-13-01/" + "0" * 64 + "-5",
        "args/stored/٢٠٢٦-01-01/" + "0" * 64 + "-5",
        "bodies/stored/2026-01-01/" + "0" * 64 + "-5",
        "/args/" + "0" * 64,
        "args/" + "0" * 64 + "\n",
        "x" * 200_000,
    ],
)
def test_any_other_key_of_the_bucket_is_malformed_and_never_asked_for(sandbox: Sandbox, key: str) -> None:
    sandbox.send(jobs, {"task": "charge", "stored": key})
    sandbox.drain()
    failure = _failure(sandbox)
    assert (failure.reason, failure.type) == ("malformed", "celeriac.PayloadError")
    assert len(failure.message) < 1000
    assert sandbox.calls["s3", "GetObject"] == 0


@pytest.mark.parametrize("key", ["args/" + "0" * 64, "secrets/key", "bodies/../secrets/key"])
def test_a_letters_stored_body_is_read_from_the_bodies_only(sandbox: Sandbox, key: str) -> None:
    sqs.send(jobs.dead_letter_name("test"), sqs.Entry(json.dumps({"stored_body": key})))
    (letter,) = sandbox.dead_letters(jobs)
    assert "is no key of a stored payload" in letter.missing


def test_a_letters_stored_body_that_was_changed_is_missing(sandbox: Sandbox) -> None:
    key = payloads.store_body(jobs.physical_name("test"), _args(5))
    _put(key, _args(6))
    sqs.send(jobs.dead_letter_name("test"), sqs.Entry(json.dumps({"stored_body": key})))
    (letter,) = sandbox.dead_letters(jobs)
    assert "isn't what was stored" in letter.missing


class _NeverRead:
    is_closed = False

    def read(self, *_: object) -> bytes:
        raise AssertionError("it was read into memory")

    def close(self) -> None:
        self.is_closed = True


def _new_key(content: bytes) -> str:
    return f"args/stored/2026-01-01/{sha256(content).hexdigest()}-{len(content)}"


@pytest.mark.parametrize("size", [MOST_BYTES + 1, 5])
def test_an_object_is_not_read_if_its_size_is_wrong(sandbox: Sandbox, size: int) -> None:
    body = _NeverRead()

    def answer(call: Call) -> Any:
        return {"ContentLength": size, "Body": body} if call.operation == "GetObject" else call.make()

    sandbox.send(jobs, {"task": "charge", "stored": _new_key(_args(5))})
    with sandbox.fault(answer):
        sandbox.drain()
    assert _failure(sandbox).reason == "malformed"
    assert body.is_closed


def test_a_payload_that_no_worker_would_read_is_refused_before_it_is_sent(sandbox: Sandbox) -> None:
    with pytest.raises(PayloadError, match="is too large"):
        charge.enqueue(cents=5, note="x" * MOST_BYTES)
    assert sandbox.calls == {}


def test_an_object_that_is_there_already_is_not_written_again_and_not_trusted_for_long(sandbox: Sandbox) -> None:
    Now.cured = True
    charge.enqueue(cents=5, note=LARGE)
    (first,) = _objects()
    sandbox.advance(timedelta(hours=1))
    charge.enqueue(cents=5, note=LARGE)
    assert _objects() == [first]
    sandbox.advance(3 * DAY)
    charge.enqueue(cents=5, note=LARGE)
    assert len(_objects()) == 2
    sandbox.drain()
    assert ran == [(1, 5)] * 3
