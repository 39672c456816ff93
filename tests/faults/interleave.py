"""The driver of interleavings: several actors take turns, from AWS call to AWS call, and no two run at once.

An actor is a worker, a producer, an operator or AWS itself. It runs the real code, in a separate thread. The sandbox
shows each AWS call to the driver before it is made: there the actor stops, and another one goes on. A schedule says who
runs up to which of its calls, and after which turns time passes. Its text is its name, from which it can be run again:

    copies: first>4 second>7+

The first consumer runs until it is about to make its 4th call, then the second until its 7th. Then time passes, for
longer than a lease and a visibility timeout last. A `-` in place of the `+` is a time that ends shortly before the
deadline of a worker. Then each runs to its end, in the order of their first turns.

An actor that doesn't run is frozen, as the process of a paused host is: a worker outside of Lambda doesn't beat
meanwhile. When it goes on, its heart beats first if a beat is due.
"""

import argparse
import io
import random
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count
from threading import Semaphore, Thread, current_thread
from typing import Any, NamedTuple, Self, get_args
from unittest.mock import patch

from celeriac.aws import client as clients
from celeriac.consume import quarantine
from celeriac.enqueue import outbox_row
from celeriac.leases import watch
from celeriac.model import declared, retry
from celeriac.observe.log import logger
from celeriac.relay import memory, unpublished
from celeriac.relay import publish as publishing
from celeriac.testing import Sandbox, pollers
from celeriac.testing import worker as workers
from celeriac.testing.calls import Call
from celeriac.testing.points import target_of
from celeriac.worker import heartbeat
from celeriac.worker.poller import Poller
from tests.faults.actors import Actor
from tests.faults.matrix import BusWatch, broken, new_world
from tests.faults.scenes import SCENES, Scene
from tests.faults.work import QUEUES

# Longer than every lease and visibility timeout. No lease lasts longer than its worker has time, in Lambda or not.
LONG = max(queue.visibility for queue in QUEUES) + timedelta(seconds=1)
# Workers that have just begun still have time, and their leases last.
SHORT = min(queue.timeout for queue in QUEUES) - timedelta(seconds=2)
PASSING = {"": timedelta(), "-": SHORT, "+": LONG}
# Real time. An actor that takes longer between two calls waits for something that another one holds.
STUCK_AFTER_SECONDS = 60
TURN = re.compile(r"(?P<actor>[\w-]+)>(?P<until>\d+)(?P<passing>[-+]?)")


@dataclass(frozen=True)
class Turn:
    """An actor's turn: it runs until it is about to make its call number `until`."""

    actor: str
    until: int
    passing: str = ""
    """The time that passes then, see PASSING."""

    def __str__(self) -> str:
        return f"{self.actor}>{self.until}{self.passing}"


@dataclass(frozen=True)
class Schedule:
    """The turns of the actors of a scene. After the last one each actor runs to its end."""

    scene: str
    turns: tuple[Turn, ...]

    def __str__(self) -> str:
        return f"{self.scene}: {' '.join(map(str, self.turns))}"

    @classmethod
    def named(cls, name: str) -> Self:
        """The schedule of this name. Raises ValueError for any other text."""
        scene, _, rest = name.partition(":")
        found = [TURN.fullmatch(word) for word in rest.split()]
        turns = [Turn(turn["actor"], int(turn["until"]), turn["passing"]) for turn in found if turn is not None]
        actors = {turn.actor for turn in turns}
        if scene not in SCENES or len(turns) < len(found) or not actors <= SCENES[scene].actors.keys():
            raise ValueError(f"no schedule: {name!r}. One is: {EXAMPLE}")
        return cls(scene, tuple(turns))


EXAMPLE = Schedule("copies", (Turn("first", 4), Turn("second", 7, "+")))


@dataclass
class Played:
    """What happened in a schedule."""

    schedule: Schedule
    problems: list[str]
    """The promises that don't hold at the end. Empty if all hold."""
    story: list[str]
    """The calls in their order, and the switches between them."""
    calls: Mapping[str, int]
    """The number of calls that each actor made while it took turns with others."""
    reached: Sequence[bool]
    """For each turn, whether it ended before the actor's end."""

    def __str__(self) -> str:
        return "\n".join([f'"{self.schedule}"', *(f"    {line}" for line in self.story), *self.problems])


class _Values(NamedTuple):
    """What a process knows of its one worker."""

    in_worker: bool
    dead: bool
    deadline: datetime | None
    """When Lambda kills it."""
    begun: datetime
    remembers: memory.Memory
    calls_end_at: float | None
    watches: watch.Watch | None
    poller: Poller | None
    heart: heartbeat.Heartbeat | None
    """None in Lambda, and outside of it while no batch runs."""


