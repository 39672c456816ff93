"""The application of the library's tests: they must pass whatever functions/tasks/ and celeriac.toml say."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from celeriac.model import declared, settings

FOLDER = Path(__file__).parents[1] / "application"


@contextmanager
def librarys_application() -> Iterator[None]:
    """Work with the tasks and the celeriac.toml of tests/application/, until the block ends."""
    with declared.application("tests.application"), pytest.MonkeyPatch.context() as patch:
        patch.chdir(FOLDER)
        patch.delenv(settings.APPLICATION, raising=False)
        yield
