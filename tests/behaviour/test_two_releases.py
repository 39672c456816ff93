"""Two releases side by side: what only the newer one understands waits for it, and one broken module stops no other."""

import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from celeriac import Queue, task
from celeriac.declare import registry
from celeriac.model import declared
from celeriac.testing import Sandbox, die

jobs = Queue("two-releases", batch_size=10)
ledger = Queue("two-releases-ledger", fifo=True, batch_size=10)
QUEUES = pytest.mark.parametrize("queue", [jobs, ledger])


@QUEUES
def test_a_field_that_only_a_newer_release_knows_waits_for_it(sandbox: Sandbox, queue: Queue) -> None:
    ran: list[tuple[str, str]] = []

    @task(queue)
    def greet(name: str) -> None:
        ran.append((name, ""))

    sandbox.send(queue, {"v": 1, "task": "greet", "args": {"name": "Ada", "title": "Dr"}}, group="a")
    for _ in range(12):
        sandbox.run_once()
        sandbox.advance(timedelta(hours=1))
    assert sandbox.dead_letters(queue) == []

    def newer(name: str, title: str = "") -> None:
        ran.append((name, title))

    task(queue, name="greet")(newer)
    sandbox.drain()
    assert ran == [("Ada", "Dr")]
    assert sandbox.dead_letters(queue) == []


@QUEUES
def test_a_field_that_no_release_knows_is_a_dead_letter_at_the_end_of_the_patience(
    sandbox: Sandbox, queue: Queue
) -> None:
    @task(queue)
    def greet(name: str) -> None: ...

    start = sandbox.now
    sandbox.send(queue, {"v": 1, "task": "greet", "args": {"name": "Ada", "title": "Dr"}}, group="a")
    sandbox.drain()

    (letter,) = sandbox.dead_letters(queue)
    assert letter.failure is not None
    assert letter.failure.reason == "malformed"
    assert "unknown field `title`" in letter.failure.message
    assert timedelta(days=1) < sandbox.now - start < timedelta(days=1, hours=1)


def test_a_task_with_a_long_delay_waits_for_its_release_too(sandbox: Sandbox) -> None:
    """Its message is older than the queue's patience when it first arrives."""

    @task(jobs)
    def soon() -> None: ...

    @task(jobs)
    def other() -> None: ...

    handle = soon.options(delay=timedelta(days=3)).enqueue()
    del registry.tasks["soon"]
    sandbox.advance(timedelta(days=3, minutes=1))
    sandbox.run_once()
    assert sandbox.dead_letters(jobs) == []
    registry.tasks["soon"] = soon
    sandbox.drain()
    assert handle.status().state == "succeeded"


@pytest.mark.parametrize("delivery", ["effectively_once", "at_least_once"])
def test_a_new_task_that_kills_its_workers_ends_though_the_old_release_sends_fresh_copies(
    sandbox: Sandbox, delivery: Any
) -> None:
    """The old release postpones what it doesn't know. Its copies are first receives to SQS, and not to Celeriac."""
    ran: list[int] = []

    @task(jobs, delivery=delivery)
    def explode() -> None:
        ran.append(1)
        die()

    @task(jobs)
    def other() -> None: ...

    explode.enqueue()
    with sandbox.rollout(old=[other]):
        sandbox.drain()
    (letter,) = sandbox.dead_letters(jobs)
    assert letter.failure is not None
    assert letter.failure.reason in {"worker lost", "unknown task"}
    assert len(ran) <= 6


SHOP = {
    "queues": 'from celeriac import Queue\n\ntill = Queue("till", batch_size=10)\n',
    "sales": "from broken_shop.queues import till\nfrom celeriac import task\n\n\n"
    "@task(till)\ndef sell() -> None: ...\n",
    "mails": "from broken_shop.queues import till\nfrom celeriac import task\n\n\n"
    "@task(till)\ndef thank() -> None: ...\n\n\nimport no_such_package\n",
    "typed": "from broken_shop.queues import till\nfrom celeriac import task\n\n\n"
    '@task(till)\ndef weigh(load: "NoSuchType") -> None: ...\n',
}


@pytest.fixture
def _shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    folder = tmp_path / "broken_shop"
    folder.mkdir()
    (folder / "__init__.py").touch()
    for name, text in SHOP.items():
        (folder / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    with declared.application("broken_shop"):
        yield
    registry.not_imported.clear()
    for name in [name for name in sys.modules if name.startswith("broken_shop")]:
        del sys.modules[name]


@pytest.mark.usefixtures("_shop")
def test_a_module_that_fails_concerns_its_own_tasks_only(caplog: pytest.LogCaptureFixture) -> None:
    with registry.only(lambda _: True):
        registry.load_what_works()
        assert [name for name in registry.tasks if name in {"sell", "thank", "weigh"}] == ["sell"]
    assert registry.not_imported == {"broken_shop.mails", "broken_shop.typed"}
    reported = [record.__dict__["module_name"] for record in caplog.records if record.levelname == "CRITICAL"]
    assert sorted(reported) == ["broken_shop.mails", "broken_shop.typed"]


@pytest.mark.usefixtures("_shop")
def test_synth_is_strict() -> None:
    with registry.only(lambda _: True), pytest.raises(ModuleNotFoundError):
        registry.load()


@pytest.mark.usefixtures("_shop")
def test_a_test_of_the_application_fails_at_once() -> None:
    with pytest.raises(ModuleNotFoundError), Sandbox():
        pass


def test_the_dead_letter_of_a_broken_modules_task_names_the_module(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "not_imported", {"shop.mails"})

    @task(jobs)
    def other() -> None: ...

    sandbox.send(jobs, {"task": "thank"})
    sandbox.drain()
    (letter,) = sandbox.dead_letters(jobs)
    assert letter.failure is not None
    assert "could not be imported: shop.mails" in letter.failure.message
