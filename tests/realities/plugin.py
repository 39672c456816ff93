"""Runs the project's own tests on another reality: `pytest -p tests.realities.plugin --reality dynamodb tests/faults`.

Nothing in these tests is written for it.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack
from typing import Any

import pytest

# What each of them is, in the report.
REALITIES = {
    "dynamodb": "DynamoDB Local",
    "sqs": "LocalStack's SQS",
    "validation": "botocore's validation",
}
CALLS = "calls on another reality"
_open = ExitStack()
_calls: Counter[str] = Counter()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--reality",
        action="append",
        default=[],
        choices=REALITIES,
        help="answer the tests' AWS calls by it, not by moto",
    )


def pytest_sessionstart(session: pytest.Session) -> None:
    if not session.config.getoption("numprocesses", None):  # otherwise the workers of xdist do it
        for name in session.config.getoption("reality"):
            _open.enter_context(_reality(name))


def pytest_unconfigure() -> None:
    _open.close()


def _reality(name: str) -> AbstractContextManager[None]:
    # Imported here: they import moto, which the project's other plugins import later.
    from tests.realities.on_dynamodb_local import on_dynamodb_local  # noqa: PLC0415
    from tests.realities.on_localstack import on_localstack  # noqa: PLC0415
    from tests.realities.validated import validated  # noqa: PLC0415

    def count() -> None:
        _calls[name] += 1

    return {"dynamodb": on_dynamodb_local, "sqs": on_localstack, "validation": validated}[name](count)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    from tests.realities.validated import refused  # noqa: PLC0415 - as above

    before = _calls.copy()
    refused.clear()
    try:
        yield
    finally:
        item.user_properties.append((CALLS, dict(_calls - before)))
    if refused:
        pytest.fail(f"botocore refuses calls: {refused}")


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """How many tests ran, and how many of their calls the other reality answered."""
    tests: Counter[str] = Counter()
    calls: Counter[str] = Counter()
    for kind in ("passed", "failed"):
        for report in terminalreporter.stats.get(kind, []):
            for name, value in getattr(report, "user_properties", ()):
                if name == CALLS and report.when == "call":
                    calls.update(value)
                    tests[kind] += 1
    for name in config.getoption("reality"):
        terminalreporter.write_line(
            f"{REALITIES[name]}: {tests['passed']} tests held, {tests['failed']} broken, {calls[name]} calls"
        )
