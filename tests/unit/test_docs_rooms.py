"""The docs name the rooms and packages that exist, with the jobs and imports that the code has."""

import ast
import re
import tomllib
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ARCHITECTURE = ROOT / "docs/explanation/architecture.md"
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
HOMES = {
    "The rooms of the library": "functions/celeriac",
    "The rooms of the console": "console/celeriac_console",
    "The rooms of the stacks": "infra/celeriac_cdk",
}

type Row = tuple[str, str, str]


def shown() -> list[Row]:
    """The rows of the tables: room, job, and what it may import."""
    section = ARCHITECTURE.read_text().partition("## The rooms\n")[2].partition("\n## ")[0]
    return re.findall(r"^\| `(\w+)` \| (.*) \| (.*) \|$", section, flags=re.MULTILINE)


def layers(contract: str) -> list[list[str]]:
    """The rooms of a contract of import-linter, the lowest first. Files beside the rooms are left out."""
    (found,) = [each for each in PYPROJECT["tool"]["importlinter"]["contracts"] if each["name"] == contract]
    home = ROOT / HOMES[contract]
    rooms = [[name.strip() for name in layer.split("|")] for layer in reversed(found["layers"])]
    return [here for layer in rooms if (here := [name for name in layer if (home / name).is_dir()])]


def below(layers: list[list[str]]) -> dict[str, str]:
    """What each room may import, in the words of the tables."""
    said = dict.fromkeys(layers[0], "no other room")
    for number, (lower, here) in enumerate(pairwise(layers)):
        names = ", ".join(f"`{name}`" for name in sorted(lower))
        above = f" and the rooms above {'it' if len(lower) == 1 else 'them'}" if number else ""
        said |= dict.fromkeys(here, f"{names}{above}")
    return said


def test_the_tables_of_rooms_are_those_of_the_folders() -> None:
    said = [room for room, _, _ in shown()]
    there = [folder.parent.name for home in HOMES.values() for folder in sorted((ROOT / home).glob("*/__init__.py"))]
    assert sorted(said) == sorted(there), f"edit the tables of rooms in {ARCHITECTURE.name}"


@pytest.mark.parametrize("contract", HOMES)
def test_the_tables_give_each_rooms_job_and_imports(contract: str) -> None:
    home, imports = ROOT / HOMES[contract], below(layers(contract))
    rows = [(room, job, may) for room, job, may in shown() if (home / room).is_dir()]
    for room, job, may in rows:
        docstring = ast.get_docstring(ast.parse((home / room / "__init__.py").read_text()))
        assert job == docstring, f"edit the job of {room} in {ARCHITECTURE.name}, or its __init__.py"
        assert may == imports[room], f"edit what {room} may import in {ARCHITECTURE.name}"
    assert [room for room, _, _ in rows] == [name for layer in layers(contract) for name in sorted(layer)]
