"""Runs a scenario once for every AWS call of its workers and every kind of fault."""

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager

from celeriac.testing.calls import Call
from celeriac.testing.kinds import KINDS
from celeriac.testing.points import Point, Watch
from celeriac.testing.sandbox import Sandbox

type Calls = Callable[[Call], bool] | Collection[str]
"""Which calls are struck: those for which a function returns True, or those of these operations."""


LEFT_OVER = (
    "the first one held, and something is left of it, such as a variable of a module or a file. "
    "Clear it before each run, in a fixture or at the scenario's start"
)


class NothingToStrikeError(ValueError):
    """No worker made an AWS call that a fault could strike."""


class Strikes:
    """The points of a run, the faults at them, and what came of each. Every run is one `struck` block, in turn."""

    def __init__(self, calls: Calls | None = None, kinds: Collection[str] | None = None) -> None:
        """Raises ValueError if these aren't calls and kinds of fault."""
        if not _is_choice(kinds):
            raise ValueError(f"kinds={kinds!r}: name kinds of fault in a set, such as {{'dies before'}}")
        if not callable(calls) and not _is_choice(calls):
            raise ValueError(f"calls={calls!r}: name operations in a set, such as {{'PutItem'}}, or give a function")
        unknown = sorted(str(kind) for kind in kinds or () if kind not in KINDS)
        if unknown:
            raise ValueError(f"unknown kinds of fault: {', '.join(unknown)}. There are: {', '.join(KINDS)}")
        self._kinds = {name: kind for name, kind in KINDS.items() if kinds is None or name in kinds}
        self._calls = calls
        self._left: list[tuple[Point, str]] | None = None
        self._now: tuple[Point, str] | None = None
        self._watch: Watch | None = None
        self._never_made: list[str] = []
        """Operations that were chosen, and that no worker called."""
        self.held: dict[str, int] = {}
        """The points that have been struck, by kind."""
        self.missed: list[str] = []
        """The points that were not reached a second time, because the run without a fault took another course."""
        self.skipped: list[str] = []
        """The points at which the test has skipped itself."""

    @contextmanager
    def struck(self, sandbox: Sandbox) -> Iterator[None]:
        """Watch a sandbox's workers while the block runs: twice without a fault, then with one fault after the other.

        What the second run without a fault shows is left of the first one, and no fault's work.
        """
        kind = self._kinds[self._now[1]] if self._now is not None else None
        self._watch = Watch(sandbox, self._now[0] if self._now else None, kind.strike if kind else None)
        with self._watch.installed():
            yield

    @property
    def is_struck(self) -> bool:
        """Whether the run has a fault."""
        return self._now is not None

    def next(self, *, skipped: bool = False) -> bool:
        """Count the run that has ended well, or has skipped itself, and say whether there is another one.

        Raises NothingToStrikeError.
        """
        if self._now is not None:
            self._count(f"{self._now[1]}, {self._now[0]}", self._now[1], skipped=skipped)
        elif self._watch is None:
            raise NothingToStrikeError("the test didn't use its sandbox")
        if self._left is None:
            self._left = self._points(self._watch)
            return True
        if self._left:
            self._now, self._watch = self._left.pop(0), None
            return True
        return False

    def _count(self, name: str, kind: str, *, skipped: bool) -> None:
        if skipped:
            self.skipped.append(name)
        elif self._watch is not None and self._watch.has_struck:
            self.held[kind] = self.held.get(kind, 0) + 1
        else:
            self.missed.append(name)

    def _points(self, watch: Watch | None) -> list[tuple[Point, str]]:
        calls = [(point, call) for point, call in (watch.points if watch is not None else ()) if call is not None]
        if self._calls is not None and not callable(self._calls):
            self._never_made = sorted(set(self._calls) - {call.operation for _, call in calls})
        chosen = [(point, call) for point, call in calls if self._is_chosen(call)]
        points = [
            (point, name) for name, kind in self._kinds.items() for point, call in chosen if kind.applies_to(call)
        ]
        if not points:
            raise NothingToStrikeError("no worker made a call that a fault could strike: enqueue something, and drain")
        return points

    def _is_chosen(self, call: Call) -> bool:
        if self._calls is None:
            return True
        return self._calls(call) if callable(self._calls) else call.operation in self._calls

    @property
    def story(self) -> str:
        """The calls of the last run, and what happened to which."""
        struck, told = (self._now[0], self._kinds[self._now[1]].told) if self._now is not None else (None, "")
        title = f"{self._now[1]}, {self._now[0]}" if self._now is not None else "without any fault"
        if self._now is None and self._left is not None:
            title += f", in the second run: {LEFT_OVER}"
        lines = [title, "", "the calls of the workers:"]
        for number, (point, _) in enumerate(self._watch.points if self._watch is not None else (), 1):
            mark, what = (">", f": {told}") if point == struck else (" ", "")
            lines.append(f"{mark}{number:4}  {point}{what}")
        return "\n".join(lines)

    @property
    def summary(self) -> str:
        """How many points held, by kind."""
        held = ", ".join(f"{count} {kind}" for kind, count in self.held.items())
        missed = f"; not reached again: {len(self.missed)}" if self.missed else ""
        skipped = f"; skipped: {len(self.skipped)}" if self.skipped else ""
        never = f"; never called: {', '.join(self._never_made)}" if self._never_made else ""
        return f"{sum(self.held.values())} points held ({held}){missed}{skipped}{never}"


def _is_choice(value: object) -> bool:
    """Whether this is a collection of names, or None. A text is a collection too, of its letters."""
    return value is None or (isinstance(value, Collection) and not isinstance(value, str | bytes) and len(value) > 0)


class EveryFault:
    """The runs of a scenario, see `every_fault`."""

    def __init__(self, scenario: Callable[[Sandbox], object], strikes: Strikes) -> None:
        self._scenario, self._strikes = scenario, strikes

    def __iter__(self) -> Iterator[Sandbox]:
        goes_on = True
        while goes_on:
            with Sandbox() as sandbox:
                with self._strikes.struck(sandbox):
                    self._scenario(sandbox)
                    sandbox.drain()
                yield sandbox
            goes_on = self._strikes.next()

    @property
    def story(self) -> str:
        """The calls of the last run, and what happened to which."""
        return self._strikes.story

    @property
    def summary(self) -> str:
        """How many points held, by kind."""
        return self._strikes.summary


def every_fault(
    scenario: Callable[[Sandbox], object], *, calls: Calls | None = None, kinds: Collection[str] | None = None
) -> EveryFault:
    """Run `scenario(sandbox)` and drain: twice without a fault, then once for every AWS call and every kind of fault.

    Each run has a new sandbox, which is yielded when no work is left: check there what must hold. If a check
    fails, `story` says at which call which fault was. Only the calls of workers are struck: of consumers, relay and
    sweeper, and of code in a `sandbox.worker()` block.

    calls: which calls are struck: a function of a `Call`, or names of operations such as `{"PutItem"}`; by default all.
    kinds: some of `dies before`, `dies after`, `answer lost`, `never arrives`, `throttled`, `sent twice`; by default
    all.

    Raises ValueError for calls or kinds that are none, and if no worker makes such a call.
    """
    return EveryFault(scenario, Strikes(calls, kinds))
