"""What a project needs beside Python packages is installed once, and again if it is broken."""

import os
import sys
from pathlib import Path

import pytest

from celeriac_local import folders, install
from celeriac_local.errors import UserError

UV = """#!/bin/sh
echo uv "$@" >> "$RUNS"
mkdir -p "$UV_PROJECT_ENVIRONMENT/bin" && touch "$UV_PROJECT_ENVIRONMENT/bin/python"
"""
NPM = """#!/bin/sh
echo npm "$@" >> "$RUNS"
[ -f package-lock.json ] && mkdir -p node_modules/.bin && touch node_modules/.bin/cdk
"""


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose path has blanks, with programs uv and npm that note their runs in this file."""
    project, tools = tmp_path / "a project, with blanks", tmp_path / "tools"
    project.mkdir()
    (project / "celeriac.toml").write_text('name = "shop"\n')
    (project / "functions").mkdir()
    tools.mkdir()
    for name, script in {"uv": UV, "npm": NPM}.items():
        (tools / name).write_text(script)
        (tools / name).chmod(0o755)
    monkeypatch.chdir(project / "functions")
    monkeypatch.setattr(sys, "executable", str(tools / "python"))
    monkeypatch.setenv("RUNS", str(tmp_path / "runs"))
    (tmp_path / "runs").touch()
    return tmp_path / "runs"


def count(runs: Path) -> int:
    return len(runs.read_text().splitlines())


def test_it_is_installed_once_with_one_line(runs: Path) -> None:
    said: list[str] = []

    for _ in range(2):
        install.emulator(said.append)
        install.cdk(said.append)

    assert count(runs) == 2
    assert said == [
        "Installing the emulator (once for this project)",
        "Installing the CDK's command line (once for this project)",
    ]
    assert (folders.state() / ".gitignore").read_text() == "*\n"


@pytest.mark.parametrize(
    "breaks",
    [
        lambda: folders.emulator_python().unlink(missing_ok=True),
        lambda: (folders.emulator_environment() / ".made-from").unlink(missing_ok=True),
        lambda: (folders.emulator_environment() / ".made-from").write_bytes(b"\xff"),
        lambda: folders.root().rename(folders.root().with_name("moved")),
    ],
)
def test_what_is_broken_or_half_made_or_moved_is_made_anew(
    breaks: object, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install.emulator(lambda _: None)
    top = folders.root()
    (folders.emulator_environment() / "old").touch()
    assert callable(breaks)
    breaks()
    if not top.exists():
        monkeypatch.chdir(top.with_name("moved"))

    install.emulator(lambda _: None)

    assert count(runs) == 2
    assert not (folders.emulator_environment() / "old").exists()


def test_a_failed_installation_says_why_and_is_tried_again(runs: Path) -> None:
    tool = Path(sys.executable).with_name("npm")
    tool.write_text("#!/bin/sh\necho 'npm error ENOTFOUND registry.npmjs.org' >&2\nexit 1\n")
    with pytest.raises(UserError, match=r"npm ci failed:\n  npm error ENOTFOUND .*\n.*HTTPS_PROXY"):
        install.cdk(lambda _: None)

    tool.write_text(NPM)
    assert install.cdk(lambda _: None).exists()


def test_a_missing_tool_is_named_with_the_extra_that_brings_it(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path(sys.executable).with_name("uv").unlink()
    monkeypatch.setenv("PATH", os.devnull)

    with pytest.raises(UserError, match=r"pip install 'celeriac\[local\]'"):
        install.emulator(lambda _: None)


def test_variables_of_other_pythons_are_left_out_and_home_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIRTUAL_ENV", "/elsewhere")
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    monkeypatch.delenv("HOME", raising=False)

    given = install.environment()

    assert given.keys() & {"VIRTUAL_ENV", "PYTHONPATH"} == set()
    assert Path(given["HOME"]).is_dir()


def test_a_folder_without_a_project_is_named_with_a_cure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    with pytest.raises(UserError, match=r"There is no celeriac\.toml in .*celeriac new"):
        folders.root()
