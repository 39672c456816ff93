"""Where a worker is stopped, and how."""

from dataclasses import dataclass
from typing import Literal

from tests.kill.proxy import Side, Stop, is_poll
from tests.kill.scenes import Scene
from tests.kill.worker import By

type Means = Literal["kill", "tell", "freeze", "meet"]
MEANS: tuple[Means, ...] = ("kill", "tell", "freeze", "meet")


@dataclass(frozen=True, slots=True)
class Point:
    """One call of the first worker of a function."""

    function: str
    stop: Stop
    means: Means
    """`kill`; or `tell`: SIGTERM; or `freeze`, until another worker has ended its work; or `meet`: frozen until one is
    at work."""

    def __str__(self) -> str:
        return f"{self.means} {self.stop.side} call {self.stop.call} of {self.function}"

    @property
    def by(self) -> By:
        """What happens to the worker."""
        return "freeze" if self.means == "meet" else self.means


def points(scene: Scene, function: str, calls: list[str]) -> list[Point]:
    """Every call, before and after it, and every way to stop a worker there. Lambda tells no worker to end."""
    sides: tuple[Side, ...] = ("before", "after")
    means = [each for each in MEANS if scene.runner == "worker" or each != "tell"]
    return [
        Point(function, Stop(number, side), how)
        for number in range(1, _last_at_work(calls) + 1)
        for side in sides
        for how in means
    ]


def _last_at_work(calls: list[str]) -> int:
    """The number of the last call that isn't a poll: what follows comes only if nobody stops the play before."""
    return max((number for number, call in enumerate(calls, 1) if not is_poll(call)), default=0)
