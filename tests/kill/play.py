"""Plays one scene in a new stage: undisturbed, or with one worker that is killed or frozen at one of its calls."""

import time
from dataclasses import dataclass
from typing import Literal

from tests.kill import promises
from tests.kill.proxy import Side, Stop
from tests.kill.pumps import Messages, Pump, Rows
from tests.kill.scenes import Message, Scene
from tests.kill.stage import QUEUES, Clients, Stage
from tests.kill.story import Story
from tests.kill.worker import Function, Program, Worker

# A scene takes some seconds. One that takes longer never becomes quiet.
LONGEST_SECONDS = 60.0
LOOK_SECONDS = 0.2
MEETING_SECONDS = 0.005
# Tries of a call that a frozen worker was in, and their waits, take so long.
WOKEN_SECONDS = 8.0
# The next worker of a frozen one makes some seven calls. It is met at one of the first.
MEETINGS = 6
CONSUMER = "celeriac.entry.consumer.handler"
HANDLERS = {"jobs": CONSUMER, "ledger": CONSUMER, "relay": "celeriac.entry.relay.handler"}

type Means = Literal["kill", "freeze", "meet"]
MEANS: tuple[Means, ...] = ("kill", "freeze", "meet")


@dataclass(frozen=True, slots=True)
class Point:
    """Where a worker is stopped, and how."""

    function: str
    stop: Stop
    means: Means
    """`kill`; or `freeze`, until another worker has ended its work; or `meet`: frozen until one is at work."""

    def __str__(self) -> str:
        return f"{self.means} {self.stop.side} call {self.stop.call} of {self.function}"


@dataclass(frozen=True, slots=True)
class Played:
    """What came of it."""

    scene: str
    point: Point | None
    problems: list[str]
    story: Story
    calls: dict[str, list[str]]
    """The calls of the first worker of each function."""
    logs: dict[str, list[str]]
    """What each worker has logged."""
    was_reached: bool
    seconds: float


def play(scene: Scene, point: Point | None, *, stage: str, aws: Clients, program: Program) -> Played:
    """Send the scene's messages, wait until all is quiet, and judge."""
    story, place = Story(), Stage(stage, aws)
    pumps = {function: _pump(function, place, program, story, point) for function in scene.functions}
    problems: list[str] = []
    began = time.monotonic()
    try:
        problems += [f"{pump.worker.name} has not started" for pump in pumps.values() if not pump.worker.is_ready()]
        story.started = time.time()
        for message in scene.messages:
            place.send(QUEUES[scene.functions[0]], _body(message), message.group)
        for pump in pumps.values():
            pump.start()
        if not _is_quiet(place, list(pumps.values()), point):
            problems.append(f"not quiet after {LONGEST_SECONDS:.0f} s")
    finally:
        for pump in pumps.values():
            pump.over.set()
        for pump in pumps.values():
            pump.join()
            problems += [f"the harness failed: {pump.failure!r}"] if pump.failure else []
        logs = {worker.name: worker.close() for pump in pumps.values() for worker in pump.workers}
    lost = sum(len(pump.workers) - 1 for pump in pumps.values())
    problems += promises.broken(scene, promises.look(place), story, lost)
    place.remove()
    return Played(
        scene.name,
        point,
        problems,
        story,
        {function: pump.workers[0].proxy.calls for function, pump in pumps.items()},
        logs,
        point is None or any(" stops " in line for line in story.lines),
        time.monotonic() - began,
    )


def _pump(function: str, place: Stage, program: Program, story: Story, point: Point | None) -> Pump:
    numbers = iter(range(1, 1000))

    def start() -> Worker:
        number = next(numbers)
        is_victim = point is not None and point.function == function and number == 1
        return Worker(
            f"{function} {number}",
            program,
            Function(f"celeriac-{place.name}--{function}", HANDLERS[function], place.name),
            story,
            stop=point.stop if point is not None and is_victim else None,
            by="kill" if point is None or point.means == "kill" else "freeze",
        )

    return Rows(place, start) if function == "relay" else Messages(place, QUEUES[function], start)


def _body(message: Message) -> dict[str, object]:
    args = {"name": message.name} | ({"group": message.group, "number": message.number} if message.group else {})
    return {"id": f"{message.task}:{message.name}", "task": message.task, "args": args}


def _is_quiet(place: Stage, pumps: list[Pump], point: Point | None) -> bool:
    """Wait until no work is left, and no worker is frozen."""
    until = time.monotonic() + LONGEST_SECONDS
    quiet = 0
    while time.monotonic() < until:
        if point is not None and point.means == "meet":
            _wait_for_meeting(pumps, point, LOOK_SECONDS)
        else:
            time.sleep(LOOK_SECONDS)
        quiet = 0 if any(pump.is_busy for pump in pumps) or not _has_ended(place, pumps) else quiet + 1
        frozen = [worker for pump in pumps for worker in pump.frozen]
        if quiet > 1 and not frozen:
            return True
        if quiet > 1:
            _wake(frozen)
            quiet = 0
    return False


def _wait_for_meeting(pumps: list[Pump], point: Point, seconds: float) -> None:
    """Wait, and wake a frozen worker as soon as the next one is in the middle of its work."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        time.sleep(MEETING_SECONDS)
        for pump in pumps:
            if pump.frozen and pump.worker not in pump.frozen and len(pump.worker.proxy.calls) > _meeting(point):
                _wake(pump.frozen)


def _meeting(point: Point) -> int:
    """After how many calls of the next worker a frozen one is woken: another number for each point."""
    return point.stop.call % MEETINGS


def _wake(frozen: list[Worker]) -> None:
    """Wake these workers, and let them go on until they have answered. Nobody has asked for their answers any more."""
    for worker in frozen:
        worker.wake()
    ends = time.monotonic() + WOKEN_SECONDS
    for worker in frozen:
        while time.monotonic() < ends and worker.is_running:
            time.sleep(LOOK_SECONDS / 10)
        worker.story.tell(worker.name, "is over" if worker.is_alive else f"is dead: {worker.kill()}")
        worker.kill()


def _has_ended(place: Stage, pumps: list[Pump]) -> bool:
    relay = [pump for pump in pumps if isinstance(pump, Rows)]
    return not any(place.waiting(queue) for queue in QUEUES.values()) and not any(
        pump.pending() or place.unpublished() for pump in relay
    )


def points(function: str, calls: list[str]) -> list[Point]:
    """Every call, before and after it, and every way to stop a worker there."""
    sides: tuple[Side, ...] = ("before", "after")
    return [
        Point(function, Stop(number, side), how)
        for number in range(1, len(calls) + 1)
        for side in sides
        for how in MEANS
    ]
