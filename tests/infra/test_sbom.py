"""The list of the bundle's packages is that of a built bundle, and their licences are allowed."""

import json
from importlib.metadata import PackageMetadata
from pathlib import Path
from typing import cast

import pytest

from celeriac_cdk.bundle import sbom as sboms
from celeriac_cdk.bundle.errors import BundleError
from celeriac_cdk.bundle.licences import (
    allowed_licences,
    licence,
    packages_in,
    packages_of_the_bundle,
    problems,
)
from celeriac_cdk.bundle.lock import normalized
from celeriac_cdk.bundle.source import Source
from tests.infra.conftest import ROOT

SOURCE = Source(ROOT / "functions" / "tasks", ROOT)


def metadata(**fields: str) -> PackageMetadata:
    """The metadata of a package, with `_` for the hyphens of its fields."""
    from email.message import Message  # noqa: PLC0415

    made = Message()
    for name, value in {"Name": "thing", "Version": "1.0", **fields}.items():
        made[name.replace("_", "-")] = value
    return cast("PackageMetadata", made)


def test_the_sbom_names_exactly_what_a_built_bundle_holds(built: Path) -> None:
    held = {name: each["Version"] for name, each in packages_in(built).items()}
    components = sboms.sbom(SOURCE, built)["components"]
    assert {normalized(each["name"]): each["version"] for each in components} == held
    assert "botocore" in held
    assert not held.keys() & {"moto", "aws-cdk-lib", "uv"}
    assert all(each["purl"] and each["licenses"] for each in components)


def test_the_sbom_says_that_botocore_is_not_whole(built: Path) -> None:
    (botocore,) = [each for each in sboms.sbom(SOURCE, built)["components"] if each["name"] == "botocore"]
    (said,) = [each["value"] for each in botocore["properties"] if each["name"] == "celeriac:bundle"]
    assert "of the services' data only dynamodb, events, s3" in said


def test_the_sbom_is_the_same_each_time(built: Path) -> None:
    first, second = (json.dumps(sboms.sbom(SOURCE, built), sort_keys=True) for _ in range(2))
    assert first == second


def test_a_package_that_the_lock_file_does_not_know_is_named(tmp_path: Path) -> None:
    (tmp_path / "stray-1.0.dist-info").mkdir()
    (tmp_path / "stray-1.0.dist-info/METADATA").write_text("Metadata-Version: 2.4\nName: stray\nVersion: 1.0\n")
    with pytest.raises(BundleError, match=r"the bundle holds stray, which uv\.lock doesn't"):
        sboms.sbom(SOURCE, tmp_path)


def test_the_bundle_holds_only_packages_whose_licence_the_project_allows(built: Path) -> None:
    packages = packages_of_the_bundle(ROOT)
    assert packages.keys() == packages_in(built).keys()
    assert list(problems(packages.values(), allowed_licences(ROOT / "pyproject.toml"))) == []


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        ({"License_Expression": "MIT OR Apache-2.0"}, "MIT OR Apache-2.0"),
        ({"License": "Apache License 2.0"}, "Apache-2.0"),
        ({"License": "Dual", "Classifier": "License :: OSI Approved :: BSD License"}, "BSD-3-Clause"),
        ({"License": "Shareware\nwith a long text"}, "Shareware"),
        ({}, "unknown"),
    ],
)
def test_a_licence_is_read_from_the_metadata(fields: dict[str, str], found: str) -> None:
    assert licence(metadata(**fields)) == found


def test_a_licence_that_is_not_allowed_is_one_clear_sentence() -> None:
    (said,) = problems([metadata(License_Expression="MIT AND GPL-3.0-only")], frozenset({"MIT"}))
    assert said.startswith(
        "thing 1.0 is in the bundle, and its licence is 'MIT AND GPL-3.0-only': if you may ship it, add"
    )
    assert list(problems([metadata(License_Expression="(MIT OR ISC)")], frozenset({"MIT", "ISC"}))) == []
