"""The Pythons of this machine that the distribution supports."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

VERSIONS = ("3.12", "3.13", "3.14")


def pythons() -> Iterator[tuple[str, str]]:
    """Version and path of each one that runs and can make environments: beside this one, in pyenv, in uv, on the PATH.

    A shim of pyenv on the PATH fails when .python-version names another Python. So pyenv's own folder comes before it.
    """
    for version in VERSIONS:
        for candidate in _candidates(version):
            if candidate.is_file() and _works(candidate):
                yield version, str(candidate)
                break


def _candidates(version: str) -> Iterator[Path]:
    name, home = f"python{version}", Path.home()
    yield Path(sys.executable).with_name(name)
    for root in {Path(os.environ.get("PYENV_ROOT", home / ".pyenv")): None, home / ".pyenv": None}:
        yield from sorted((root / "versions").glob(f"{version}.*/bin/{name}"))
    yield from sorted((home / ".local/share/uv/python").glob(f"cpython-{version}.*/bin/{name}"))
    if found := shutil.which(name):
        yield Path(found)


def _works(python: Path) -> bool:
    return subprocess.run([python, "-c", "import ensurepip"], capture_output=True, check=False).returncode == 0
