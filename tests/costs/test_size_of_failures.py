"""A failed attempt writes a small record, however much its error says. The dead letter has the whole text."""

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from celeriac import Backoff, Queue, task
from celeriac.aws.client import client
from celeriac.aws.items import size_of
from celeriac.consume import quarantine
from celeriac.model import names
from celeriac.model.failure import Failure, fingerprint, recorded
from celeriac.testing import Sandbox

jobs = Queue("failing-at-length")
# DynamoDB charges a write unit for each KiB: https://aws.amazon.com/dynamodb/pricing/on-demand/
MOST_UNITS = 2


@task(jobs, key="order_id", retry=Backoff(base=timedelta(hours=1), attempts=3))
def fail(order_id: str, text: str) -> None:
    raise ValueError(text * 10_000)


@task(jobs, delivery="at_least_once", retry=Backoff(attempts=1))
def fail_once(order_id: str, text: str) -> None:
    raise ValueError(text * 10_000)


def _items() -> list[dict[str, Any]]:
    return client("dynamodb").scan(TableName=names.idempotency_table("test"))["Items"]


@pytest.mark.parametrize("text", ["x", "ä", "😀", "\x00", '"', "a wording "])
def test_a_failed_attempt_and_a_death_write_two_units(sandbox: Sandbox, text: str) -> None:
    handle = fail.enqueue(order_id="o" * 100, text=text)
    fail_once.enqueue(order_id="o", text=text)
    sandbox.run_once()
    failure = handle.status().failure
    assert handle.status().state == "retrying"
    assert failure is not None
    assert failure.message.startswith("...")
    assert len(failure.message) > 50
    assert [size_of(item) // 1024 < MOST_UNITS for item in _items()] == [True, True]  # a record and a note

    sandbox.drain()
    assert [size_of(item) // 1024 < MOST_UNITS for item in _items()] == [True, True]
    for letter in sandbox.dead_letters(jobs):
        assert letter.failure is not None
        assert len(letter.failure.message) >= 2000
        assert len(letter.failure.traceback) >= 2000


def test_a_quarantined_failure_is_known_by_the_whole_of_its_text(sandbox: Sandbox) -> None:
    text = "no such account in the ledger of "
    fail.enqueue(order_id="o-1", text=text)
    sandbox.drain()
    (letter,) = sandbox.dead_letters(jobs)
    assert letter.failure is not None
    fail.enqueue(order_id="o-2", text=text)
    sandbox.run_once()
    quarantine.add(quarantine.of_failure(fingerprint("fail", letter.failure)))
    sandbox.drain()
    assert [letter.failure.reason for letter in sandbox.dead_letters(jobs) if letter.failure] == [
        "exhausted",
        "quarantined",
    ]


def test_a_short_failure_is_recorded_as_it_is() -> None:
    failure = Failure("failed", "ValueError", "no such order", "Traceback ...")
    assert msgspec.json.encode(recorded("fail", failure)) == msgspec.json.encode(failure)


def test_the_short_form_of_a_short_form_is_the_same() -> None:
    short = recorded("fail", Failure("failed", "ValueError", "wording " * 500, "frame " * 500))
    assert recorded("fail", short) == short
    assert fingerprint("fail", short) == fingerprint("fail", Failure("failed", "ValueError", "wording " * 500))
