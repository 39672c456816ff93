"""Where a bundle's own files come from: the package with the tasks, its project, and the installed library."""

import tomllib
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import celeriac
from celeriac_cdk.bundle import trim
from celeriac_cdk.bundle.errors import BundleError

LIBRARY = "celeriac"
CONSOLE = "celeriac_console"


@dataclass(frozen=True, slots=True)
class Source:
    """The tasks of one project. Both paths are absolute."""

    package: Path
    """The folder of the package with the tasks, such as `src/shop_tasks`. Its name is the name of the import."""
    project: Path
    """The folder with the lock file, and mostly with pyproject.toml. Builds are kept in its `.celeriac/`."""

    @property
    def root(self) -> Path:
        """The folder that the package is imported from."""
        return self.package.parent

    def files(self) -> list[Path]:
        """Return the files below `root` that Lambda gets, in a fixed order.

        If `root` is the project's folder itself, only the package ships: beside it lie tests, documents and secrets.
        The library comes from where it is imported, see `library_files`. Raises BundleError if there is no package.
        """
        if not self.package.is_dir():
            raise BundleError(
                f"there is no package with tasks at {self.package}: make the folder, or name the right one as `source`"
            )
        if not self.package.name.isidentifier():
            raise BundleError(
                f"{self.package.name!r} can't be imported, because it is no name in Python: rename {self.package}"
            )
        if self.root.samefile(self.project):
            return [self.root / file.relative_to(self.package.parent) for file in trim.sources(self.package)]
        return [file for file in trim.sources(self.root) if file.relative_to(self.root).parts[0] != LIBRARY]

    def options(self) -> dict[str, Any]:
        """Return `[tool.celeriac]` of the project's pyproject.toml.

        Raises BundleError if the file isn't TOML, or has something else than a table there.
        """
        file = self.project / "pyproject.toml"
        try:
            found = tomllib.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise BundleError(f"{file} isn't TOML: {error}") from error
        tool = found.get("tool", {})
        options = tool.get("celeriac", {}) if isinstance(tool, dict) else tool
        if not isinstance(options, dict):
            raise BundleError(
                f"{file} has {options!r} where a table belongs: write [tool.celeriac] on a line of its own, and the "
                "options below it"
            )
        return options


def library_root() -> Path:
    """Return the folder that the library is imported from: an installed package, or the clone of an editable one."""
    return Path(celeriac.__file__).resolve().parents[1]


def library_files() -> list[Path]:
    """Return the library's files that Lambda gets, in a fixed order."""
    return trim.sources(library_root() / LIBRARY)


def console_root() -> Path:
    """Return the folder that the console is imported from. It is one distribution with the library."""
    found = find_spec(CONSOLE)
    if found is None or found.origin is None:
        raise BundleError(f"{CONSOLE} isn't installed here: install Celeriac again, by pip install 'celeriac[cdk]'")
    return Path(found.origin).resolve().parents[1]


def console_files() -> list[Path]:
    """Return the files of the console, which the operators' page is a part of, in a fixed order."""
    return trim.sources(console_root() / CONSOLE)
