"""mypy and pyright find the type of each call in tests/unit/typed, and the error in each wrong one."""

import sys

from tests.support.howto import ROOT, run

SAMPLE = ROOT / "tests" / "unit" / "typed"


def test_mypy_knows_the_types() -> None:
    said = run(ROOT, sys.executable, "-m", "mypy", str(SAMPLE))
    assert "Success" in said


def test_pyright_knows_the_types() -> None:
    asked = ("--project", str(SAMPLE), "--pythonpath", sys.executable)
    # Without the warnings it asks nobody for a newer version of itself.
    said = run(ROOT, sys.executable, "-m", "pyright", *asked, PYRIGHT_PYTHON_IGNORE_WARNINGS="1")
    assert "0 errors, 0 warnings" in said
