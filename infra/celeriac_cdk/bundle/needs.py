"""Checks that the lock file has what the library needs: it comes from this interpreter, its packages from the lock."""

from collections.abc import Iterable, Mapping
from importlib.metadata import PackageMetadata, PackageNotFoundError, requires

from packaging.requirements import Requirement

from celeriac_cdk.bundle.errors import BundleError
from celeriac_cdk.bundle.lock import normalized


def needs_of_the_library(*extras: str) -> list[str]:
    """Return the requirements of the installed Celeriac with these extras; none if only its sources are here."""
    try:
        found = [Requirement(each) for each in requires("celeriac") or []]
    except PackageNotFoundError:
        return []
    needs: list[str] = []
    for each in found:
        if each.marker is not None and not any(each.marker.evaluate({"extra": extra}) for extra in ("", *extras)):
            continue
        if each.name == "celeriac":  # an extra that brings others
            needs += needs_of_the_library(*each.extras)
        else:
            needs.append(f"{each.name}{each.specifier}")
    return list(dict.fromkeys(needs))


def check(held: Mapping[str, PackageMetadata], needs: Iterable[str], locked: str) -> None:
    """Raise BundleError if a package is missing, or has a version that the library doesn't take.

    held: the installed packages by their normalized names. A package of a package is looked for by its name only: a
    team may have chosen another version of it on purpose.
    """
    for need in needs:
        wanted = Requirement(need)
        found = held.get(normalized(wanted.name))
        if found is None:
            raise BundleError(
                f"{locked} lacks {wanted.name}, which Celeriac needs: add `celeriac` to the dependencies of the "
                "functions, and lock them again"
            )
        if not wanted.specifier.contains(found["Version"], prereleases=True):
            raise BundleError(
                f"{locked} has {wanted.name} {found['Version']}, and the installed Celeriac needs {wanted}: lock it "
                "again with the Celeriac that is installed here"
            )
        _check_below(held, found, locked, seen=set())


def _check_below(held: Mapping[str, PackageMetadata], by: PackageMetadata, locked: str, seen: set[str]) -> None:
    for need in by.get_all("Requires-Dist", ()):
        wanted = Requirement(str(need))
        if wanted.marker is not None:  # an extra, another platform, another Python
            continue
        name = normalized(wanted.name)
        if name in seen:
            continue
        seen.add(name)
        if name not in held:
            raise BundleError(
                f"{locked} lacks {wanted.name}, which {by['Name']} needs: lock the packages with all that they need"
            )
        _check_below(held, held[name], locked, seen)
