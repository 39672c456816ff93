"""The keys of stored payloads: what they tell, and how long what lies under them is new."""

from datetime import date, timedelta
from itertools import product

import pytest

from celeriac import Queue
from celeriac.model.payload import ARGS, BODIES, SCHEDULED, PayloadError, key_of, lifetimes, read_key
from celeriac.model.retry import LONGEST_DELAY

TODAY = date(2026, 10, 5)
DAY = timedelta(days=1)
QUEUES = [Queue("payload"), Queue("payload-patient", retention=timedelta(days=2), patience=timedelta(days=30))]


@pytest.mark.parametrize("prefix", [ARGS, SCHEDULED, BODIES])
def test_a_key_is_read_as_it_was_made(prefix: str) -> None:
    key = key_of(prefix, "payload", b"content", TODAY)
    assert read_key(key.text, {prefix}, "payload") == key
    assert key.text.startswith(f"{prefix}payload/2026-10-05/")
    assert key.text.endswith("-7")
    assert (key.problem_of_size(7), key.problem_of(b"content")) == ("", "")
    assert key.problem_of_size(8)
    assert key.problem_of(b"Content")
    with pytest.raises(PayloadError):
        read_key(key.text, {ARGS, SCHEDULED, BODIES} - {prefix}, "payload")


def test_a_message_cannot_name_the_payload_of_another_queue() -> None:
    key = key_of(ARGS, "payments", b"content", TODAY)
    with pytest.raises(PayloadError, match="payload of another queue, 'payments'"):
        read_key(key.text, {ARGS}, "payload")


@pytest.mark.parametrize(
    ("prefix", "age", "fresh", "fresh_for_a_schedule"),
    [
        (ARGS, timedelta(), True, False),
        (ARGS, DAY, True, False),
        (ARGS, 2 * DAY, False, False),
        (BODIES, DAY, True, False),
        (BODIES, 2 * DAY, False, False),
        (SCHEDULED, DAY, True, True),
        (SCHEDULED, 2 * DAY, True, False),
        (SCHEDULED, LONGEST_DELAY + DAY, True, False),
        (SCHEDULED, LONGEST_DELAY + 2 * DAY, False, False),
        # A producer whose clock is wrong.
        (ARGS, -DAY, False, False),
        (SCHEDULED, -DAY, False, False),
    ],
)
def test_an_object_is_new_for_a_time(prefix: str, age: timedelta, fresh: bool, fresh_for_a_schedule: bool) -> None:  # noqa: FBT001 - a table
    key = key_of(prefix, "payload", b"content", TODAY - age)
    assert key.is_fresh(TODAY) == fresh
    assert key.is_fresh(TODAY, scheduled=True) == fresh_for_a_schedule


@pytest.mark.parametrize(
    "text",
    [
        f"{ARGS}{'0' * 64}",  # without a queue or a day
        f"{ARGS}2026-01-01/{'0' * 64}-5",
        f"{ARGS}payload/2026-02-30/{'0' * 64}-5",
        f"{ARGS}payload/../payments/2026-01-01/{'0' * 64}-5",
        f"{BODIES}m-1.attributes",
        f"other/payload/2026-01-01/{'0' * 64}-5",
    ],
)
def test_any_other_text_is_no_key(text: str) -> None:
    with pytest.raises(PayloadError, match="no key of a stored payload"):
        read_key(text, {ARGS, SCHEDULED, BODIES}, "payload")


@pytest.mark.parametrize("outbox", [timedelta(days=7), timedelta(days=900)])
def test_what_is_new_outlives_every_message_that_is_sent_today(outbox: timedelta) -> None:
    kept = lifetimes(QUEUES, outbox)
    for prefix, age in product((ARGS, BODIES, SCHEDULED), range(1000)):
        key = key_of(prefix, "payload", b"content", TODAY - age * DAY)
        # Stored in the first second of its day, and the message is sent in the last one of today.
        left = kept[prefix] - (age + 1) * DAY
        if key.is_fresh(TODAY):
            assert left >= max(queue.record_retention for queue in QUEUES)
        if key.is_fresh(TODAY, scheduled=True):
            assert left >= LONGEST_DELAY + max(queue.record_retention for queue in QUEUES)


def test_a_message_that_waits_for_its_release_keeps_its_payload() -> None:
    short, long = QUEUES
    assert short.record_retention == timedelta(days=4 + 14 + 4)
    assert long.record_retention == timedelta(days=2 + 14 + 30)
