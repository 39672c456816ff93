"""The packages of a bundle come from the team's own lock file, in any layout of a project.

The builds here install `six`, whose wheel and page of the index are in uv's cache after the first run.
"""

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from email.message import Message
from importlib.metadata import PackageMetadata
from pathlib import Path
from typing import cast

import pytest

from celeriac_cdk.bundle import lock, needs
from celeriac_cdk.bundle.build import build_bundle
from celeriac_cdk.bundle.errors import BundleError
from celeriac_cdk.bundle.install import run_uv
from celeriac_cdk.bundle.source import Source, library_root
from celeriac_cdk.bundle.target import LAMBDA_ARM64, THIS_MACHINE, Target, on_lambda

ROOT = Path(__file__).parents[2]
HASH = "--hash=sha256:" + "0" * 64


def project(folder: Path, package: str = "src/shop_tasks", dependencies: str = "[]") -> Source:
    """A project with one task, and no lock file yet."""
    (folder / package).mkdir(parents=True)
    (folder / package / "__init__.py").write_text("")
    (folder / package / "mail.py").write_text("x = 1\n")
    (folder / "pyproject.toml").write_text(
        f'[project]\nname = "shop"\nversion = "1"\nrequires-python = ">=3.12"\ndependencies = {dependencies}\n'
    )
    return Source(folder / package, folder)


@pytest.fixture(scope="module")
def requirements() -> str:
    """What `uv export`, pip-compile and `poetry export` write for the packages that the library needs."""
    return run_uv(ROOT, "export", "--quiet", "--frozen", "--no-default-groups", "--no-emit-project")


def shipped(built: Path) -> set[str]:
    return {file.relative_to(built).as_posix() for file in built.rglob("*") if file.is_file() and file.suffix != ".pyc"}


def built_here(source: Source, target: Target = THIS_MACHINE) -> Path:
    """The bundle; its pages of the index may have to be fetched once."""
    try:
        return build_bundle(source, target)
    except BundleError as error:
        if "could not be fetched" in str(error):
            pytest.skip("uv's cache lacks the pages of the index, and there is no network")
        raise


def test_requirements_with_hashes_make_a_bundle_with_the_installed_library(tmp_path: Path, requirements: str) -> None:
    source = project(tmp_path / "a project with blanks")
    (source.project / "requirements.txt").write_text(requirements + f"celeriac==0.0.1 {HASH}\n")

    found = shipped(built_here(source))

    assert {"shop_tasks/mail.py", "boto3/__init__.py", "celeriac/entry/consumer.py", "celeriac/py.typed"} <= found
    assert not any(name.startswith(("celeriac/testing", "celeriac_cdk", "celeriac-")) for name in found)
    assert (source.project / ".celeriac" / ".gitignore").read_text() == "*\n"


def test_a_uv_lock_that_has_celeriac_as_a_package_ships_the_installed_one_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # as the CDK's command line does if its output is no terminal
    source = project(tmp_path, dependencies='["celeriac"]')
    with (tmp_path / "pyproject.toml").open("a") as file:
        file.write(f'[dependency-groups]\ndev = ["celeriac"]\n[tool.uv.sources]\nceleriac = {{ path = "{ROOT}" }}\n')
    uv = Path(sys.executable).with_name("uv")
    locked = subprocess.run([uv, "lock", "--quiet", "--project", tmp_path], capture_output=True, text=True, check=False)
    if locked.returncode and re.search("error sending request|dns error", locked.stderr):
        pytest.skip("locking needs the package index")
    assert locked.returncode == 0, locked.stderr

    found = shipped(build_bundle(source, THIS_MACHINE))

    assert {"shop_tasks/mail.py", "msgspec/__init__.py", "celeriac/entry/relay.py"} <= found
    assert not any(name.startswith(("celeriac-", "celeriac_cdk", "tasks/")) for name in found)


def test_a_package_beside_pyproject_ships_alone_and_one_in_a_source_root_with_its_neighbours(tmp_path: Path) -> None:
    alone, neighbours = project(tmp_path / "flat", "shop_tasks"), project(tmp_path / "src-layout")
    for source in (alone, neighbours):
        (source.root / "helpers.py").write_text("")
        (source.root / ".env").write_text("PASSWORD=x")

    assert {file.relative_to(alone.root).as_posix() for file in alone.files()} == {
        "shop_tasks/__init__.py",
        "shop_tasks/mail.py",
    }
    assert {file.relative_to(neighbours.root).as_posix() for file in neighbours.files()} == {
        "helpers.py",
        "shop_tasks/__init__.py",
        "shop_tasks/mail.py",
    }


