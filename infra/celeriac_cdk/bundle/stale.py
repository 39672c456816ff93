"""Whether uv.lock fits what it is used for: the project's pyproject.toml and the Python of the functions. Pure.

The bundle is exported from uv.lock as it is, without a network, so uv itself doesn't compare the two.
"""

import tomllib
from typing import Any

from packaging.specifiers import InvalidSpecifier, SpecifierSet

from celeriac_cdk.bundle.errors import BundleError
from celeriac_cdk.bundle.lock import name_of, normalized
from celeriac_cdk.bundle.target import Target

_PATCHES = 50  # more than any minor version of Python has had


def check_dependencies(pyproject: str, uv_lock: str) -> None:
    """Raise BundleError if pyproject.toml names a package under `dependencies` that uv.lock doesn't know of.

    Names only: a changed version or marker isn't seen. Without `dependencies` in the file there is nothing to compare.
    """
    project = _table(_parsed(pyproject, "pyproject.toml").get("project"))
    wanted = project.get("dependencies")
    own = _own_package(_parsed(uv_lock, "uv.lock"))
    if own is None or not isinstance(wanted, list):
        return
    locked = {normalized(each["name"]) for each in own.get("metadata", {}).get("requires-dist", ()) if _is_plain(each)}
    itself = normalized(str(project.get("name", "")))
    if missing := sorted({name_of(str(each).strip()) for each in wanted} - locked - {itself}):
        some = ", ".join(missing[:3]) + (" and others" if missing[3:] else "")
        raise BundleError(
            f"pyproject.toml names {some} under dependencies, and uv.lock doesn't know of it: run `uv lock` again, "
            "otherwise the functions lack it"
        )


def check_python(uv_lock: str, target: Target) -> None:
    """Raise BundleError if uv.lock was made for other Pythons than that of `target`: it has no wheels for it."""
    allowed = _parsed(uv_lock, "uv.lock").get("requires-python", "")
    try:
        specifiers = SpecifierSet(allowed)
    except InvalidSpecifier:  # uv says what is wrong with it
        return
    if any(specifiers.contains(f"{target.python}.{patch}") for patch in range(_PATCHES)):
        return
    where = "which this machine runs" if target.uv_platform is None else "a runtime of the queues"
    other = "use another Python here" if target.uv_platform is None else "give the queues another runtime"
    raise BundleError(
        f"uv.lock has requires-python {allowed}, which leaves out Python {target.python}, {where}: allow it by "
        f"requires-python in pyproject.toml and run `uv lock` again, or {other}"
    )


def _own_package(lock: dict[str, Any]) -> dict[str, Any] | None:
    """The entry of the project itself, which has the lock file's folder as its source. A bare workspace has none."""
    packages: list[dict[str, Any]] = lock.get("package", [])
    return next((each for each in packages if "." in _table(each.get("source")).values()), None)


def _is_plain(requirement: dict[str, Any]) -> bool:
    """Whether a requirement is one of `dependencies`, and not of an extra."""
    return "extra ==" not in requirement.get("marker", "")


def _table(found: object) -> dict[str, Any]:
    return found if isinstance(found, dict) else {}


def _parsed(text: str, name: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BundleError(f"{name} isn't TOML: {error}") from error
