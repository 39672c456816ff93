"""Commands of other packages are found by their entry points. One that can't be loaded says what to install."""

from importlib.metadata import EntryPoint

import pytest
import typer
from typer.testing import CliRunner

from celeriac_console import plugged
from celeriac_console.main import app


@pytest.fixture
def points(monkeypatch: pytest.MonkeyPatch) -> dict[str, EntryPoint]:
    found: dict[str, EntryPoint] = {}
    monkeypatch.setattr(plugged, "_plugged", lambda: found)
    return found


def point(name: str, value: str) -> EntryPoint:
    return EntryPoint(name, value, plugged.GROUP)


mine = typer.Typer(help="Mine.")


@mine.command()
def greet() -> None:
    """Greet."""
    typer.echo("Hello")


@mine.command()
def leave() -> None:
    """Leave."""


def test_the_packages_of_the_distribution_bring_commands() -> None:
    shown = CliRunner().invoke(app, ["--help"]).output
    assert "The local cloud of this project" in shown
    assert "cdk " in shown


def test_a_command_of_another_package_is_run(points: dict[str, EntryPoint]) -> None:
    points["mine"] = point("mine", f"{__name__}:mine")
    assert CliRunner().invoke(app, ["mine", "greet"]).output == "Hello\n"


def test_a_command_whose_extra_is_missing_names_it(points: dict[str, EntryPoint]) -> None:
    points["local"] = point("local", "no_such_package.commands:app")
    done = CliRunner().invoke(app, ["local", "up"])
    assert done.exit_code == 2
    said = " ".join(done.output.replace("│", " ").split())
    assert "pip install 'celeriac[local]'" in said
    assert "no_such_package" in said


def test_an_unknown_command_is_still_refused(points: dict[str, EntryPoint]) -> None:
    done = CliRunner().invoke(app, ["nothing"])
    assert done.exit_code == 2
    assert "no such command" in done.output
