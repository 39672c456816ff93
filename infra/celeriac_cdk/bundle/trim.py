"""Select the sources and the files of installed packages for the bundle.

Without a selection botocore alone would take 30 MB, nearly all of it descriptions of services that no task calls.
"""

import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

# importlib.metadata reads these files for versions, entry points and names. Only installers read the others.
_KEPT_METADATA = frozenset({"METADATA", "entry_points.txt", "top_level.txt"})
_NEVER_SHIPPED = frozenset({"__pycache__", "tests"})
# `celeriac.testing` needs moto, which the bundle lacks.
_TEST_SUPPORT = ("celeriac", "testing")


def sources(folder: Path) -> list[Path]:
    """Return the files under `folder`, a package or a folder of packages, that Lambda gets, in a fixed order."""
    return sorted(file for file in folder.rglob("*") if file.is_file() and _ships(file, folder))


def _ships(file: Path, folder: Path) -> bool:
    parts = file.relative_to(folder).parts
    return not (
        any(part in _NEVER_SHIPPED or part.startswith(".") for part in parts)
        or file.suffix in {".pyc", ".pyo"}
        or _TEST_SUPPORT in {parts[:2], (folder.name, parts[0])}
    )


def trim(site_packages: Path, services: frozenset[str] | None) -> None:
    """Delete the files of installed packages that no function needs if it calls only `services`; None for all."""
    for waste in list(_waste(site_packages, services)):
        if waste.is_dir():
            shutil.rmtree(waste)
        else:
            waste.unlink()


def _waste(site_packages: Path, services: frozenset[str] | None) -> Iterator[Path]:
    yield from (entry for entry in (site_packages / "bin", site_packages / ".lock") if entry.exists())
    yield from (cache for cache in site_packages.rglob("__pycache__"))
    for distribution in site_packages.glob("*.dist-info"):
        yield from (entry for entry in distribution.iterdir() if entry.name not in _KEPT_METADATA)
    yield from (examples for examples in site_packages.glob("boto3/examples"))
    # The page that shows the API of a web application. Consumers have none.
    yield from site_packages.glob("aws_lambda_powertools/event_handler/openapi/swagger_ui/*.min.*")
    if not (site_packages / "pydantic").exists():
        # It can't be imported without pydantic.
        yield from site_packages.glob("aws_lambda_powertools/utilities/parser")
    for package in ("botocore", "boto3"):
        for service in _folders(site_packages / package / "data"):
            if services is not None and service.name not in services:
                yield service
                continue
            # The folder of each API version is named by its date. By default boto3 uses the newest.
            *older, newest = _folders(service)
            yield from older
            yield from newest.glob("examples-*.json")


def _folders(parent: Path) -> list[Path]:
    return sorted(entry for entry in _entries(parent) if entry.is_dir())


def _entries(parent: Path) -> Iterable[Path]:
    return parent.iterdir() if parent.is_dir() else ()
