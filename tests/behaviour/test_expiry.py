"""Expiry: what hasn't started in time never starts. It is cancelled, and there is no dead letter of it."""

import json
from datetime import UTC, datetime, timedelta

import pytest

import celeriac
from celeriac import (
    Backoff,
    Context,
    Debounce,
    Handle,
    Queue,
    Rate,
    Retry,
    TaskCancelled,
    TaskFailedError,
    Unique,
    task,
)
from celeriac.consume import quarantine
from celeriac.declare.task import Task
from celeriac.model.reason import Reason
from celeriac.testing import Sandbox, die, every_fault
from tests.support.redrive import redrive_as_aws_does

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
SOON = Backoff(base=timedelta(seconds=30), jitter=0, attempts=3)
shop = Queue("expiring", batch_size=10)
ledger = Queue("expiring-ledger", fifo=True, batch_size=10)
slow = Queue("expiring-slow", batch_size=10, timeout=timedelta(minutes=10))
narrow = Rate("expiring-narrow", 1, per=timedelta(minutes=5))
few = Rate("expiring-few", 5, per=HOUR, burst=5)
wide = Queue("expiring-wide", batch_size=10, concurrency=10)
runs: list[str] = []
fails: list[Exception] = []
deaths: list[None] = []


@pytest.fixture(autouse=True)
def _empty() -> None:
    runs.clear()
    fails.clear()
    deaths.clear()


def _run(name: str) -> str:
    runs.append(name)
    if deaths:
        deaths.pop()
        die()
    if fails:
        raise fails.pop()
    return name


@task(shop, expires=HOUR, retry=SOON)
def offer(name: str) -> str:
    return _run(name)


@task(shop, expires=HOUR, key="name", retry=SOON)
def offer_once(name: str, note: str = "") -> str:
    return _run(name)


@task(shop, expires=HOUR, delivery="at_least_once")
def offer_often(name: str) -> str:
    return _run(name)


@task(shop, expires=HOUR, key="name", delivery="at_most_once")
def offer_at_most(name: str, note: str = "") -> str:
    return _run(name)


@task(shop)
def lasting(name: str) -> str:
    return _run(name)


@task(ledger, expires=HOUR, retry=SOON)
def book_in_time(name: str) -> str:
    return _run(name)


@task(shop, expires=HOUR, unique=Unique(by="tenant"))
def load_in_time(tenant: str, name: str) -> str:
    return _run(name)


@task(shop, expires=HOUR, unique=Unique(by="tenant"), delivery="at_least_once")
def load_often(tenant: str, name: str) -> str:
    return _run(name)


@task(shop, expires=HOUR, debounce=Debounce(timedelta(seconds=5), by="document"))
def index_in_time(document: str, name: str) -> str:
    return _run(name)


@task(shop, limits=[narrow], expires=timedelta(minutes=8))
def limited_in_time(name: str) -> str:
    return _run(name)


@task(wide, limits=[few], expires=HOUR)
def rationed(name: str) -> str:
    return _run(name)


@task(shop, on="expiring.sold", expires=HOUR)
def sold(name: str) -> str:
    return _run(name)


@task(shop, cron="rate(1 day)", expires=HOUR, catch_up="all")
def daily() -> str:
    return _run("daily")


@task(slow, expires=timedelta(minutes=3))
def long_in_time(ctx: Context, name: str, minutes: int = 0) -> str:
    sandbox_of_long[0].advance(timedelta(minutes=minutes))
    return _run(name)


sandbox_of_long: list[Sandbox] = []


@pytest.mark.parametrize("sent", [offer, offer_at_most, offer_once])
def test_what_has_not_started_in_time_is_cancelled_and_leaves_no_letter(
    sandbox: Sandbox, sent: Task[..., str, str]
) -> None:
    handle = sent.enqueue(name="a")
    sandbox.advance(HOUR)
    sandbox.drain()

    assert runs == []
    assert sandbox.dead_letters(shop) == []
    status = handle.status()
    assert status.failure is not None
    assert (status.state, status.failure.reason, status.attempts) == ("cancelled", Reason.EXPIRED, 0)
    with pytest.raises(TaskCancelled, match=r"was cancelled: expired: it was to start by 20"):
        handle.result()
    assert issubclass(celeriac.TaskCancelled, TaskFailedError)  # what catches the one goes on catching both


@pytest.mark.parametrize("sent", [offer, offer_often, offer_at_most, load_in_time, index_in_time])
def test_what_starts_in_time_runs(sandbox: Sandbox, sent: Task[..., str, str]) -> None:
    more = {"tenant": "t"} if sent is load_in_time else {"document": "d"} if sent is index_in_time else {}
    sent.enqueue(name="a", **more)
    sandbox.advance(HOUR - timedelta(seconds=10))
    sandbox.drain()
    assert runs == ["a"]


