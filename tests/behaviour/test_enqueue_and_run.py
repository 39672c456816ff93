"""A task is a function that runs on a queue. Read this first."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from celeriac import Context, InvalidArgumentsError, Queue, task
from celeriac.aws.client import client
from celeriac.declare import registry
from celeriac.model import declared
from celeriac.testing import Sandbox

mailbox = Queue("mailbox", batch_size=10)
delivered: list[object] = []


@pytest.fixture(autouse=True)
def _empty() -> None:
    delivered.clear()


@task(mailbox)
def greet(name: str, polite: bool = True) -> str:  # noqa: FBT001, FBT002 - the parameters are the payload
    delivered.append((name, polite))
    return f"Dear {name}" if polite else name


@task(mailbox)
async def greet_later(name: str) -> None:
    delivered.append(name)


@task(mailbox)
def greet_with_context(ctx: Context, name: str) -> None:
    delivered.append(ctx)


def test_an_enqueued_task_runs_once_and_leaves_nothing_behind(sandbox: Sandbox) -> None:
    greet.enqueue(name="Ada")
    assert delivered == []

    sandbox.drain()

    assert delivered == [("Ada", True)]
    assert sandbox.dead_letters(mailbox) == []


def test_a_task_stays_a_plain_function() -> None:
    assert greet("Ada", polite=False) == "Ada"


def test_a_plain_call_of_a_task_with_a_context_gets_a_stand_in_context() -> None:
    greet_with_context(name="Ada")

    (ctx,) = delivered
    assert isinstance(ctx, Context)
    assert ctx.attempt == 1


def test_an_async_task_runs_like_any_other(sandbox: Sandbox) -> None:
    greet_later.enqueue("Ada")
    sandbox.drain()
    assert delivered == ["Ada"]


def test_the_context_describes_the_run(sandbox: Sandbox) -> None:
    handle = greet_with_context.enqueue(name="Ada")
    sandbox.drain()

    (ctx,) = delivered
    assert isinstance(ctx, Context)
    assert (ctx.id, ctx.task, ctx.attempt) == (handle.id, "greet_with_context", 1)
    assert ctx.remaining == mailbox.timeout


def test_a_message_written_by_hand_needs_only_task_and_args(
    sandbox: Sandbox, send: Callable[[Queue, object], None]
) -> None:
    send(mailbox, {"task": "greet", "args": {"name": "Ada", "polite": False}})
    sandbox.drain()
    assert delivered == [("Ada", False)]


def test_many_tasks_are_sent_in_batches_of_ten(sandbox: Sandbox) -> None:
    handles = greet.enqueue_many({"name": f"user {i}"} for i in range(25))

    assert sandbox.calls == {("sqs", "SendMessageBatch"): 3}
    assert len({handle.id for handle in handles}) == 25
    sandbox.drain()
    assert len(delivered) == 25


def test_a_delayed_task_waits(sandbox: Sandbox) -> None:
    greet.options(delay=timedelta(minutes=10)).enqueue("Ada")

    sandbox.run_once()
    assert delivered == []
    sandbox.advance(timedelta(minutes=10))
    sandbox.run_once()
    assert delivered == [("Ada", True)]


def test_a_delay_longer_than_sqs_allows_becomes_a_schedule(sandbox: Sandbox) -> None:
    start = sandbox.now
    greet.options(delay=timedelta(days=3)).enqueue("Ada")
    sandbox.drain()

    assert delivered == [("Ada", True)]
    assert timedelta(days=3) <= sandbox.now - start <= timedelta(days=3, minutes=1)
    assert sandbox.calls["scheduler", "CreateSchedule"] == 1


@dataclass
class Parcel:
    weight_grams: int
    contents: list[str]
    packed_at: datetime | None = None


@task(mailbox)
def ship(parcel: Parcel) -> None:
    delivered.append(parcel)


def test_arguments_arrive_as_the_types_of_the_signature(sandbox: Sandbox) -> None:
    parcel = Parcel(500, ["book"], datetime(2026, 1, 1, tzinfo=UTC))
    ship.enqueue(parcel)
    sandbox.drain()
    assert delivered == [parcel]


def test_wrong_arguments_are_refused_before_anything_is_sent(sandbox: Sandbox) -> None:
    with pytest.raises(
        InvalidArgumentsError, match=r"task 'ship': Expected `int`, got `str` - at `parcel\.weight_grams`"
    ):
        ship.enqueue({"weight_grams": "heavy", "contents": []})  # type: ignore[arg-type]  # the point of the test
    with pytest.raises(InvalidArgumentsError, match="missing a required argument: 'name'"):
        greet.enqueue()  # type: ignore[call-arg]  # the point of the test
    assert sandbox.calls == {}


def test_one_bad_item_of_many_is_refused_before_anything_is_sent(sandbox: Sandbox) -> None:
    with pytest.raises(InvalidArgumentsError, match="task 'greet'"):
        greet.enqueue_many([{"name": "Ada"}, {"name": 7}])
    assert sandbox.calls == {}


def test_a_payload_too_large_for_the_queue_travels_through_s3(sandbox: Sandbox) -> None:
    name = "A" * 600_000
    greet.enqueue(name=name)
    sandbox.drain()

    assert delivered == [(name, True)]
    assert sandbox.calls["s3", "PutObject"] == sandbox.calls["s3", "GetObject"] == 1


def test_a_large_payload_outlives_a_long_delay(sandbox: Sandbox) -> None:
    greet.options(delay=timedelta(days=300)).enqueue(name="A" * 600_000)
    s3 = client("s3")
    (bucket,) = s3.list_buckets()["Buckets"]
    (stored,) = s3.list_objects_v2(Bucket=bucket["Name"])["Contents"]
    # The bucket's lifecycle keeps objects with this prefix for more than a year.
    assert stored["Key"].startswith("scheduled/")
    sandbox.drain()
    assert delivered == [("A" * 600_000, True)]


def test_tasks_of_other_test_modules_do_not_exist_here(sandbox: Sandbox) -> None:
    # tests/behaviour/test_idempotency.py defines `refund`, and pytest has imported both modules.
    assert "refund" not in registry.tasks
    assert {"greet", "file_away"} <= set(registry.tasks)


def test_one_application_does_not_see_another(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = tmp_path / "another_shop"
    shop.mkdir()
    (shop / "__init__.py").touch()
    (shop / "queues.py").write_text('from celeriac import Queue\n\ntill = Queue("till", batch_size=10)\n')
    (shop / "tables.py").write_text('from celeriac import Table\n\ngoods = Table("goods", key="barcode")\n')
    (shop / "sales.py").write_text(
        "from another_shop.queues import till\nfrom celeriac import task\n\n\n@task(till)\ndef sell() -> None: ...\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    with declared.application("another_shop"):
        registry.load()
        with registry.only(lambda _: True):
            assert "sell" in registry.tasks
            assert "file_away" not in registry.tasks
        assert set(declared.queues()) == {"till"}
        assert set(declared.tables()) == {"goods"}
    with registry.only(lambda _: True):
        assert "file_away" in registry.tasks
        assert "sell" not in registry.tasks
    assert "goods" not in declared.tables()


def test_a_second_open_sandbox_is_refused(sandbox: Sandbox) -> None:
    with pytest.raises(RuntimeError, match="a Sandbox is open already"), Sandbox():
        pass
