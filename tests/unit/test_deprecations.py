"""A deprecation names the version, the cure, and the user's line."""

from pathlib import Path

import pytest

from celeriac.model.deprecations import CeleriacDeprecationWarning, deprecated


def old_call() -> None:
    deprecated("old_call()", gone_in="0.4", instead="write new_call()")


def test_a_deprecation_is_shown_at_the_line_of_its_caller() -> None:
    with pytest.warns(
        CeleriacDeprecationWarning, match=r"old_call\(\) goes in Celeriac 0.4: write new_call\(\)"
    ) as seen:
        old_call()  # this line
    assert seen[0].filename == __file__
    assert "this line" in Path(__file__).read_text().splitlines()[seen[0].lineno - 1]
