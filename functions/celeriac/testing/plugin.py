"""The pytest fixture `sandbox`, and the mark `every_fault`."""

from collections.abc import Iterator
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import pytest

from celeriac.model.extras import MissingExtraError, need

if TYPE_CHECKING:
    from celeriac.testing.sandbox import Sandbox

MARK = "every_fault"
_WRONG_MARK = pytest.StashKey[str]()


@pytest.fixture
def sandbox(request: pytest.FixtureRequest) -> "Iterator[Sandbox]":
    """An AWS account in memory with every queue, table and outbox of the stage, and time that stands still."""
    need("testing", "the fixture `sandbox`")
    # Importing moto takes a second, which a test session without this fixture saves.
    from celeriac.testing.sandbox import Sandbox  # noqa: PLC0415

    with Sandbox() as entered, _watched(request.node, entered):
        yield entered


def _watched(node: Any, entered: "Sandbox") -> Any:
    if node.get_closest_marker(MARK) is None:
        return nullcontext()
    from celeriac.testing.marked import STRIKES  # noqa: PLC0415 - as above

    return node.stash[STRIKES].struck(entered)


def pytest_configure(config: pytest.Config) -> None:
    """Make the mark known."""
    config.addinivalue_line(
        "markers",
        f"{MARK}(calls=None, kinds=None): run the test once for every AWS call of its workers and every kind of fault; "
        "see celeriac.testing.every_fault",
    )


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    """Run a test with the mark again and again."""
    mark = item.get_closest_marker(MARK)
    if mark is None:
        return None
    try:
        need("testing", f"the mark `{MARK}`")
        from celeriac.testing.marked import made, run  # noqa: PLC0415 - as above

        strikes = made(mark)
    except (ValueError, MissingExtraError) as error:
        item.stash[_WRONG_MARK] = str(error)
        return None
    run(item, nextitem, strikes)
    return True


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Let a test with a wrong mark fail, and no other test."""
    if complaint := item.stash.get(_WRONG_MARK, ""):
        pytest.fail(complaint, pytrace=False)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say how many points each test with the mark held."""
    held = [
        f"{report.nodeid}: {value}"
        for report in terminalreporter.stats.get("passed", [])
        for name, value in getattr(report, "user_properties", ())
        if name == MARK
    ]
    if held:
        terminalreporter.section("every fault")
        for line in held:
            terminalreporter.write_line(line)