class _Globals:
    """Where these values are. Each actor has its own: they stand for several processes."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._calls = sandbox._calls

    def get(self) -> _Values:
        calls = self._calls
        return _Values(
            calls.in_worker,
            calls._dead,
            calls._deadline,
            calls.begun,
            memory.worker,
            clients._deadline,
            watch.current,
            workers._current,
            heartbeat.current,
        )

    def set(self, values: _Values) -> None:
        calls = self._calls
        calls.in_worker, calls._dead, calls._deadline = values.in_worker, values.dead, values.deadline
        calls.begun, memory.worker, clients._deadline = values.begun, values.remembers, values.calls_end_at
        watch.current, workers._current, heartbeat.current = values.watches, values.poller, values.heart


@dataclass(eq=False)
class _Player:
    """An actor on the stage."""

    name: str
    actor: Actor
    globals: _Values
    thread: Thread | None = None
    go: Semaphore = field(default_factory=lambda: Semaphore(0))
    calls: int = 0
    has_ended: bool = False
    outlived: heartbeat.Heartbeat | None = None
    """That of its last worker outside of Lambda whose time was over when it went on."""


class _Stage:
    """Lets one actor run at a time."""

    def __init__(self, scene: Scene, world: Any) -> None:
        self.story: list[str] = []
        self.errors: list[str] = []
        self.outlived = 0
        """The number of workers that lived longer than their invocation."""
        self.reached: list[bool] = []
        self._world, self._globals = world, _Globals(world.sandbox)
        self._outside = self._globals.get()
        """What these values are while no actor runs."""
        self.players = {name: _Player(name, actor, self._outside) for name, actor in scene.actors.items()}
        self._back, self._driver = Semaphore(0), current_thread()
        self._now: _Player | None = None
        self._until = 0

    def play(self, turns: Sequence[Turn]) -> None:
        try:
            with self._world.sandbox.fault(self._at_call):
                for turn in turns:
                    self._turn(turn)
                order = dict.fromkeys([*(turn.actor for turn in turns), *self.players])
                for name in order:
                    self._let_run(self.players[name], until=0)
        finally:
            self._globals.set(self._outside)

    def _turn(self, turn: Turn) -> None:
        self._let_run(self.players[turn.actor], turn.until)
        self.reached.append(not self.players[turn.actor].has_ended)
        if turn.passing:
            self._globals.set(self._outside)
            self._world.sandbox.advance(PASSING[turn.passing])
            self.story.append(f"--- {PASSING[turn.passing]} pass ---")

    def _let_run(self, player: _Player, until: int) -> None:
        """Let an actor run until it is about to make its call number `until`, or to its end."""
        if player.has_ended or 0 < until <= player.calls:
            return
        self._now, self._until = player, until
        self._globals.set(self._woken(player))
        if heartbeat.current is not None:
            heartbeat.current.beat()
        if player.thread is None:
            player.thread = Thread(target=self._perform, args=[player], name=player.name, daemon=True)
            player.thread.start()
        else:
            player.go.release()
        if not self._back.acquire(timeout=STUCK_AFTER_SECONDS):
            raise RuntimeError(f"{player.name} is stuck after its call {player.calls}: does it wait for another actor?")
        player.globals = self._globals.get()

    def _woken(self, player: _Player) -> _Values:
        """The state of an actor that goes on. A worker whose time is over was frozen, and lives on."""
        values, now = player.globals, self._world.sandbox.now
        if values.deadline is not None and now >= values.deadline:
            self.outlived += 1
            return values._replace(deadline=None)  # Lambda doesn't kill it, so its time is over once
        heart = values.heart
        if heart is not None and heart is not player.outlived and now >= heart._batch._worker.deadline:
            self.outlived += 1
            player.outlived = heart
        return values

    def _perform(self, player: _Player) -> None:
        try:
            player.actor(self._world)
        except BaseException as error:  # noqa: BLE001 - an error that escapes is a finding
            self.errors.append(f"{player.name} raised {error!r}")
        player.has_ended = True
        self.story.append(f"{player.name:10} ends")
        self._back.release()

    def _at_call(self, call: Call) -> Any:
        """Stop the actor if its turn ends before this call. Whichever thread makes the call, it is the actor's."""
        player = self._now
        assert player is not None
        if _is_shared(call):
            return call.make()
        player.calls += 1
        number = player.calls
        if 0 < self._until <= number and current_thread() is not self._driver:
            self._until = 0
            self.story.append(f"{player.name:10} stops before {_what(call)}")
            self._back.release()
            player.go.acquire()
        line = f"{player.name:10} {number:3} {_what(call)}"
        try:
            answer = call.make()
        except Exception as error:
            code = getattr(error, "response", {}).get("Error", {}).get("Code", type(error).__name__)
            self.story.append(f"{line}: {code}")
            raise
        self.story.append(line)
        return answer


def _is_shared(call: Call) -> bool:
    """Whether the call is the read of the quarantine. A worker makes it under a lock, which is the same for all actors
    here, and no path depends on it.
    """
    return call.operation == "GetItem" and call.arguments["Key"] == {"id": {"S": quarantine.ITEM}}


