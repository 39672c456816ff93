"""What all tests share: the `sandbox` fixture comes from Celeriac's own pytest plugin."""

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import settings
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]  # it has no types

from celeriac import Queue
from celeriac.aws.client import client
from celeriac.model import declared, names
from celeriac.testing import Sandbox

pytest_plugins = ["tests.terminal"]

STAGE = "test"

# A shared machine is slow at times; and a pull request must not fail for what another one made random.
settings.register_profile("any machine", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("any machine")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--every-fault", action="store_true", help="every point of the matrix of faults, not a sample")
    parser.addoption(
        "--states", type=int, default=0, metavar="N", help="so many random histories, not a few fixed ones"
    )


# What these make for all of their tests takes seconds: stages that jsii synthesizes, an emulator.
TOGETHER = {
    "tests/infra/": "cdk",
    "tests/tasks/test_application.py": "cdk",
    "tests/unit/test_local_roles.py": "emulator",
}


class _Together(LoadScopeScheduling):  # type: ignore[misc]  # see above
    """Hands tests out one by one, but for those that one worker had better run all of."""

    def _split_scope(self, nodeid: str) -> str:
        if nodeid.startswith("tests/faults/test_matrix.py"):
            return nodeid.rpartition("-")[0]  # a path: each worker plays it once without any fault
        return next((together for start, together in TOGETHER.items() if nodeid.startswith(start)), nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling | None:
    # Pytest 9 no longer lets xdist name its groups, which is what `--dist loadgroup` would be for.
    return _Together(config, log) if config.getoption("dist") == "load" else None


# Tests anywhere else are the application's own, which is what functions/tasks/ declares.
OF_THE_LIBRARY = {"fundamentals", "unit", "infra", "faults"}


@pytest.fixture(autouse=True)
def _an_application_of_their_own(request: pytest.FixtureRequest) -> Iterator[None]:
    """Let the library's tests pass whatever functions/tasks/ declares: tables, subscribers, queues of any name."""
    if request.path.parent.name not in OF_THE_LIBRARY:
        yield
        return
    with declared.application("tests.application"):
        yield


@pytest.fixture
def send(sandbox: Sandbox) -> Callable[[Queue, object], object]:
    """Send a body to a queue as a program in another language would: text as it is, anything else as JSON."""
    return sandbox.send


@pytest.fixture
def records(sandbox: Sandbox) -> Callable[[], int]:
    """How many idempotency records there are."""

    def count() -> int:
        return client("dynamodb").scan(TableName=names.idempotency_table(STAGE))["Count"]

    return count
