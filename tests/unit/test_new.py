"""`celeriac new` makes a project that works as it is, and that can't drift from this repository's own application."""

import json
import os
import re
import subprocess
import sys
import tomllib
from importlib.metadata import PathDistribution
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from celeriac.model.version import VERSION
from celeriac_console.made import library, releases
from celeriac_console.main import app

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
STEPS = {"up", "down", "demo", "synth", "diff", "deploy", "destroy"}


def installed(folder: Path, direct_url: dict[str, object] | None) -> PathDistribution:
    """Celeriac, as an installer has written it down."""
    info = folder / "celeriac-9.dist-info"
    info.mkdir(exist_ok=True)
    (info / "METADATA").write_text("Name: celeriac\nVersion: 9\n")
    if direct_url is not None:
        (info / "direct_url.json").write_text(json.dumps(direct_url))
    return PathDistribution(info)


@pytest.fixture
def _from_an_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = installed(tmp_path, None)
    monkeypatch.setattr(library, "distribution", lambda _: found)


def new(*words: str | Path) -> Result:
    return CliRunner().invoke(app, ["new", *map(str, words)])


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new project, as an index's release makes it."""
    top = tmp_path_factory.mktemp("with blanks, spät")
    found = installed(top, None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(library, "distribution", lambda _: found)
        done = new(top / "my tasks", "--defaults", "--region", "eu-west-1")
    assert done.exit_code == 0, done.output
    assert "make demo" in done.output
    assert re.search(r"  cd '.*my tasks'\n", done.output), done.output
    return top / "my tasks"


def in_project(project: Path, *command: str | Path, **more: str) -> str:
    """Run a program of this environment there, and return what it prints."""
    variables = {name: value for name, value in os.environ.items() if not name.startswith(("CELERIAC_", "PYTEST_"))}
    words = [str(BIN / command[0]), *map(str, command[1:])]
    done = subprocess.run(words, cwd=project, env=variables | more, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def files(project: Path) -> set[str]:
    found = (path.relative_to(project) for path in project.rglob("*") if path.is_file())
    made = {".celeriac", "__pycache__", ".pytest_cache", ".mypy_cache", ".ruff_cache"}
    return {path.as_posix() for path in found if not made & set(path.parts)}


def test_the_files_are_few_and_the_users(project: Path) -> None:
    assert files(project) == {
        *(
            ".copier-answers.yml",
            ".gitignore",
            "Makefile",
            "README.md",
            "pyproject.toml",
            ".github/workflows/checks.yml",
        ),
        *("app.py", "cdk.json", "celeriac.toml", "infra/application.py", "tests/test_tasks.py"),
        *("functions/tasks/__init__.py", "functions/tasks/queues.py", "functions/tasks/words.py"),
    }
    assert 'name = "mytasks"' in (project / "celeriac.toml").read_text()
    assert (project / "celeriac.toml").read_text().count('regions = ["eu-west-1"]') == 2
    assert f"_commit: {VERSION}\n_src_path: .celeriac/template\n" in (project / ".copier-answers.yml").read_text()
    assert tomllib.loads((project / "pyproject.toml").read_text())["project"]["name"] == "my-tasks"


def test_it_lists_no_services_so_that_those_that_its_tasks_call_are_found(project: Path) -> None:
    assert "celeriac" not in tomllib.loads((project / "pyproject.toml").read_text())["tool"]


def test_its_tests_pass(project: Path) -> None:
    assert "3 passed" in in_project(project, "pytest", "-q", "-p", "no:cacheprovider")


def test_its_style_and_types_are_those_that_it_asks_for(project: Path) -> None:
    in_project(project, "ruff", "check", "--no-cache", ".")
    in_project(project, "ruff", "format", "--no-cache", "--check", ".")
    assert "no issues found in 6 source files" in in_project(project, "mypy")


def test_it_synthesizes(project: Path, tmp_path: Path) -> None:
    # The bundle needs uv.lock, which `make setup` writes; a synth that deploys nothing has none.
    context = json.dumps({"stage": "prod", "aws:cdk:bundling-stacks": []})
    in_project(project, "python", "app.py", CDK_OUTDIR=str(tmp_path), CDK_CONTEXT_JSON=context)

    stacks = {path.name.removesuffix(".template.json") for path in tmp_path.glob("*.template.json")}
    assert stacks == {"mytasks-prod--state", "mytasks-prod--work"}


def test_its_demo_sends_tasks_that_exist(project: Path) -> None:
    told = json.loads(in_project(project, "celeriac", "tasks", "--json"))
    names = {each["task"] for each in told}
    assert names == {"greet", "count_words"}
    sent = tomllib.loads((project / "celeriac.toml").read_text())["demo"]
    assert {each["task"] for each in sent} == names


@pytest.mark.parametrize("name", ["app.py", "cdk.json"])
def test_a_file_of_both_is_equal_in_both(name: str, project: Path) -> None:
    assert (project / name).read_bytes() == (ROOT / name).read_bytes()


def test_what_git_ignores_there_is_ignored_here(project: Path) -> None:
    mine, theirs = ((folder / ".gitignore").read_text().splitlines() for folder in (ROOT, project))
    assert set(theirs) <= set(mine)


def test_a_command_of_both_makefiles_is_equal_in_both(project: Path) -> None:
    mine, theirs = (recipes(folder / "Makefile") for folder in (ROOT, project))
    assert mine.keys() >= STEPS
    assert {name: theirs[name] for name in STEPS} == {name: mine[name] for name in STEPS}
    assert theirs["lint"] == [line for line in mine["lint"] if "lint-imports" not in line]
    assert theirs["types"] == mine["types"][:1]  # the library is also checked for other Pythons, and the examples


def recipes(makefile: Path) -> dict[str, list[str]]:
    """The lines of each target that is a word."""
    found: dict[str, list[str]] = {}
    for target, lines in re.findall(r"^([a-z]+):.*\n((?:\t.*\n)+)", makefile.read_text(), flags=re.MULTILINE):
        found[target] = lines.splitlines()
    return found


def test_the_actions_of_its_workflow_are_those_of_the_repository(project: Path) -> None:
    mine, theirs = (
        set(re.findall(r"uses: .*", (folder / ".github" / "workflows" / name).read_text()))
        for folder, name in ((ROOT, "ci.yml"), (project, "checks.yml"))
    )
    assert theirs
    assert theirs <= mine


@pytest.mark.usefixtures("_from_an_index")
def test_a_folder_that_is_not_empty_is_refused_and_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "notes.txt").touch()

    done = new(tmp_path / "there", "--defaults")

    assert done.exit_code == 2
    assert "isn't empty: choose another folder" in " ".join(done.output.split())
    assert files(tmp_path / "there") == {"notes.txt"}


@pytest.mark.usefixtures("_from_an_index")
@pytest.mark.parametrize(
    ("words", "said"),
    [(["--name", "My-Shop"], "1-20 lower-case letters"), (["--region", "Ireland"], "write a name such as eu-west-1")],
)
def test_an_answer_that_cannot_be_used_is_refused_before_anything_is_made(
    words: list[str], said: str, tmp_path: Path
) -> None:
    done = new(tmp_path / "shop", "--defaults", *words)

    assert done.exit_code == 2
    assert said in " ".join(done.output.split())
    assert not (tmp_path / "shop").exists()


@pytest.mark.usefixtures("_from_an_index")
@pytest.mark.parametrize(
    ("folder", "words", "name"),
    [
        ("bäume", [], "bume"),
        ("123", [], "app"),
        ("bäume", ["--name", "trees"], None),
        ("trees", [], None),
    ],
)
def test_a_name_that_had_to_be_changed_is_told(folder: str, words: list[str], name: str | None, tmp_path: Path) -> None:
    done = new(tmp_path / folder, "--defaults", *words)

    assert done.exit_code == 0, done.output
    told = " ".join(done.output.split())
    assert ("The application's name is" in told) == (name is not None)
    assert name is None or f"The application's name is {name}, made of the folder's. For another one: --name" in told


def test_the_wheel_that_celeriac_was_installed_from_goes_into_the_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = tmp_path / "dist, with blanks" / "celeriac-9-py3-none-any.whl"
    wheel.parent.mkdir()
    wheel.write_text("a wheel")
    found = installed(tmp_path, {"url": wheel.as_uri(), "archive_info": {}})
    monkeypatch.setattr(library, "distribution", lambda _: found)

    done = new(tmp_path / "shop", "--defaults")

    assert done.exit_code == 0, done.output
    assert (tmp_path / "shop" / "vendor" / wheel.name).read_text() == "a wheel"
    settings = tomllib.loads((tmp_path / "shop" / "pyproject.toml").read_text())
    assert settings["tool"]["uv"]["sources"] == {"celeriac": {"path": f"vendor/{wheel.name}"}}

    wheel.unlink()
    done = new(tmp_path / "another", "--defaults")
    assert done.exit_code == 2
    assert "isn't there any more" in " ".join(done.output.split())
    assert not (tmp_path / "another").exists()


@pytest.mark.usefixtures("_from_an_index")
def test_without_git_the_error_says_so_and_nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    done = new(tmp_path / "shop", "--defaults")

    assert done.exit_code == 2
    assert "git isn't installed" in done.output
    assert not (tmp_path / "shop").exists()


def test_a_template_is_frozen_with_all_its_files_and_always_alike(tmp_path: Path) -> None:
    one, two = (releases.freeze(tmp_path / name) for name in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()
    releases._unpack(one, tmp_path / "unpacked")
    unpacked = tmp_path / "unpacked"
    for file in unpacked.rglob("*"):
        if file.is_file():
            assert file.read_bytes() == (releases.TEMPLATE / file.relative_to(unpacked)).read_bytes()
    assert (unpacked / "project" / ".github" / "workflows" / "checks.yml").exists()
