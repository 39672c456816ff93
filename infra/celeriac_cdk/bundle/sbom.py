"""The list of what the bundle holds, as CycloneDX: `python -m celeriac_cdk.bundle.sbom FILE`.

uv knows the packages with their files and hashes from uv.lock. The built bundle says which of them it holds, and with
which licence. Equal bundles give equal files, so the list has no time and no serial number.
"""

import json
import sys
from collections.abc import Mapping
from importlib.metadata import PackageMetadata
from pathlib import Path
from typing import Any

from celeriac.model.settings import source_in
from celeriac_cdk.bundle import licences, services
from celeriac_cdk.bundle.build import build_bundle
from celeriac_cdk.bundle.errors import BundleError
from celeriac_cdk.bundle.install import run_uv
from celeriac_cdk.bundle.lock import normalized
from celeriac_cdk.bundle.source import Source, library_files
from celeriac_cdk.bundle.target import LAMBDA_ARM64

_OF_THE_LOCK_FILE = ("export", "--quiet", "--frozen", "--no-dev", "--no-emit-project", "--format", "cyclonedx1.5")
_EXPERIMENTAL = ("--preview-features", "sbom-export")  # otherwise uv warns that the format may change


def sbom(source: Source, bundle: Path) -> dict[str, Any]:
    """Describe a bundle of a project with a uv.lock. Raises BundleError for a package that isn't in uv.lock."""
    described: dict[str, Any] = json.loads(run_uv(source.project, *_OF_THE_LOCK_FILE, *_EXPERIMENTAL))
    del described["serialNumber"], described["metadata"]["timestamp"]
    held = licences.packages_in(bundle)
    sources = [file for file in source.files() if file.suffix == ".py"]
    called = services.services_of(sources, library_files(), source.options())
    allowed = licences.allowed_licences(source.project / "pyproject.toml")
    components = [
        _with_what_is_known(each, held[name], called, allowed)
        for each in described["components"]
        if (name := normalized(each["name"])) in held and held[name]["Version"] == each["version"]
    ]
    if missing := held.keys() - {normalized(each["name"]) for each in components}:
        raise BundleError(f"the bundle holds {', '.join(sorted(missing))}, which uv.lock doesn't: run make setup")
    kept = {described["metadata"]["component"]["bom-ref"], *(each["bom-ref"] for each in components)}
    dependencies = [
        {**each, "dependsOn": [ref for ref in each["dependsOn"] if ref in kept]} if "dependsOn" in each else each
        for each in described["dependencies"]
        if each["ref"] in kept
    ]
    return {**described, "components": components, "dependencies": dependencies}


def _with_what_is_known(
    component: Mapping[str, Any], metadata: PackageMetadata, called: frozenset[str], allowed: frozenset[str]
) -> dict[str, Any]:
    """Add the licence, and how the files in the bundle differ from those that the hashes are of."""
    differs = "without the files that no function needs, and with byte code"
    if component["name"] in {"boto3", "botocore"}:
        differs += f"; of the services' data only {', '.join(sorted(called))}, without their documentation"
    note = {"name": "celeriac:bundle", "value": differs}
    licence = licences.licence(metadata)
    return {
        **component,
        # What isn't allowed may be no SPDX expression, which is all that the format takes as one.
        "licenses": [{"expression": licence} if licences.parts(licence) <= allowed else {"license": {"name": licence}}],
        "properties": [*component.get("properties", []), note],
    }


if __name__ == "__main__":
    here = Path.cwd()
    application = Source((here / source_in(here)).resolve(), here)
    try:
        made = sbom(application, build_bundle(application, LAMBDA_ARM64))
    except BundleError as error:
        sys.exit(f"celeriac: {error}")
    file = Path(sys.argv[1])
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(made, indent=2, sort_keys=True) + "\n")
    sys.stdout.write(f"{file} lists {len(made['components'])} packages of the bundle\n")