def test_an_expired_message_costs_one_write_and_none_of_an_at_least_once_task(sandbox: Sandbox) -> None:
    for sent, writes in ((offer, 1), (offer_often, 0)):
        sent.enqueue(name="a")
        sandbox.advance(HOUR)
        before = sandbox.calls.copy()
        sandbox.drain()
        made = sandbox.calls - before
        calls = {operation for service, operation in made if service == "dynamodb"}
        assert made["dynamodb", "UpdateItem"] == writes
        assert calls <= {"UpdateItem"}, sent
    assert runs == []


def test_what_has_expired_is_counted_and_logged_by_its_task(
    sandbox: Sandbox, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    offer.enqueue(name="secret")
    offer_often.enqueue(name="secret")
    sandbox.advance(HOUR)
    capsys.readouterr()
    sandbox.drain()
    printed = capsys.readouterr().out
    counted = [json.loads(line) for line in printed.splitlines()]
    assert [line["task"] for line in counted if line.get("Expired") == [1.0]] == ["offer", "offer_often"]
    logged = [vars(record) for record in caplog.records]
    assert [line["task"] for line in logged if line.get("outcome") == "expired"] == ["offer", "offer_often"]
    assert "secret" not in printed + str(logged)


def test_an_option_comes_before_what_the_task_declares(sandbox: Sandbox) -> None:
    offer.options(expires=3 * HOUR).enqueue(name="later")
    offer.options(expires=datetime.now(UTC) + 3 * HOUR, delay=2 * HOUR).enqueue(name="delayed")
    lasting.options(expires=HOUR).enqueue(name="never")
    lasting.enqueue(name="always")
    sandbox.advance(2 * HOUR)
    sandbox.drain()
    assert sorted(runs) == ["always", "delayed", "later"]


def test_an_expiry_that_leaves_no_time_is_refused() -> None:
    now = datetime.now(UTC)
    for options, why in (
        ({"expires": timedelta()}, "is past"),
        ({"expires": now - MINUTE}, "is past"),
        ({"expires": HOUR, "delay": HOUR}, "isn't later than the 1:00:00"),
        ({"expires": now + HOUR, "at": now + 2 * HOUR}, "isn't later"),
        ({"expires": datetime(2090, 1, 1)}, "no time zone"),  # noqa: DTZ001 - what it is about
        ({"expires": timedelta.max}, "later than any date"),
        ({"delay": HOUR}, r"expires 1:00:00 after it is enqueued.*shorter delay, or options\(expires"),
    ):
        with pytest.raises(ValueError, match=why):
            offer.options(**options)
    with pytest.raises(ValueError, match=r"quiet for 0:00:05, and expires=0:00:05 is before that"):
        index_in_time.options(expires=timedelta(seconds=5))
    with pytest.raises(TypeError, match=r"expires=timedelta\(seconds=60\)"):
        offer.options(expires=60)  # type: ignore[arg-type]  # what it is about


def test_a_declaration_that_would_never_run_is_refused() -> None:
    for declared, why in (
        ({"expires": 60}, r"write timedelta\(seconds=60\)"),
        ({"expires": timedelta()}, "more than nothing"),
        ({"expires": timedelta(days=400)}, "a year at most"),
        ({"expires": MINUTE, "debounce": Debounce(MINUTE, by="name")}, "before its burst is over"),
    ):
        with pytest.raises(ValueError, match=why):

            @task(shop, **declared)
            def never(name: str) -> None: ...


def test_a_retry_does_not_expire(sandbox: Sandbox) -> None:
    fails.append(ValueError("once"))
    handle = offer.enqueue(name="a")
    sandbox.run_once()
    sandbox.advance(2 * HOUR)
    sandbox.drain()
    assert runs == ["a", "a"]
    assert handle.status().state == "succeeded"


def test_an_uncharged_retry_does_not_expire_and_neither_does_one_in_a_group(sandbox: Sandbox) -> None:
    for sent in (offer, book_in_time.options(group="g")):
        for error in (Retry(delay=MINUTE, charge=False), ValueError("once")):
            runs.clear()
            fails.append(error)
            sent.enqueue(name="a")
            sandbox.run_once()
            sandbox.advance(2 * HOUR)
            sandbox.drain()
            assert runs == ["a", "a"]


@pytest.mark.parametrize("sent", [offer, offer_often, book_in_time.options(group="g")])
def test_a_task_whose_worker_died_has_started_and_runs_again(sandbox: Sandbox, sent: Task[..., str, str]) -> None:
    sent.enqueue(name="a")
    deaths.append(None)
    sandbox.run_once()
    sandbox.advance(2 * HOUR)
    sandbox.drain()
    assert runs == ["a", "a"]


def test_a_message_that_was_only_handed_back_has_not_started(sandbox: Sandbox) -> None:
    offer.enqueue(name="a")
    with sandbox.outage("dynamodb"):
        sandbox.run_once()
    sandbox.advance(2 * HOUR)
    sandbox.drain()
    assert runs == []


def test_a_group_goes_on_behind_a_message_that_has_expired(sandbox: Sandbox) -> None:
    grouped = book_in_time.options(group="g")
    first = grouped.options(group="g", expires=MINUTE).enqueue(name="first")
    grouped.enqueue(name="second")
    sandbox.advance(2 * MINUTE)
    sandbox.drain()
    assert runs == ["second"]
    assert first.status().state == "cancelled"


def test_another_message_of_the_key_runs_after_one_that_has_expired(sandbox: Sandbox) -> None:
    for sent in (offer_once, offer_at_most):
        runs.clear()
        late = sent.enqueue(name="a", note="late")
        sandbox.advance(2 * HOUR)
        sandbox.drain()
        again = sent.enqueue(name="a", note="again")
        assert again.status().state == "queued"
        sandbox.drain()
        assert runs == ["a"]
        assert again.status().state == "succeeded"
        assert late.status().duplicate_of == again.id


def test_what_expires_leaves_the_record_of_another_message_as_it_is(sandbox: Sandbox) -> None:
    fails.append(ValueError("once"))
    first = offer_once.options(delay=timedelta()).enqueue(name="a", note="first")
    sandbox.run_once()
    late = offer_once.options(expires=timedelta(seconds=1)).enqueue(name="a", note="late")
    sandbox.advance(timedelta(seconds=2))
    sandbox.run_once()
    assert first.status().state == "retrying"
    assert late.status().state == "cancelled"
    sandbox.drain()
    assert runs == ["a", "a"]
    assert first.status().state == "succeeded"


def test_a_copy_of_what_has_succeeded_is_a_duplicate(sandbox: Sandbox) -> None:
    handle = offer.enqueue(name="a")
    with sandbox.outage("sqs", "DeleteMessageBatch"):
        sandbox.deliver(duplicates=1.0, seed=1)
        sandbox.run_once()
    sandbox.advance(2 * HOUR)
    sandbox.drain()
    assert runs == ["a"]
    assert handle.status().state == "succeeded"


@pytest.mark.parametrize("sent", [load_in_time, load_often])
def test_a_unique_message_that_expires_frees_its_place(sandbox: Sandbox, sent: Task[..., str, str]) -> None:
    first = sent.enqueue(tenant="t", name="first")
    assert sent.enqueue(tenant="t", name="second").id == first.id
    sandbox.advance(2 * HOUR)
    sandbox.drain()
    third = sent.enqueue(tenant="t", name="third")
    assert not third.duplicate
    sandbox.drain()
    assert runs == ["third"]


def test_a_burst_whose_last_message_expires_ends_and_the_next_one_runs(sandbox: Sandbox) -> None:
    index_in_time.enqueue(document="d", name="gathered")
    sandbox.run_once()
    sandbox.advance(2 * HOUR)  # its tick is late
    sandbox.drain()
    assert runs == []
    index_in_time.enqueue(document="d", name="next")
    sandbox.drain()
    assert runs == ["next"]


def test_a_message_that_comes_too_late_does_not_join_a_burst(sandbox: Sandbox) -> None:
    index_in_time.enqueue(document="d", name="old")
    sandbox.advance(2 * HOUR)
    index_in_time.enqueue(document="d", name="new")
    index_in_time.options(expires=timedelta(seconds=6)).enqueue(document="d", name="short")
    sandbox.run_once()
    sandbox.drain()
    assert runs == ["short"]


def test_an_expired_message_does_not_end_the_burst_of_one_before_it(sandbox: Sandbox) -> None:
    index_in_time.enqueue(document="d", name="in time")
    short = index_in_time.options(expires=timedelta(seconds=6)).enqueue(document="d", name="too late")
    sandbox.advance(timedelta(seconds=7))
    sandbox.drain()
    assert runs == ["in time"]
    assert short.status().state == "cancelled"


def test_expired_messages_use_up_no_starts(sandbox: Sandbox) -> None:
    rationed.options(expires=MINUTE).enqueue_many([{"name": f"late {number}"} for number in range(5)])
    sandbox.advance(2 * MINUTE)
    rationed.enqueue_many([{"name": "a"}, {"name": "b"}])
    sandbox.run_once()
    assert sorted(runs) == ["a", "b"]
    assert sandbox.limits[few].used == 2


def test_a_slot_beyond_the_expiry_expires_it_at_once(sandbox: Sandbox) -> None:
    handles = limited_in_time.enqueue_many([{"name": str(number)} for number in range(4)])
    began = sandbox.now
    sandbox.run_once()
    states = [handle.status().state for handle in handles]
    assert (states.count("succeeded"), states.count("cancelled")) == (1, 2)
    assert sandbox.now - began < MINUTE
    sandbox.drain()
    assert len(runs) == 2


def test_what_waits_for_its_turn_until_it_has_expired_does_not_start(sandbox: Sandbox) -> None:
    sandbox_of_long[:] = [sandbox]
    first = long_in_time.enqueue(name="first", minutes=4)
    second = long_in_time.enqueue(name="second")
    sandbox.drain()
    assert runs == ["first"]
    assert (first.status().state, second.status().state) == ("succeeded", "cancelled")


def test_expiry_is_asked_before_quarantine(sandbox: Sandbox) -> None:
    quarantine.add(quarantine.of_task("offer"))
    sandbox.advance(MINUTE)
    late = offer.enqueue(name="late")
    sandbox.advance(2 * HOUR)
    offer.enqueue(name="held")
    sandbox.drain()
    assert late.status().state == "cancelled"
    (letter,) = sandbox.dead_letters(shop)
    assert letter.failure is not None
    assert letter.failure.reason == "quarantined"


def test_a_letter_that_is_redriven_after_its_expiry_runs(sandbox: Sandbox) -> None:
    quarantine.add(quarantine.of_task("offer"))
    sandbox.advance(MINUTE)
    offer.enqueue(name="held")
    sandbox.drain()
    quarantine.lift(quarantine.of_task("offer"))
    sandbox.advance(2 * HOUR)
    redrive_as_aws_does(shop)
    sandbox.drain()
    assert runs == ["held"]


def test_an_event_expires_by_when_it_occurred_and_a_firing_by_when_it_was_sent(sandbox: Sandbox) -> None:
    for late, ran in ((2 * HOUR, []), (MINUTE, ["sold", "daily"])):
        with celeriac.transaction() as tx:
            tx.emit("expiring.sold", {"name": "sold"})
        sandbox.fire(daily)
        sandbox.advance(late)
        sandbox.drain()
        assert sorted(runs) == sorted(ran)


def test_a_task_in_a_transaction_expires_by_when_it_was_enqueued(sandbox: Sandbox) -> None:
    with celeriac.transaction() as tx:
        tx.enqueue(offer, name="late")
        tx.enqueue(offer.options(expires=3 * HOUR), name="longer")
    sandbox.advance(2 * HOUR)
    sandbox.drain()
    assert runs == ["longer"]


def test_a_message_written_by_hand_may_name_its_expiry(sandbox: Sandbox) -> None:
    body = '{"task": "lasting", "args": {"name": "%s"}, "expires_at": "%s"}'
    sandbox.send(shop, body % ("late", (sandbox.now + MINUTE).isoformat()))
    sandbox.send(shop, body % ("zero", "0001-01-01T00:00:00Z"))
    sandbox.send(shop, body % ("first", "0001-01-01T00:30:00+05:00"))
    sandbox.send(shop, body % ("last", "9999-12-31T23:30:00-05:00"))
    sandbox.send(shop, body % ("zoneless", (sandbox.now + HOUR).replace(tzinfo=None).isoformat()))
    sandbox.advance(2 * MINUTE)
    sandbox.drain()
    assert sorted(runs) == ["last", "zero", "zoneless"]
    assert sandbox.dead_letters(shop) == []


late: list[Handle[str]] = []


def _expire_one_of_each(sandbox: Sandbox) -> None:
    runs.clear()
    late[:] = [
        offer.enqueue(name="late"),
        load_in_time.enqueue(tenant="t", name="late"),
        offer_at_most.enqueue(name="late"),
        book_in_time.options(group="g").enqueue(name="late"),
    ]
    sandbox.advance(2 * HOUR)
    book_in_time.options(group="g").enqueue(name="behind it")
    sandbox.drain()
    load_in_time.enqueue(tenant="t", name="next")


def test_at_whichever_call_its_worker_dies_what_is_too_late_ends_and_never_starts() -> None:
    every = every_fault(_expire_one_of_each)
    for sandbox in every:
        assert [handle.status().state for handle in late] == ["cancelled"] * 4, every.story
        assert sandbox.dead_letters(shop) == sandbox.dead_letters(ledger) == [], every.story
        assert set(runs) == {"behind it", "next"}, every.story


def _wait_beyond_the_expiry(sandbox: Sandbox) -> None:
    runs.clear()
    late[:] = limited_in_time.enqueue_many([{"name": str(number)} for number in range(4)])
    sandbox.drain()


def test_at_whichever_call_its_worker_dies_what_waits_for_a_limit_runs_or_is_cancelled() -> None:
    every = every_fault(_wait_beyond_the_expiry, kinds={"dies after"})
    for sandbox in every:
        states = {handle.result() if (state := handle.status().state) == "succeeded" else state for handle in late}
        assert states <= {*runs, "cancelled"}, every.story
        assert sandbox.dead_letters(shop) == [], every.story
