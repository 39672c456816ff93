"""The size of the code that Lambda gets, unpacked and zipped."""

import io
import re
import shutil
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import distribution
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Weight:
    """The bytes of some files, and of a zip file made from them."""

    bytes: int
    zipped: int

    def __str__(self) -> str:
        return f"{self.bytes / 1e6:5.1f} MB, zipped {self.zipped / 1e6:5.1f} MB"


def of_folder(folder: Path) -> Weight:
    return _of((file, str(file.relative_to(folder))) for file in sorted(folder.rglob("*")) if file.is_file())


def copy_distributions(into: Path, *names: str) -> None:
    """Copy packages installed here, with all their dependencies, as pip would install them. Byte code is left out."""
    for name in sorted(_closure(names)):
        for file in distribution(name).files or ():
            if file.suffix != ".pyc" and ".." not in file.parts:
                copy = into / file
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(str(file.locate()), copy)


def of_distributions(*names: str) -> Weight:
    """The size of packages installed here, with all their dependencies. Byte code isn't counted."""
    files = [file for name in sorted(_closure(names)) for file in distribution(name).files or ()]
    return _of((Path(str(file.locate())), str(file)) for file in files if file.suffix != ".pyc")


def _closure(names: Iterable[str]) -> set[str]:
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop().lower()
        if name not in found:
            found.add(name)
            needed = (need for need in distribution(name).requires or () if "extra ==" not in need)
            waiting += [re.split(r"[^A-Za-z0-9._-]", need, maxsplit=1)[0] for need in needed]
    return found


def _of(files: Iterable[tuple[Path, str]]) -> Weight:
    zipped, size = io.BytesIO(), 0
    with zipfile.ZipFile(zipped, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, name in files:
            if path.exists():
                archive.write(path, name)
                size += path.stat().st_size
    return Weight(size, len(zipped.getvalue()))
