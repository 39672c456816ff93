"""Whatever a hook does, each message has the fate that it has without hooks.

`make faults` plays every path with every broken hook. `make test` plays some, always the same ones.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, NoReturn

import pytest

from celeriac import Hooks
from celeriac.hooks import broken, registered
from celeriac.hooks.events import AfterOutcome, AroundTask, BeforeEnqueue, OnDeadLetter
from celeriac.testing.points import Point
from tests.faults import matrix
from tests.faults.faults import FAULTS
from tests.faults.paths import PATHS

# The paths that each broken hook plays in `make test`: retries, dead letters, FIFO, the outbox, transactions.
SOME = 3


class Stubborn(BaseException):
    """An error that `except Exception` doesn't catch."""


def fail(*_: object) -> NoReturn:
    raise RuntimeError("a hook")


def leave(*_: object) -> NoReturn:
    raise SystemExit


def insist(*_: object) -> NoReturn:
    raise Stubborn


async def answer_later(*_: object) -> None:
    raise RuntimeError("an async hook")


@contextmanager
def swallow(*_: object) -> Iterator[None]:
    try:
        yield
    except BaseException:  # noqa: BLE001 - the hook that swallows all
        return


@contextmanager
def replace_the_error(*_: object) -> Iterator[None]:
    try:
        yield
    except GeneratorExit:  # its worker is dead, and Python clears it away
        raise
    except BaseException as error:
        raise Stubborn from error


@contextmanager
def fail_behind(*_: object) -> Iterator[None]:
    yield
    raise SystemExit


@contextmanager
def never_yield(*_: object) -> Iterator[None]:
    yield from ()


@contextmanager
def yield_twice(*_: object) -> Iterator[None]:
    for _time in range(2):
        with suppress(Exception):
            yield


def nothing(*_: object) -> None:
    return None


class Marked(str):
    """A text of a class of its own, as frameworks have: it has no JSON form."""

    __slots__ = ()


def set_a_marked_text(_: object, event: BeforeEnqueue) -> None:
    event.headers[Marked("who")] = Marked("acme")


@contextmanager
def carry_a_marked_text(_: object, event: AroundTask) -> Iterator[None]:
    event.carry(Marked("who"), Marked("acme"))
    yield


CALLS: dict[str, Callable[..., Any]] = {
    "fails": fail,
    "leaves": leave,
    "insists": insist,
    "is async": answer_later,
}
AROUNDS: dict[str, Callable[..., Any]] = {
    "swallows": swallow,
    "replaces the error": replace_the_error,
    "fails behind": fail_behind,
    "never yields": never_yield,
    "yields twice": yield_twice,
    "returns nothing": nothing,
}
METHODS = ("before_enqueue", "around_task", "after_outcome", "on_dead_letter")
BROKEN = {f"{method} {how}": (method, call) for method in METHODS for how, call in CALLS.items()} | {
    f"around_task {how}": ("around_task", call) for how, call in AROUNDS.items()
}
BROKEN["before_enqueue sets a text of another class"] = "before_enqueue", set_a_marked_text
BROKEN["around_task carries a text of another class"] = "around_task", carry_a_marked_text
# A hook that swallows an error may do so without a report, and a text is taken whatever its class.
QUIET = {
    "around_task swallows",
    "before_enqueue sets a text of another class",
    "around_task carries a text of another class",
}


class Good(Hooks):
    """Does what it may: adds headers, carries some, notes."""

    def before_enqueue(self, event: BeforeEnqueue) -> None:
        event.headers["tenant"] = "acme"

    @contextmanager
    def around_task(self, event: AroundTask) -> Iterator[None]:
        event.carry("last", str(event.attempt))
        event.notes["entered"] = True
        yield

    def after_outcome(self, event: AfterOutcome) -> None:
        assert event.has_run is ("entered" in event.notes)

    def on_dead_letter(self, event: OnDeadLetter) -> None:
        assert event.reason


@contextmanager
def hooks(*some: Hooks) -> Iterator[None]:
    broken.take_count()
    with registered.using(some):
        yield


def _without_early_ends(points: set[Point]) -> set[Point]:
    """The calls, without those that acknowledge early: before hooks are told of a message that came again."""
    return {point for point in points if point.operation != "DeleteMessageBatch"}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_hook_changes_no_fate(name: str, pytestconfig: pytest.Config) -> None:
    method, call = BROKEN[name]
    hook = type("Broken", (Hooks,), {method: call})()
    every = list(PATHS)
    start = sum(name.encode()) % len(every)
    some = every if pytestconfig.getoption("every_fault") else (every + every)[start : start + SOME]
    has_failed = False
    for path in some:
        _, usual_runs, usual_letters = matrix._without_a_fault(path)
        usual_calls = {point for point, _ in matrix.calls(path)}
        with hooks(hook, Good()), matrix.new_world(PATHS[path].ahead) as world:
            watch = matrix.BusWatch(world.sandbox)
            assert matrix._play(PATHS[path], world, watch) == [], path
            assert Counter(world.outside.charges) == usual_runs, path
            assert matrix._letters(world) == usual_letters, path
            # The relay sends to all queues at once, so the order of the calls differs.
            made = {point for point, one in watch.points if one is not None}
            assert _without_early_ends(made) == _without_early_ends(usual_calls), path
        has_failed = has_failed or bool(broken._told)  # a new sandbox forgets them
    if pytestconfig.getoption("every_fault") and name not in QUIET:
        assert has_failed, "no path has called the hook"


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_of_aws_do_no_harm_beside_hooks(fault: str, pytestconfig: pytest.Config) -> None:
    every = list(PATHS)
    start = sum(fault.encode()) % len(every)
    for path in every if pytestconfig.getoption("every_fault") else (every + every)[start : start + 2]:
        points = matrix.points(path, fault)
        step = max(1, len(points) // 2)
        for point in points[:: 1 if pytestconfig.getoption("every_fault") else step]:
            with hooks(Good()):
                assert matrix.problems_of(path, fault, point) == []
