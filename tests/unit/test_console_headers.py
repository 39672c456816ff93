"""The headers of a message survive what an operator does with it."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import celeriac
from celeriac import Backoff, Hooks, Queue, task
from celeriac.hooks.events import AroundTask, BeforeEnqueue
from celeriac.testing import Sandbox
from celeriac_console.main import app

shop = Queue("headers")
seen: list[tuple[str, str | None]] = []
cured: list[bool] = []


class Tenant(Hooks):
    """Each process has a tenant: the producer `acme`, and the operator's shell none."""

    here: str | None = "acme"

    def before_enqueue(self, event: BeforeEnqueue) -> None:
        if self.here is not None:
            event.headers["tenant"] = self.here

    @contextmanager
    def around_task(self, event: AroundTask) -> Iterator[None]:
        seen.append((event.task, event.headers.get("tenant")))
        yield


@task(shop, key="order", retry=Backoff(attempts=1))
def pay(order: str) -> None:
    if not cured:
        raise ConnectionError


@task(shop, on="headers.paid")
def thank(order: str) -> None: ...


@pytest.fixture
def tenant() -> Tenant:
    seen.clear()
    cured.clear()
    return Tenant()


def run(*arguments: Any) -> None:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output


def dead(sandbox: Sandbox, tenant: Tenant) -> None:
    pay.enqueue(order="o-1")
    sandbox.drain()
    tenant.here = None
    cured.append(True)


def test_redrive(tenant: Tenant) -> None:
    with Sandbox(hooks=[tenant]) as sandbox:
        dead(sandbox, tenant)
        run("dlq", "redrive", "headers", "--task", "pay", "--yes")
        sandbox.drain()
    assert seen == [("pay", "acme")] * 2


def test_redrive_with_other_arguments(tenant: Tenant, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    editor = tmp_path / "editor"
    editor.write_text('#!/bin/sh\nsed -i "s/o-1/o-2/" "$1"\n')
    editor.chmod(0o755)
    with Sandbox(hooks=[tenant]) as sandbox:
        dead(sandbox, tenant)
        (letter,) = sandbox.dead_letters(shop)
        monkeypatch.delenv("VISUAL", raising=False)
        monkeypatch.setenv("EDITOR", str(editor))
        run("dlq", "redrive", "headers", "--id", letter.id, "--edit", "--yes")
        sandbox.drain()
        assert pay.handle(key="o-2").status().state == "succeeded"
    assert seen == [("pay", "acme")] * 2


def test_export_and_import(tenant: Tenant, tmp_path: Path) -> None:
    file = tmp_path / "letters.jsonl"
    with Sandbox(hooks=[tenant]) as sandbox:
        dead(sandbox, tenant)
        run("dlq", "export", "headers", file)
        run("dlq", "discard", "headers", "--task", "pay", "--yes")
        run("dlq", "import", "headers", file)
        run("dlq", "redrive", "headers", "--task", "pay", "--yes")
        sandbox.drain()
    assert seen == [("pay", "acme")] * 2


def test_run_now_of_a_task_in_a_schedule(tenant: Tenant) -> None:
    with Sandbox(hooks=[tenant]) as sandbox:
        cured.append(True)
        pay.options(delay=timedelta(days=3)).enqueue(order="o-1")
        tenant.here = None
        run("delayed", "run-now", "--task", "pay", "--yes")
        sandbox.run_once()
    assert seen == [("pay", "acme")]


def test_replay_of_an_event(tenant: Tenant) -> None:
    with Sandbox(hooks=[tenant]) as sandbox:
        with celeriac.transaction() as tx:
            tx.emit("headers.paid", {"order": "o-1"})
        tenant.here = None
        sandbox.drain()

        @task(shop, on="headers.paid", name="thank_again")
        def again(order: str) -> None: ...

        run("outbox", "replay", "--type", "headers.paid", "--since", "2h", "--to", "thank_again")
        sandbox.drain()
    assert seen == [("thank", "acme"), ("thank_again", "acme")]
