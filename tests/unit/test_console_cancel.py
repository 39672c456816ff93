"""`celeriac cancel`: a task by its reference, id or key, wherever it is."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from celeriac import Context, Queue, task
from celeriac.aws import schedules
from celeriac.leases import cancelling
from celeriac.testing import Sandbox
from celeriac_console.main import app
from tests.support.terminal import AtTerminal

jobs = Queue("cancel-jobs")
ran: list[str] = []


@pytest.fixture(autouse=True)
def _empty() -> None:
    ran.clear()


@task(jobs, key="name")
def cancel_me(ctx: Context, name: str) -> None:
    ran.append(name)


@task(jobs, delivery="at_least_once")
def cannot_cancel_me(name: str) -> None:
    ran.append(name)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["--stage", "test", "cancel", *arguments])


def test_a_waiting_task_by_its_reference(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("USER", "ada")
    monkeypatch.setenv("LOGNAME", "ada")
    handle = cancel_me.enqueue("a")
    told = run(handle.ref, "--why", "wrong name", "--yes")
    assert (told.exit_code, told.stdout) == (0, "cancel_me: cancelled\n")
    sandbox.drain()
    assert ran == []
    shown = CliRunner().invoke(app, ["--stage", "test", "status", handle.ref]).output
    assert "cancelled: ada cancelled it: wrong name" in shown
    as_json = json.loads(CliRunner().invoke(app, ["--stage", "test", "status", handle.ref, "--json"]).stdout)
    assert (as_json[0]["cancelled_by"], as_json[0]["cancelled_because"]) == ("ada", "wrong name")


def test_a_task_in_a_schedule(sandbox: Sandbox) -> None:
    handle = cancel_me.options(delay=timedelta(days=100)).enqueue("a")
    assert run(handle.ref, "--yes").exit_code == 0
    assert schedules.page().names == []
    sandbox.drain()
    assert ran == []
    assert handle.status().state == "cancelled"


def test_one_that_runs_is_asked_to_stop(sandbox: Sandbox) -> None:
    told: list[str] = []

    @task(jobs)
    def cancel_me_now(ctx: Context) -> None:
        told.append(run(f"cancel_me_now/{ctx.id}", "--yes").stdout)
        told.append(CliRunner().invoke(app, ["--stage", "test", "status", f"cancel_me_now/{ctx.id}"]).output)

    cancel_me_now.enqueue()
    sandbox.drain()
    assert "it runs, and is asked to stop" in told[0]
    assert "running since 2026-01-01 00:00:00Z, asked to stop" in told[1]


def test_what_has_ended_is_told(sandbox: Sandbox) -> None:
    handle = cancel_me.enqueue("a")
    sandbox.drain()
    told = run(handle.ref, "--yes")
    assert told.exit_code == 1
    assert "not cancelled, cancel_me: succeeded" in told.stderr
    assert json.loads(run("cancel_me/a", "--yes", "--json").stdout)[0]["cancelled"] is False


@pytest.mark.parametrize(
    ("reference", "sentence"),
    [("0198f3c2", "nothing is stored of '0198f3c2'"), ("at_least_once", "at_least_once: no record of it is kept")],
)
def test_a_mistake_is_told_in_a_sentence(sandbox: Sandbox, reference: str, sentence: str) -> None:
    if reference == "at_least_once":
        reference = cannot_cancel_me.enqueue("a").ref
    told = run(reference, "--yes")
    assert told.exit_code == 2
    assert sentence in told.output.replace("\n", " ")


def test_it_asks_where_data_is_kept(
    sandbox: Sandbox, at_terminal: AtTerminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "celeriac.toml").write_text('name = "celeriac"\n[stages.test]\n')
    monkeypatch.chdir(tmp_path)
    handle = cancel_me.enqueue("a")
    code, told = at_terminal("n\n", "--stage", "test", "cancel", handle.ref)
    assert (code, handle.status().state) == (1, "queued")
    assert "cancel_me: waiting in its queue" in told
    code, told = at_terminal("y\n", "--stage", "test", "cancel", handle.ref)
    assert (code, handle.status().state) == (0, "cancelled")


def test_a_dry_run_cancels_nothing(sandbox: Sandbox) -> None:
    handle: Any = cancel_me.enqueue("a")
    assert "waiting in its queue" in run(handle.ref, "--dry-run").stdout
    assert json.loads(run(handle.ref, "--dry-run", "--json").stdout)[0]["state"] == "queued"
    assert handle.status().state == "queued"


def test_a_task_is_watched_to_its_end(sandbox: Sandbox) -> None:
    @task(jobs)
    def watch_me(ctx: Context) -> None:
        ctx.progress(3, 4, "rows")

    handle = watch_me.options(delay=timedelta(seconds=30)).enqueue()
    told = CliRunner().invoke(app, ["--stage", "test", "status", handle.ref, "--watch"])
    assert told.exit_code == 0
    assert "progress: 3 of 4 rows (75%)" in told.stdout
    refused = CliRunner().invoke(app, ["--stage", "test", "status", handle.ref, "--watch", "--json"])
    assert refused.exit_code == 2
    as_json = json.loads(CliRunner().invoke(app, ["--stage", "test", "status", handle.ref, "--json"]).stdout)
    assert as_json[0]["progress"]["done"] == 3


def test_when_too_many_of_a_key_are_cancelled_it_is_said(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cancelling, "MOST_CANCELLED", 1)
    first, second = cancel_me.enqueue("a"), cancel_me.enqueue("a")
    first.cancel()
    told = run(second.ref, "--yes")
    assert told.exit_code == 2
    assert "1 messages of this key are cancelled already" in told.stderr
    sandbox.drain()
    assert ran == ["a"]
