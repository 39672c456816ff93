"""A uv.lock that doesn't fit its project any more is noticed before anything is built."""

from pathlib import Path

import pytest

from celeriac_cdk.bundle import stale
from celeriac_cdk.bundle.build import build_bundle
from celeriac_cdk.bundle.errors import BundleError
from celeriac_cdk.bundle.source import Source
from celeriac_cdk.bundle.target import LAMBDA_ARM64, THIS_MACHINE, on_lambda

ROOT = Path(__file__).parents[2]
LOCK = """version = 1
requires-python = ">=3.12"
[[package]]
name = "other"
source = { registry = "https://pypi.org/simple" }
[[package]]
name = "shop"
version = "1"
source = { virtual = "." }
[package.metadata]
requires-dist = [
    { name = "zope-interface", specifier = ">6" },
    { name = "six", marker = "python_full_version < '3.13'" },
    { name = "httpx", extras = ["http2"] },
    { name = "rich", marker = "extra == 'cli'" },
]
"""


def pyproject(dependencies: str) -> str:
    return f'[project]\nname = "shop"\nversion = "1"\n{dependencies}\n'


def project(folder: Path, dependencies: str, lock: str = LOCK) -> Source:
    package = folder / "src" / "shop_tasks"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (folder / "pyproject.toml").write_text(pyproject(f"dependencies = {dependencies}"))
    (folder / "uv.lock").write_text(lock)
    return Source(package, folder)


@pytest.mark.parametrize(
    "dependencies",
    [
        """dependencies = ["Zope.Interface>6", "six; python_version<'3.13'", "httpx[http2] >=0.1", "shop[cli]"]""",
        "dependencies = []",
        'dynamic = ["dependencies"]',
        'dependencies = "six"',
    ],
)
def test_a_lock_that_knows_every_dependency_is_taken(dependencies: str) -> None:
    stale.check_dependencies(pyproject(dependencies), LOCK)


def test_nothing_is_compared_without_an_entry_of_the_project_itself() -> None:
    stale.check_dependencies(pyproject('dependencies = ["six"]'), "version = 1\n")
    stale.check_dependencies("[tool.uv.workspace]\n", LOCK)


def test_our_own_lock_is_up_to_date() -> None:
    stale.check_dependencies((ROOT / "pyproject.toml").read_text(), (ROOT / "uv.lock").read_text())


@pytest.mark.parametrize(
    ("dependencies", "named"),
    [('["six", "Attrs>=1"]', "attrs"), ('["rich"]', "rich"), ('["e", "d", "c", "b"]', "b, c, d and others")],
    ids=["not locked", "locked for an extra only", "many"],
)
def test_a_dependency_that_is_not_locked_is_named_with_the_cure(dependencies: str, named: str) -> None:
    with pytest.raises(BundleError, match=rf"names {named} under dependencies, .* run `uv lock` again"):
        stale.check_dependencies(pyproject(f"dependencies = {dependencies}"), LOCK)


def test_a_project_without_dependencies_so_far_has_no_metadata_in_its_lock() -> None:
    with pytest.raises(BundleError, match="names six"):
        stale.check_dependencies(pyproject('dependencies = ["six"]'), LOCK.partition("[package.metadata]")[0])


def test_a_build_compares_them_first(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="names attrs under dependencies"):
        build_bundle(project(tmp_path, '["six", "attrs"]'), LAMBDA_ARM64)
    assert not (tmp_path / ".celeriac").exists()


def test_a_lock_that_is_no_toml_is_named() -> None:
    with pytest.raises(BundleError, match=r"uv\.lock isn't TOML"):
        stale.check_dependencies(pyproject("dependencies = []"), "<<<<<<< HEAD\n")


@pytest.mark.parametrize("allowed", [">=3.12", ">=3.13.5", "==3.13.*", ">=3.12, <3.15", ">3.13, !=3.13.0"])
def test_a_lock_that_allows_the_runtime_is_taken(allowed: str) -> None:
    stale.check_python(f'requires-python = "{allowed}"\n', on_lambda("arm64", "python3.13"))


@pytest.mark.parametrize(("allowed", "runtime"), [(">=3.13", "3.12"), (">=3.12, <3.14", "3.14"), ("==3.12.*", "3.13")])
def test_a_lock_that_leaves_out_a_runtime_names_requires_python(allowed: str, runtime: str) -> None:
    with pytest.raises(BundleError, match=rf"leaves out Python {runtime}, a runtime of the queues: allow it by"):
        stale.check_python(f'requires-python = "{allowed}"\n', on_lambda("x86_64", f"python{runtime}"))


def test_a_lock_that_leaves_out_the_python_of_this_machine_says_so() -> None:
    with pytest.raises(BundleError, match=r"which this machine runs: .* or use another Python here"):
        stale.check_python('requires-python = "<3.9"\n', THIS_MACHINE)


def test_a_lock_without_a_python_that_can_be_read_is_left_to_uv() -> None:
    stale.check_python("version = 1\n", LAMBDA_ARM64)
    stale.check_python('requires-python = "three"\n', LAMBDA_ARM64)


def test_a_build_compares_the_runtime(tmp_path: Path) -> None:
    source = project(tmp_path, "[]", LOCK.replace(">=3.12", ">=3.14"))
    with pytest.raises(BundleError, match=r"requires-python >=3\.14, which leaves out Python 3\.13"):
        build_bundle(source, LAMBDA_ARM64)
