"""Packages of this machine in a lock: folders and members of a workspace are refused with a cure, a wheel ships."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from celeriac_cdk.bundle import lock
from celeriac_cdk.bundle.errors import BundleError
from celeriac_cdk.bundle.install import install
from celeriac_cdk.bundle.source import Source
from celeriac_cdk.bundle.target import LAMBDA_ARM64, THIS_MACHINE

UV = Path(sys.executable).with_name("uv")


def write(folder: Path, name: str, more: str = "") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    text = f'[project]\nname = "{name}"\nversion = "1"\nrequires-python = ">=3.12"\n{more}'
    (folder / "pyproject.toml").write_text(text)


def locked(folder: Path, source: str) -> Source:
    """A project that needs `prices`, which is on this machine, with its uv.lock."""
    write(folder, "shop", f'dependencies = ["prices"]\n[tool.uv.sources]\nprices = {{ path = "{source}" }}\n')
    (folder / "src/shop_tasks").mkdir(parents=True)
    command = [str(UV), "lock", "--quiet", "--offline", "--python", sys.executable, "--project", str(folder)]
    subprocess.run(command, check=True, cwd=folder)
    return Source(folder / "src/shop_tasks", folder)


@pytest.mark.parametrize("docker", ["true", "false"])
def test_a_local_folder_is_refused_with_what_can_be_done(tmp_path: Path, docker: str) -> None:
    write(
        tmp_path / "prices", "prices", '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n'
    )
    source = locked(tmp_path / "shop", "../prices")
    with (source.project / "pyproject.toml").open("a") as file:
        file.write(f"[tool.celeriac]\ndocker = {docker}\n")

    with pytest.raises(BundleError, match=r"uv\.lock has .*prices from a local folder, .*`uv build --wheel`"):
        install(source, source.project / "built", LAMBDA_ARM64, offline=True)


def test_a_local_wheel_is_installed(tmp_path: Path) -> None:
    wheel = tmp_path / "shop" / "vendor" / "prices-1-py3-none-any.whl"
    wheel.parent.mkdir(parents=True)
    with zipfile.ZipFile(wheel, "w") as file:
        file.writestr("prices.py", "VAT = 20\n")
        file.writestr("prices-1.dist-info/METADATA", "Metadata-Version: 2.1\nName: prices\nVersion: 1\n")
        file.writestr("prices-1.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        file.writestr("prices-1.dist-info/RECORD", "")
    source = locked(tmp_path / "shop", "vendor/prices-1-py3-none-any.whl")
    staging = source.project / ".celeriac" / "bundles" / "building"
    staging.mkdir(parents=True)

    install(source, staging / "bundle", THIS_MACHINE, offline=True)

    assert (staging / "bundle" / "prices.py").is_file()


def test_an_export_names_its_folders() -> None:
    text = "-e ./a\n../lib\n    # via shop\n./vendor/b-1-py3-none-any.whl --hash=sha256:0\nsix==1 --hash=sha256:0\n"

    assert lock.folders_in_requirements(text) == ["./a", "../lib"]


@pytest.mark.parametrize("members", ['["packages/*"]', '["./packages/tasks/"]'])
def test_a_member_of_a_workspace_is_sent_to_its_root(tmp_path: Path, members: str) -> None:
    member = tmp_path / "packages" / "tasks"
    write(member, "tasks")
    (tmp_path / "pyproject.toml").write_text(f"[tool.uv.workspace]\nmembers = {members}\n")

    with pytest.raises(BundleError, match=rf"member of the uv workspace {tmp_path}, .*give `project=` that folder"):
        lock.find(member, {})


@pytest.mark.parametrize(
    "root",
    [
        'members = ["libs/*"]',
        'members = ["packages/*"]\nexclude = ["packages/tasks"]',
        "members = 7",
        "members = [7]",
        "]",
    ],
)
def test_a_project_below_a_workspace_that_is_no_member_makes_its_own_lock(tmp_path: Path, root: str) -> None:
    member = tmp_path / "packages" / "tasks"
    write(member, "tasks")
    (tmp_path / "pyproject.toml").write_text(f"[tool.uv.workspace]\n{root}\n")

    with pytest.raises(BundleError, match=r"has no lock file.*uv lock"):
        lock.find(member, {})
