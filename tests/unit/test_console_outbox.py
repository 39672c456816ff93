"""`celeriac outbox`: as an operator types it."""

import json
from datetime import timedelta
from typing import Any

import pytest
from typer.testing import CliRunner, Result

import celeriac
from celeriac import Context, Queue, task
from celeriac.aws.client import client
from celeriac.testing import Sandbox
from celeriac_console.main import app
from celeriac_console.terminal.errors import UserError
from celeriac_console.terminal.times import duration

shop = Queue("replayed")
told: list[tuple[str, int]] = []


@pytest.fixture(autouse=True)
def _empty() -> None:
    told.clear()


@task(shop, on="replay.event")
def book(ctx: Context, number: int) -> None:
    told.append(("book", number))


def _run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["--stage", "test", "outbox", *arguments])


def _emit(*numbers: int) -> None:
    for number in numbers:
        with celeriac.transaction() as tx:
            tx.emit("replay.event", {"number": number}, aggregate="item")


def _park() -> None:
    table = "celeriac-test--outbox"
    for row in client("dynamodb").scan(TableName=table)["Items"]:
        parked: dict[str, Any] = {"waiting": {"S": "parked"}, "reason": {"S": "no queue is named 'gone'"}}
        client("dynamodb").put_item(TableName=table, Item=row | parked)


@pytest.mark.parametrize(
    ("type_", "nearest"),
    [("replay.evnt", "Did you mean replay.event?"), ("task:bok", "Did you mean task:book?"), ("re*.evnt", "")],
)
def test_a_type_that_nobody_knows_is_warned_of(sandbox: Sandbox, type_: str, nearest: str) -> None:
    told = _run("replay", "--type", type_, "--since", "1h")
    assert told.stderr.startswith(f"no task and no event has the type {type_!r}.")
    assert nearest in told.stderr


@pytest.mark.parametrize("type_", ["replay.event", "replay.*", "task:book", "*"])
def test_a_type_that_is_known_may_have_no_rows(sandbox: Sandbox, type_: str) -> None:
    assert "no task" not in _run("replay", "--type", type_, "--since", "1h").stderr


def test_lag_shows_the_age_of_the_oldest_event(sandbox: Sandbox) -> None:
    assert "nothing is unpublished" in _run("lag").output
    _emit(1)
    sandbox.advance(timedelta(minutes=3))
    _emit(2)
    assert "unpublished for 180 s at most\n0 parked" in _run("lag").output
    assert json.loads(_run("lag", "--json").output)["unpublished_age_seconds"] == 180


def test_lag_shows_parked_events_and_their_reasons(sandbox: Sandbox) -> None:
    _emit(1)
    _park()
    shown = _run("lag")
    assert shown.exit_code == 1
    assert "1 parked" in shown.output
    assert "no queue is named 'gone'" in shown.output


def test_a_parked_event_is_replayed_once_its_cause_is_cured(sandbox: Sandbox) -> None:
    _emit(1)
    sandbox.drain()
    told.clear()
    _emit(2)
    _park()
    sandbox.advance(timedelta(hours=2))  # the stream has given up on the event by now
    assert "2 published, 0 parked, 0 failed" in _run("replay", "--type", "replay.*", "--since", "1d").output
    sandbox.drain()
    assert told == [("book", 2)]  # number 1 was a duplicate
    assert _run("lag").exit_code == 0


def test_a_replay_reaches_a_new_subscriber_and_leaves_the_others_alone(sandbox: Sandbox) -> None:
    _emit(1, 2)
    sandbox.drain()
    told.clear()

    @task(shop, on="replay.event")
    def late(number: int) -> None:
        told.append(("late", number))

    assert _run("replay", "--type", "replay.event", "--since", "2h", "--to", "late").exit_code == 0
    sandbox.drain()
    assert sorted(told) == [("late", 1), ("late", 2)]


def test_a_dry_run_counts_and_sends_nothing(sandbox: Sandbox) -> None:
    _emit(1, 2)
    sandbox.drain()
    before = sandbox.calls["sqs", "SendMessageBatch"]
    told_ = _run("replay", "--type", "replay.event", "--since", "2h", "--dry-run", "--json")
    assert json.loads(told_.output) == {
        "found": 2,
        "published": 0,
        "parked": 0,
        "failed": 0,
        "malformed": 0,
        "expired": 0,
    }
    assert sandbox.calls["sqs", "SendMessageBatch"] == before


def test_a_replay_takes_only_events_of_its_type_and_time(sandbox: Sandbox) -> None:
    _emit(1)
    sandbox.advance(timedelta(hours=3))
    _emit(2)
    assert "1 row of replay.event" in _run("replay", "--type", "replay.event", "--since", "2h").output
    assert "0 rows of other.event" in _run("replay", "--type", "other.event", "--since", "2d").output


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--type", "replay.event", "--since", "2h", "--to", "boook"], "Did you mean book?"),
        (["--type", "replay.event", "--since", "yesterday"], "'yesterday' is no length of time: write e.g. 90s"),
    ],
)
def test_a_mistake_is_explained_in_a_sentence(sandbox: Sandbox, arguments: list[str], sentence: str) -> None:
    told_ = _run("replay", *arguments)
    assert told_.exit_code == 2
    assert sentence in told_.output


def test_durations_are_parsed() -> None:
    assert duration("90s") == timedelta(seconds=90)
    assert duration("7d") == timedelta(days=7)
    with pytest.raises(UserError):
        duration("-1h")
