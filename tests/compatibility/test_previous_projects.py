"""A project that an earlier release made works under this one, without a change of any of its files.

A resource with another name, or another logical id, would be made anew beside the one that holds the data, or the
deploy would fail: docs/reference/compatibility.md says what may never change.
"""

import json
import re
import shutil
from pathlib import Path

import pytest

from celeriac_console.made.copier import ANSWERS
from celeriac_console.made.releases import releases
from tests.compatibility.synthesized import run_there, stacks
from tests.compatibility.test_previous_releases import HERE, RELEASES


@pytest.fixture(params=RELEASES)
def release(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def project(release: str, tmp_path: Path) -> Path:
    """A copy of the release's project."""
    return Path(shutil.copytree(HERE / release / "project", tmp_path / "project"))


def test_its_own_tests_pass(project: Path) -> None:
    # A project lets warnings fail its tests. What this release deprecates must work for one minor release all the same.
    deprecated = "default::celeriac.model.deprecations.CeleriacDeprecationWarning"

    said = run_there(project, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", deprecated, "tests")

    assert re.search(r"^\d+ passed in ", said, flags=re.MULTILINE), said  # and none was skipped


def test_its_stacks_keep_the_names_and_logical_ids(release: str, project: Path, tmp_path: Path) -> None:
    before = json.loads((HERE / release / "stacks.json").read_text())

    now = stacks(project, tmp_path / "out")

    for stack, resources in before.items():
        lost = {name: each for name, each in resources.items() if now.get(stack, {}).get(name) != each}
        assert lost == {}, f"{stack} had these, and has others now"


def test_the_template_that_made_it_is_known(release: str) -> None:
    """`celeriac update` compares with it. It lacks if nobody ran `python -m celeriac_console.made.releases` then."""
    made = (HERE / release / "project" / ANSWERS).exists()  # 0.1.0 was a clone
    assert made == (release in dict(releases()))
