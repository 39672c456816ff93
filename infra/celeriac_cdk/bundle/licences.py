"""The licences of installed packages, as their own metadata names them, and whether the project may ship them.

`python -m celeriac_cdk.bundle.licences` lists every package of this environment, and says which the bundle holds.
"""

import re
import sys
import sysconfig
import tomllib
from collections.abc import Iterable, Iterator
from importlib.metadata import PackageMetadata, distributions
from pathlib import Path

from celeriac_cdk.bundle.install import run_uv
from celeriac_cdk.bundle.lock import normalized

# What packages wrote before licences had an expression: https://packaging.python.org/specifications/core-metadata/
_SPDX = {
    "apache license 2.0": "Apache-2.0",
    "apache software license": "Apache-2.0",
    "apache-2.0": "Apache-2.0",
    "bsd license": "BSD-3-Clause",
    "bsd-3-clause": "BSD-3-Clause",
    "mit": "MIT",
    "mit license": "MIT",
    "python software foundation license": "PSF-2.0",
}
_CLASSIFIER = "License :: OSI Approved :: "


def licence(metadata: PackageMetadata) -> str:
    """Return the licence as an SPDX expression if the metadata allows, or else as it is written; `unknown` if nowhere.

    Classifiers don't say whether several licences are a choice. `OR` is then written, and `problems` wants all of them.
    """
    if expression := metadata.get("License-Expression"):
        return str(expression)
    text = str(metadata.get("License", "")).strip().partition("\n")[0]
    if text.lower() in _SPDX:
        return _SPDX[text.lower()]
    named = [str(each).removeprefix(_CLASSIFIER) for each in metadata.get_all("Classifier", ()) if _CLASSIFIER in each]
    return " OR ".join(sorted(_SPDX.get(each.lower(), each) for each in named)) or text or "unknown"


def allowed_licences(pyproject: Path) -> frozenset[str]:
    """The licences that `[tool.celeriac] licences` lists."""
    return frozenset(tomllib.loads(pyproject.read_text()).get("tool", {}).get("celeriac", {}).get("licences", ()))


def problems(packages: Iterable[PackageMetadata], allowed: frozenset[str]) -> Iterator[str]:
    """Yield a sentence for each package with a licence that isn't allowed."""
    for metadata in packages:
        found = licence(metadata)
        if not parts(found) <= allowed:
            yield (
                f"{metadata['Name']} {metadata['Version']} is in the bundle, and its licence is {found!r}: if you may "
                "ship it, add it to licences under [tool.celeriac] in pyproject.toml, or use another package"
            )


def parts(expression: str) -> frozenset[str]:
    """The licences of an SPDX expression."""
    return frozenset(re.split(r" (?:AND|OR) |[()]", expression)) - {""}


def packages_in(site_packages: Path) -> dict[str, PackageMetadata]:
    """The metadata of the packages that lie in a folder, by their normalized names."""
    return {normalized(each.name): each.metadata for each in distributions(path=[str(site_packages)])}


def packages_of_the_bundle(root: Path) -> dict[str, PackageMetadata]:
    """The metadata of what a bundle holds, from this environment: both are installed from uv.lock.

    What uv.lock has for other platforms only isn't here. Raises BundleError.
    """
    names = run_uv(
        root, "export", "--quiet", "--frozen", "--no-dev", "--no-emit-project", "--no-hashes", "--no-annotate"
    )
    wanted = {normalized(line.partition("==")[0]) for line in names.splitlines() if "==" in line}
    here = packages_in(Path(sysconfig.get_path("purelib")))
    return {name: metadata for name, metadata in here.items() if name in wanted}


if __name__ == "__main__":
    root = Path.cwd()
    shipped = packages_of_the_bundle(root)
    for name, metadata in sorted(packages_in(Path(sysconfig.get_path("purelib"))).items()):
        where = "bundle" if name in shipped else ""
        sys.stdout.write(f"{name:28} {metadata['Version']:16} {licence(metadata):32} {where}".rstrip() + "\n")
