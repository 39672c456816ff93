"""`celeriac update` merges what is new in the template, and keeps what the user has changed."""

import shutil
import subprocess
from importlib.metadata import PathDistribution
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from celeriac.model.version import VERSION
from celeriac_console.made import library, releases
from celeriac_console.main import app

OLD = "0.0.1"


def run(*words: str) -> Result:
    return CliRunner().invoke(app, [*words])


def git(project: Path, *words: str) -> None:
    me = ["-c", "user.name=me", "-c", "user.email=me@example.org", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *me, *words], cwd=project, check=True, capture_output=True)  # noqa: S607 - git from the PATH


@pytest.fixture
def template(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of this version's template. An earlier version, 0.0.1, has another README and no workflow."""
    new, old = tmp_path / "template", tmp_path / "old"
    shutil.copytree(releases.TEMPLATE, new)
    shutil.copytree(releases.TEMPLATE, old)
    (old / "project" / "README.md.jinja").write_text("# {{ folder }}\n\nOne line.\n\nThe end.\n")
    (new / "project" / "README.md.jinja").write_text("# {{ folder }}\n\nOne line, and another.\n\nThe end.\n")
    shutil.rmtree(old / "project" / ".github")
    monkeypatch.setattr(releases, "TEMPLATE", old)
    frozen = releases.freeze(tmp_path / "history")
    frozen.rename(frozen.with_name(f"{OLD}.zip"))
    monkeypatch.setattr(releases, "TEMPLATE", new)
    monkeypatch.setattr(releases, "HISTORY", tmp_path / "history")
    info = tmp_path / "celeriac-9.dist-info"
    info.mkdir()
    found = PathDistribution(info)
    monkeypatch.setattr(library, "distribution", lambda _: found)
    return new


@pytest.fixture
def project(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project that the earlier version has made, committed, in the current folder."""
    folder = tmp_path / "a shop"
    with monkeypatch.context() as patch:
        patch.setattr(releases, "VERSION", OLD)
        patch.setattr(releases, "TEMPLATE", tmp_path / "old")
        assert run("new", str(folder), "--defaults").exit_code == 0
    git(folder, "init", "-q")
    commit(folder)
    monkeypatch.chdir(folder)
    return folder


def commit(project: Path) -> None:
    git(project, "add", ".")
    git(project, "commit", "-qm", "All")


def test_a_change_of_the_template_and_one_of_the_user_both_survive(project: Path) -> None:
    assert f"_commit: {OLD}" in (project / ".copier-answers.yml").read_text()
    readme = project / "README.md"
    readme.write_text(readme.read_text() + "\nMine.\n")
    tasks = project / "functions" / "tasks" / "words.py"
    tasks.write_text(tasks.read_text() + "\n# mine\n")
    commit(project)

    done = run("update")

    assert done.exit_code == 0, done.output
    assert readme.read_text() == "# a-shop\n\nOne line, and another.\n\nThe end.\n\nMine.\n"
    assert tasks.read_text().endswith("# mine\n")
    assert (project / ".github" / "workflows" / "checks.yml").exists()
    assert f"_commit: {VERSION}" in (project / ".copier-answers.yml").read_text()
    assert f"From {OLD} to {VERSION}." in done.output
    assert "conflict" not in done.output

    commit(project)
    assert f"Nothing is new: the project has the template of {VERSION}." in run("update").output


def test_a_conflict_is_left_in_the_file_and_said(project: Path) -> None:
    readme = project / "README.md"
    readme.write_text("# a-shop\n\nMine instead.\n\nThe end.\n")
    commit(project)

    done = run("update")

    assert done.exit_code == 0, done.output
    assert "1 of these files have conflicts" in " ".join(done.output.split())
    told = readme.read_text()
    assert told.index("<<<<<<<") < told.index("Mine instead.") < told.index("One line, and another.")


def test_a_change_that_is_not_committed_stops_the_update(project: Path) -> None:
    (project / "README.md").write_text("Mine.\n")

    done = run("update")

    assert done.exit_code == 2
    assert "commit or stash them" in " ".join(done.output.split())
    assert (project / "README.md").read_text() == "Mine.\n"


def test_a_project_without_git_is_refused(project: Path) -> None:
    shutil.rmtree(project / ".git")

    done = run("update")

    assert done.exit_code == 2
    assert "isn't in a git repository with a commit" in " ".join(done.output.split())


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        (None, "celeriac new didn't make it"),
        ("_commit: 99.0.0\n", "raise the version"),
        ("name: x\n", "no line _commit"),
    ],
)
def test_a_project_of_an_unknown_template_is_refused(answers: str | None, said: str, project: Path) -> None:
    file = project / ".copier-answers.yml"
    file.unlink() if answers is None else file.write_text(answers)

    done = run("update")

    assert done.exit_code == 2
    assert said in " ".join(done.output.split())


def test_a_folder_without_a_project_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    done = run("update")

    assert done.exit_code == 2
    assert "no celeriac.toml" in done.output
