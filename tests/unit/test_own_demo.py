"""The demo of a project sends what celeriac.toml names, and a mistake there gets a sentence."""

from datetime import timedelta
from pathlib import Path

import pytest
from rich.console import Console

from celeriac.leases.status import Status
from celeriac.model.failure import Failure
from celeriac.testing import Sandbox
from celeriac_local.demo import own
from celeriac_local.demo.own import Sent, read
from celeriac_local.errors import UserError


def written(folder: Path, text: str) -> Path:
    (folder / "celeriac.toml").write_text(text)
    return folder


def test_the_tasks_of_the_file_are_read_in_order(tmp_path: Path) -> None:
    text = '[[demo]]\ntask = "greet"\nargs = { name = "Ada" }\n[[demo]]\ntask = "tick"\n'
    assert read(written(tmp_path, text)) == [Sent("greet", {"name": "Ada"}), Sent("tick")]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", r"has no \[\[demo\]\]. Write for each task"),
        ('demo = "greet"', "Expected `array`, got `str`"),
        ('[[demo]]\nargs = { name = "Ada" }', "missing required field `task`"),
        ('[[demo]]\ntask = "greet"\nargument = 1', "unknown field `argument`"),
        ("[[demo", "isn't TOML"),
    ],
)
def test_a_mistake_in_the_file_is_named_with_the_form(text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=said):
        read(written(tmp_path, text))


def test_a_task_or_an_argument_that_does_not_exist_is_named(sandbox: Sandbox) -> None:
    with pytest.raises(UserError, match=r"celeriac.toml: demo: no task is named 'nothing'; there are .*file_away"):
        own._send(Sent("nothing"))
    with pytest.raises(UserError, match=r"celeriac.toml: demo: .*file_away"):
        own._send(Sent("file_away", {"papers": 1}))


def test_what_was_sent_is_watched_to_its_end(sandbox: Sandbox) -> None:
    handle = own._send(Sent("file_away", {"paper": "bill"}))
    sandbox.drain()
    sandbox.advance(timedelta(seconds=1))

    (status,) = own._watched([handle], deadline=float("inf"))

    assert (status.state, status.result) == ("succeeded", {"filed": "bill"})


def test_the_report_tells_results_and_reasons() -> None:
    console = Console(width=200)
    failure = Failure(reason="rejected", type="Reject", message="nobody [bold]")
    with console.capture() as printed:
        sent = [Sent("greet", {"name": "Ada"}), Sent("greet", {"name": ""})]
        console.print(own._table(sent, [Status("succeeded", 1, "Hello"), Status("dead", 1, failure=failure)]))
    lines = printed.get()
    assert '"Hello"' in lines
    assert "rejected: nobody [bold]" in lines