def test_a_copy_of_the_library_in_the_source_root_is_not_shipped_twice() -> None:
    ours = Source(ROOT / "functions" / "tasks", ROOT)

    assert library_root() == ROOT / "functions"
    assert {file.relative_to(ours.root).parts[0] for file in ours.files()} == {"tasks"}


def test_a_package_that_is_missing_or_has_no_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="no package with tasks at"):
        Source(tmp_path / "src" / "shop", tmp_path).files()
    (tmp_path / "shop-tasks").mkdir()
    with pytest.raises(BundleError, match="'shop-tasks' can't be imported"):
        Source(tmp_path / "shop-tasks", tmp_path).files()


@pytest.mark.parametrize(
    ("file", "cure"),
    [
        ("poetry.lock", "poetry export --only main --output requirements.txt"),
        ("pdm.lock", "pdm export --prod"),
        ("Pipfile.lock", "pipenv requirements --hash"),
        (None, r'has no lock file.*run `uv lock --python "\$\(command -v python\)"`'),
    ],
)
def test_without_a_lock_file_that_uv_reads_the_error_says_how_to_get_one(
    tmp_path: Path, file: str | None, cure: str
) -> None:
    if file is not None:
        (tmp_path / file).write_text("")

    with pytest.raises(BundleError, match=cure):
        lock.find(tmp_path, {})


def test_uv_lock_wins_an_export_beats_its_origin_and_the_project_may_name_another(tmp_path: Path) -> None:
    for name in ("poetry.lock", "requirements.txt", "requirements-tasks.txt"):
        (tmp_path / name).write_text("")
    assert lock.find(tmp_path, {}) == tmp_path / "requirements.txt"
    assert lock.find(tmp_path, {"lock": "requirements-tasks.txt"}) == tmp_path / "requirements-tasks.txt"
    (tmp_path / "uv.lock").write_text("")
    assert lock.find(tmp_path, {}) == tmp_path / "uv.lock"
    with pytest.raises(BundleError, match="has no such file"):
        lock.find(tmp_path, {"lock": "gone.txt"})
    with pytest.raises(BundleError, match="is 7, write a file"):
        lock.find(tmp_path, {"lock": 7})


@pytest.mark.parametrize("text", ['[tool]\nceleriac = "x"\n', "[[tool.celeriac]]\ndocker = true\n", 'tool = "x"\n'])
def test_options_that_are_no_table_are_refused_in_a_sentence(tmp_path: Path, text: str) -> None:
    source = project(tmp_path)
    (tmp_path / "pyproject.toml").write_text(text)

    with pytest.raises(BundleError, match=r"where a table belongs: write \[tool\.celeriac\]"):
        build_bundle(source, LAMBDA_ARM64)


def test_only_celeriac_is_left_out_of_requirements() -> None:
    text = f"""# made by pip-compile
--index-url https://pypi.org/simple
boto3==1.44.5 ; python_version >= "3.12" \\
    {HASH} \\
    {HASH}  # via celeriac
Celeriac[cdk]==0.2.0 \\
    {HASH}
celeriac-extras==1.0 {HASH}
"""
    kept = lock.without_the_library(text, "requirements.txt").splitlines()

    assert [line.split()[0] for line in kept] == ["--index-url", "boto3==1.44.5", "celeriac-extras==1.0"]
    assert kept[1].count("--hash") == 2


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("boto3==1.44.5\nsix\n", r"no hash for boto3, six: make it by .*--generate-hashes"),
        ("-r base.txt\n", "has the line '-r base.txt'"),
        ("-e .\n", "has the line '-e .'"),
    ],
)
def test_requirements_that_are_no_lock_are_refused(text: str, complaint: str) -> None:
    with pytest.raises(BundleError, match=complaint):
        lock.without_the_library(text, "requirements.txt")


