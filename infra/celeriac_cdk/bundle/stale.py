"""Whether uv.lock fits what it is used for: the project's pyproject.toml. Pure decisions over texts.

The bundle is exported from uv.lock as it is, without a network, so uv itself doesn't compare the two.
"""

import tomllib
from typing import Any

from celeriac_cdk.bundle.errors import BundleError
from celeriac_cdk.bundle.lock import name_of, normalized


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
