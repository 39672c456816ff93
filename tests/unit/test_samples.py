"""Messages after all or some of the sample tasks were removed. The library's tests have no sample tasks."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from celeriac import Queue, task
from celeriac.declare import registry
from celeriac.model import declared
from celeriac_local import folders
from celeriac_local.commands import app
from celeriac_local.demo import samples
from celeriac_local.demo.next_steps import command_to_send
from celeriac_local.errors import UserError


@pytest.fixture(autouse=True)
def _only_tasks_of_the_tests_application() -> Iterator[None]:
    with registry.only(lambda task: task.function.__module__.startswith("tests.application.")):
        yield


def test_a_demo_without_the_samples_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folders, "has_samples", lambda: True)
    done = CliRunner().invoke(app, ["demo"])
    assert done.exit_code == 0
    assert "The demo shows the sample tasks at work, and they were removed." in done.output
    assert """celeriac local up, then celeriac --stage local send file_away --json '{"paper": "..."}'""" in done.output


def test_only_the_removed_samples_are_called_missing() -> None:
    @task(Queue("emails"), name="send_welcome_email")
    def welcome(user_id: int, email: str) -> None: ...

    @task(Queue("mail"), name="send_order_confirmation")
    def confirm(order_id: str, email: str) -> None: ...

    tasks = "deliver_webhook, place_order, process_payment, send_order_confirmation"  # the last is on another queue
    assert samples.missing().startswith(f"a part of them was removed: {tasks}")
    assert "the table orders" not in samples.missing()


def test_the_example_is_an_existing_task() -> None:
    assert (
        CliRunner().invoke(app, ["example"]).output
        == """celeriac --stage local send file_away --json '{"paper": "..."}'\n"""
    )


def test_without_tasks_the_example_is_a_template(application: None) -> None:
    assert command_to_send() == """celeriac --stage local send NAME --json '{"parameter": "value"}'"""


@pytest.fixture
def application(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An application that declares nothing."""
    (tmp_path / "no_application").mkdir()
    (tmp_path / "no_application" / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "no_application", raising=False)
    with declared.application("no_application"):
        yield


def test_tasks_that_cannot_be_loaded_are_reported_with_the_error(application: None, tmp_path: Path) -> None:
    (tmp_path / "no_application" / "half.py").write_text("from no_application.http import pool\n")
    with pytest.raises(UserError, match=r"the tasks can't be loaded: No module named 'no_application.http'"):
        samples.missing()