def _what(call: Call) -> str:
    return f"{call.operation} {target_of(call)}".rstrip()


def play(schedule: Schedule) -> Played:
    """Let the actors take their turns, then let all work end, and check the promises."""
    scene = SCENES[schedule.scene]
    path = scene.path
    # A relay sends to one queue after the other, so that its calls have an order. A sweep looks at one shard only: what
    # it finds in it is all there is, and the other shards would double its calls.
    one_queue = patch.object(publishing, "PARALLEL", 1)
    one_shard = patch.object(outbox_row, "SHARDS", 1), patch.object(unpublished, "SHARDS", 1)
    # A Retry's delay gets jitter, and crash suspects run in random order. A schedule must run again in the same way.
    chance = patch.object(retry, "_random", random.Random(0))  # noqa: S311 - this randomness decides nothing secret
    random.seed(0)
    with one_queue, one_shard[0], one_shard[1], chance, new_world() as world:
        bus = BusWatch(world.sandbox)
        stage = _Stage(scene, world)
        # An operator's command replaces stdout. If two of them end in another order than they began, the first one's
        # would stay.
        with bus.installed(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            path.start(world)
            world.outside.start_over()
            try:
                stage.play(schedule.turns)
                path.act(world)
            except Exception as error:  # noqa: BLE001 - an error that escapes is a finding too
                stage.errors.append(f"the rest raised {error!r}")
        problems = [
            *stage.errors,
            *broken(path, world, bus.on_bus),
            *_too_often(scene, world, stage.outlived),
        ]
    calls = {name: one.calls for name, one in stage.players.items()}
    return Played(schedule, problems, stage.story, calls, stage.reached)


def _too_often(scene: Scene, world: Any, outlived: int) -> Iterator[str]:
    """No two workers held one lease, and none started a task too late. Nothing ran more often than it had to, except in
    a worker that was frozen.
    """
    for key in world.outside.met:
        yield f"{key} ran in two workers at once, and both held its lease"
    for key in world.outside.late:
        yield f"{key} was started in a worker whose time was over"
    for key, most in scene.runs.items():
        ran = world.outside.charges.count(key)
        if ran > most + outlived:
            yield f"{key} ran {ran} times instead of {most}"
    letters = [letter for queue in QUEUES for letter in world.sandbox.dead_letters(queue)]
    for key in scene.path.ends:
        number = sum(f"{letter.task}:{letter.args.get('name')}" == key for letter in letters)
        if number > 1 + outlived:
            yield f"{key} is {number} dead letters"


# The time that passes at the first switch, and at the second one.
MOMENTS = {
    "never": ("", ""),
    "at switch 1": ("+", ""),
    "at switch 2": ("", "+"),
    "at both": ("+", "+"),
    "shortly at switch 1": ("-", ""),
}


def every(scene: str, first: str, second: str, moments: str = "never", *, since: int = 1) -> Iterator[Played]:
    """Play every schedule in which `first` begins, with up to two switches between the two actors.

    `first` runs up to each of its calls from `since` on, then `second` up to each of its own, then both run to their
    ends.
    """
    passes, passes_again = MOMENTS[moments]
    for until in count(since):
        for its in count(1):
            turns = Turn(first, until, passes), Turn(second, its, passes_again)
            played = play(Schedule(scene, turns))
            if not played.reached[0]:
                return
            yield played
            if not played.reached[1]:
                break


def at_random(scene: str, seed: int) -> Schedule:
    """A schedule of three to six turns, the same for the same seed."""
    chance = random.Random(f"{scene} {seed}")  # noqa: S311 - this randomness decides nothing secret
    actors = list(SCENES[scene].actors)
    reached = dict.fromkeys(actors, 0)
    turns: list[Turn] = []
    for _ in range(chance.randint(3, 6)):
        actor = chance.choice([one for one in actors if not turns or one != turns[-1].actor])
        reached[actor] += chance.randint(1, 6)
        turns.append(Turn(actor, reached[actor], chance.choices([*PASSING], [8, 1, 2])[0]))
    return Schedule(scene, tuple(turns))


def main() -> int:
    """Play one schedule, and print its story."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", type=Schedule.named, help=f"the schedule's name, such as {str(EXAMPLE)!r}")
    parser.add_argument("--runner", choices=get_args(pollers.Runner.__value__), default="lambda", help="as for pytest")
    arguments = parser.parse_args()
    pollers.default_runner = arguments.runner
    logger.setLevel("CRITICAL")
    with declared.application("tests.application"):
        played = play(arguments.name)
    sys.stdout.write(f"{played}\n{'broken' if played.problems else 'All promises hold.'}\n")
    return int(bool(played.problems))


if __name__ == "__main__":
    sys.exit(main())
