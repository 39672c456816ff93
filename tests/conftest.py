"""Shared by all tests. The `sandbox` fixture comes from Celeriac's own pytest plugin."""

import os
from collections.abc import Callable, Generator, Iterator
from contextlib import nullcontext
from typing import Any

import pytest
from hypothesis import settings
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]  # the package has no types

from celeriac import Queue
from celeriac.aws.client import client
from celeriac.model import names
from celeriac.testing import Sandbox, pollers
from tests.support.installed import CDK, EMULATOR_PYTHON
from tests.support.library import librarys_application

pytest_plugins = ["tests.support.terminal", "pytester"]

STAGE = "test"

# No deadline, because a shared machine is slow at times. In CI the examples are fixed, so that a pull request doesn't
# fail for a random example that has nothing to do with it.
settings.register_profile("any machine", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("any machine")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--every-fault", action="store_true", help="run every point of the matrix of faults, not a sample")
    parser.addoption(
        "--every-schedule", action="store_true", help="play every schedule of the interleavings, not a sample"
    )
    parser.addoption(
        "--schedule-seed", type=int, default=0, metavar="N", help="play other random schedules of the interleavings"
    )
    parser.addoption(
        "--declarations", type=int, default=40, metavar="N", help="try this many random applications in a synth"
    )
    parser.addoption(
        "--realities", action="store_true", help="run tests/realities, on implementations of AWS that aren't moto"
    )
    parser.addoption(
        "--states", type=int, default=0, metavar="N", help="run this many random histories, not a few fixed ones"
    )

    parser.addoption(
        "--runner",
        choices=["lambda", "worker"],
        default="lambda",
        help="what runs the tasks of sandboxes: Lambda, or processes of `celeriac worker`",
    )


def pytest_configure(config: pytest.Config) -> None:
    pollers.default_runner = config.getoption("runner")


# They count the AWS calls of a worker, or let it die at one of a number. Lambda receives and deletes messages itself. A
# worker's own receives and deletes are calls like any other. If it dies before its first call, it has received none.
COUNT_CALLS_OF_LAMBDA = {
    "test_a_backlog_that_an_outage_has_handed_back_often_runs_side_by_side",
    "test_a_duplicate_in_its_batch_waits_for_the_first_and_is_dropped",
    "test_a_key_with_its_form_costs_no_call",
    "test_a_task_runs_again_after_its_worker_died",
    "test_a_worker_that_died_is_an_attempt_that_was_lost",
    "test_a_worker_that_dies_after_it_made_the_schedule_leaves_one_schedule",
    "test_a_worker_that_dies_after_the_work_pays_again_with_the_same_key",
    "test_a_worker_whose_time_is_over_before_the_task_starts_does_not_start_it",
    "test_an_interrupted_run_that_never_runs_again_is_dead",
    "test_at_most_once_never_runs_again",
    "test_effectively_once_costs_two_writes_and_a_duplicate_one",
    "test_ten_of_an_invocation_share_a_write",
    "test_the_status_of_a_task_whose_worker_died_is_retrying",
}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip what needs `make setup` if that hasn't run. In CI a missing installation is an error."""
    if config.getoption("runner") == "worker":
        for item in items:
            if item.name in COUNT_CALLS_OF_LAMBDA:
                item.add_marker(pytest.mark.skip(reason="it counts the calls of a worker in Lambda"))
    if os.environ.get("CI") or (EMULATOR_PYTHON.exists() and CDK.exists()):
        return
    for item in items:
        if item.get_closest_marker("after_setup"):
            item.add_marker(pytest.mark.skip(reason="the emulator or the CDK isn't installed: make setup"))


# The shared fixtures of these tests take seconds: stages that jsii synthesizes, an emulator.
TOGETHER = {
    "tests/infra/": "cdk",
    "tests/tasks/test_application.py": "cdk",
    "tests/unit/test_local_roles.py": "emulator",
}


class _Together(LoadScopeScheduling):  # type: ignore[misc]  # see above
    """Hands tests out one by one, except groups that one worker should run together."""

    def _split_scope(self, nodeid: str) -> str:
        if nodeid.startswith("tests/faults/test_matrix.py"):
            return nodeid.rpartition("-")[0]  # a path: each worker runs it once without any fault
        return next((together for start, together in TOGETHER.items() if nodeid.startswith(start)), nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling | None:
    # pytest 9 no longer lets xdist name its groups, which `--dist loadgroup` needs.
    return _Together(config, log) if config.getoption("dist") == "load" else None


# Tests in other folders belong to the application that functions/tasks/ declares.
OF_THE_LIBRARY = {"fundamentals", "behaviour", "costs", "unit", "infra", "faults", "realities", "web", "browser"}


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Import the library's tests with the library's application too: a module may compute names."""
    of_the_library = isinstance(collector, pytest.Module) and collector.path.parent.name in OF_THE_LIBRARY
    with librarys_application() if of_the_library else nullcontext():
        return (yield)


@pytest.fixture(autouse=True)
def _application_of_the_librarys_tests(request: pytest.FixtureRequest) -> Iterator[None]:
    """Make the library's tests independent of functions/tasks/ and of the application's name."""
    if request.path.parent.name not in OF_THE_LIBRARY:
        yield
        return
    with librarys_application():
        yield


@pytest.fixture
def send(sandbox: Sandbox) -> Callable[[Queue, object], object]:
    """Send a body to a queue as another program would: text unchanged, anything else as JSON."""
    return sandbox.send


@pytest.fixture
def records(sandbox: Sandbox) -> Callable[[], int]:
    """The number of idempotency records."""

    def count() -> int:
        return client("dynamodb").scan(TableName=names.idempotency_table(STAGE))["Count"]

    return count