def test_a_lock_that_would_ship_the_cdk_is_refused_with_the_cure() -> None:
    names = lock.names_in_requirements(f"boto3==1 {HASH}\naws_cdk.lib==2.275 {HASH}\n")

    with pytest.raises(BundleError, match=r"requirements\.txt would put aws-cdk-lib .*lock = "):
        lock.check_for_tools(names, "requirements.txt")
    with pytest.raises(BundleError, match="uv add --dev"):
        lock.check_for_tools(names, "uv.lock")


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda text: re.sub(r"(?m)^msgspec==(.|\n)*?(?=^\w)", "", text), "lacks msgspec, which Celeriac needs"),
        (lambda text: re.sub(r"(?m)^jmespath==(.|\n)*?(?=^\w)", "", text), "lacks jmespath, which .* needs"),
        (lambda _: "", "lacks .*, which Celeriac needs: add `celeriac`"),
    ],
    ids=["a package of the library", "a package of a package", "nothing"],
)
def test_a_lock_without_what_the_library_needs_is_refused(
    tmp_path: Path, requirements: str, change: Callable[[str], str], complaint: str
) -> None:
    source = project(tmp_path)
    (tmp_path / "requirements.txt").write_text(change(requirements))

    with pytest.raises(BundleError, match=complaint):
        built_here(source)


def test_a_version_that_the_library_does_not_take_is_refused() -> None:
    held = Message()
    held["Name"], held["Version"] = "boto3", "1.20.0"

    with pytest.raises(BundleError, match=r"uv\.lock has boto3 1\.20\.0, and the installed Celeriac needs boto3<1\.45"):
        needs.check({"boto3": cast("PackageMetadata", held)}, ["boto3<1.45,>=1.44"], "uv.lock")


def test_a_package_without_a_wheel_is_named_with_the_platform(tmp_path: Path) -> None:
    source = project(tmp_path)
    (tmp_path / "requirements.txt").write_text(f"psycopg2==2.9.10 {HASH}\n")

    with pytest.raises(BundleError, match=r"psycopg2 of requirements\.txt has no wheel for arm64 and Python 3\.13"):
        built_here(source, LAMBDA_ARM64)


def test_docker_that_is_asked_for_and_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = project(tmp_path)
    (tmp_path / "requirements.txt").write_text(f"psycopg2==2.9.10 {HASH}\n")
    with (tmp_path / "pyproject.toml").open("a") as file:
        file.write("[tool.celeriac]\ndocker = true\n")
    monkeypatch.setenv("PATH", "/nowhere")

    with pytest.raises(BundleError, match=r"sam/build-python.*'docker' is missing: install Docker"):
        build_bundle(source, LAMBDA_ARM64)


def test_docker_is_run_once_and_what_it_installs_is_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = project(tmp_path)
    (tmp_path / "requirements.txt").write_text(f"psycopg2==2.9.10 {HASH}\n")
    with (tmp_path / "pyproject.toml").open("a") as file:
        file.write("[tool.celeriac]\ndocker = true\n")
    docker = tmp_path / "bin/docker"  # it installs nothing
    docker.parent.mkdir()
    docker.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/typed\n')
    docker.chmod(0o755)
    monkeypatch.setenv("PATH", f"{docker.parent}:/bin:/usr/bin")

    with pytest.raises(BundleError, match=r"requirements\.txt lacks .*, which Celeriac needs"):
        build_bundle(source, LAMBDA_ARM64)
    (typed,) = (tmp_path / "typed").read_text().splitlines()
    assert "--platform linux/arm64" in typed


def test_each_runtime_has_its_own_packages_and_byte_code_only_of_this_python(tmp_path: Path, requirements: str) -> None:
    source = project(tmp_path)
    (tmp_path / "requirements.txt").write_text(requirements)
    ours = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    other = "python3.12" if ours != "python3.12" else "python3.14"

    same, another = (built_here(source, on_lambda("x86_64", runtime)) for runtime in (ours, other))

    assert (same.name.split("-")[1], another.name.split("-")[1]) == (ours, other)
    assert list(same.rglob("*.pyc"))
    assert not list(another.rglob("*.pyc"))
    (extension,) = another.glob("msgspec/*.so")
    assert f"cpython-{other.removeprefix('python').replace('.', '')}-x86_64" in extension.name
    shutil.rmtree(another)
    assert build_bundle(source, on_lambda("x86_64", other), offline=True) == another
