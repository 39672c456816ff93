"""The AWS calls of workers by their names, one of which a fault strikes."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Any

from celeriac.model import names, settings
from celeriac.testing.calls import Call, Fault

if TYPE_CHECKING:
    from celeriac.testing.sandbox import Sandbox


@dataclass(frozen=True)
class Point:
    """One call of a worker."""

    operation: str
    target: str
    """The queue or the table, without the stage's prefix; empty for other calls."""
    nth: int
    """The first call of this operation and target is 1."""

    def __str__(self) -> str:
        return f"{self.operation} {self.nth} of {self.target}" if self.target else f"{self.operation} {self.nth}"


class Watch:
    """Stands between the workers and AWS, names their calls, and injects a fault at one of them."""

    def __init__(self, sandbox: "Sandbox", at: Point | None = None, strike: Fault | None = None) -> None:
        self.points: list[tuple[Point, Call | None]] = []
        self.has_struck = False
        self._sandbox, self._at, self._strike = sandbox, at, strike
        self._seen: Counter[tuple[str, str]] = Counter()
        self._lock = Lock()

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Watch the workers while the block runs."""
        with self._sandbox.fault(self):
            yield

    def __call__(self, call: Call) -> Any:
        """Let the call be made, or strike it: the watch is a fault of the sandbox."""
        is_struck = self.is_struck(call.operation, target_of(call), call)
        return self._strike(call) if is_struck and self._strike is not None else call.make()

    def is_struck(self, operation: str, target: str, call: Call | None) -> bool:
        """Note a point, and say whether the fault is to happen there. `call` is None for a point that is no call."""
        with self._lock:
            self._seen[operation, target] += 1
            point = Point(operation, target, self._seen[operation, target])
            self.points.append((point, call))
            is_struck = point == self._at
            self.has_struck |= is_struck
        return is_struck


def target_of(call: Call) -> str:
    """The queue or the table of a call, without the stage's prefix."""
    name = call.arguments.get("QueueUrl", call.arguments.get("TableName", ""))
    return str(name).rpartition("/")[2].removeprefix(names.start(settings.stage()))
