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
    found = shutil.which(name)
    # Of a shim, the folder of pyenv: another user's, if HOME is another.
    shims = Path(found).parents[1] if found is not None else home / ".pyenv"
    for root in dict.fromkeys((Path(os.environ.get("PYENV_ROOT", home / ".pyenv")), home / ".pyenv", shims)):
        yield from sorted((root / "versions").glob(f"{version}.*/bin/{name}"))
    yield from sorted((home / ".local/share/uv/python").glob(f"cpython-{version}.*/bin/{name}"))
    if found is not None:
        yield Path(found)


def _works(python: Path) -> bool:
    return subprocess.run([python, "-c", "import ensurepip"], capture_output=True, check=False).returncode == 0
