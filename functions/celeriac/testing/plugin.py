"""The pytest fixture `sandbox`."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from celeriac.testing.sandbox import Sandbox


@pytest.fixture
def sandbox() -> "Iterator[Sandbox]":
    """An AWS account in memory with every queue, table and outbox of the stage, and time that stands still."""
    # Importing moto takes a second, which a test session without this fixture saves.
    from celeriac.testing.sandbox import Sandbox  # noqa: PLC0415

    with Sandbox() as entered:
        yield entered
