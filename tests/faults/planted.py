"""A pytest plugin that plants one fault for the whole session: `-p tests.faults.planted`, with its name in PLANT."""

import os

import pytest

from tests.faults.plants import PLANTS


def pytest_configure() -> None:
    """Plant it."""
    PLANTS[os.environ["PLANT"]].plant(pytest.MonkeyPatch())
