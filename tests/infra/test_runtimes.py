"""A queue chooses Lambda's Python, and relay and sweeper run where most consumers do."""

import sys
from collections.abc import Sequence
from typing import Literal, cast

import pytest

from celeriac import Queue
from tests.infra.conftest import build, warnings

type Runtime = Literal["python3.12", "python3.13", "python3.14"]
HERE = cast("Runtime", f"python{sys.version_info[0]}.{sys.version_info[1]}")
OTHER: Runtime = "python3.12" if HERE != "python3.12" else "python3.14"
NEW, OLD = Queue("new", runtime="python3.14"), Queue("old", runtime="python3.12")


def places(queues: Sequence[Queue]) -> dict[str, tuple[str, str]]:
    """Runtime and architecture of each function, by the last part of its name."""
    _, work = build(queues, stage="test")
    return {
        function["FunctionName"].rpartition("--")[2]: (function["Runtime"], function["Architectures"][0])
        for function in work.resources("Lambda::Function")
    }


def test_each_consumer_has_the_runtime_of_its_queue() -> None:
    found = places([NEW, OLD, Queue("usual")])

    assert [found[name][0] for name in ("new", "old", "usual")] == ["python3.14", "python3.12", "python3.13"]


@pytest.mark.parametrize(
    ("queues", "place"),
    [
        ([NEW], ("python3.14", "arm64")),
        ([Queue("intel", architecture="x86_64", runtime="python3.12")], ("python3.12", "x86_64")),
        ([NEW, OLD, Queue("second", runtime="python3.12")], ("python3.12", "arm64")),
        ([NEW, OLD], ("python3.14", "arm64")),
    ],
    ids=["one", "a package without a wheel for Graviton", "most", "as many of each"],
)
def test_relay_and_sweeper_run_where_most_consumers_do(queues: list[Queue], place: tuple[str, str]) -> None:
    found = places(queues)

    assert (found["relay"], found["sweeper"]) == (place, place)


def test_a_runtime_whose_byte_code_this_python_does_not_make_is_warned_of() -> None:
    here = Queue("here", runtime=HERE)
    said = [each for each in warnings([here, Queue("other", runtime=OTHER)], stage="test") if "no byte code" in each]

    assert len(said) == 1
    assert f"the queue other runs on {OTHER}" in said[0]
