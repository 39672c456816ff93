"""Plays one scene in a new stage: undisturbed, or with one worker that is stopped at one of its calls."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tests.kill import promises
from tests.kill.invoked import Function, Invoked
from tests.kill.points import Point
from tests.kill.polling import Polling
from tests.kill.proxy import Stop
from tests.kill.pumps import Messages, Pump, Rows, Service
from tests.kill.scenes import Message, Scene
from tests.kill.stage import QUEUES, Clients, Stage
from tests.kill.story import Story
from tests.kill.worker import By, Program, Worker

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
    for message in scene.messages:
        place.send(QUEUES[scene.functions[0]], _body(message), message.group)
    pumps = {
        function: _pump(function, scene, point, story, place=place, program=program) for function in scene.functions
    }
    problems: list[str] = []
    began = time.monotonic()
    try:
        problems += [f"{pump.worker.name} has not started" for pump in pumps.values() if not pump.worker.is_ready()]
        for pump in pumps.values():
            pump.start()
        if not _is_quiet(place, list(pumps.values()), point):
            problems.append(f"not quiet after {LONGEST_SECONDS:.0f} s")
    finally:
        for pump in pumps.values():
            pump.over.set()
        for pump in pumps.values():
            pump.join()
            problems += [
                f"{worker.name} was told to end, and has ended with {status}"
                for worker in pump.workers
                if worker.is_told.is_set() and (status := worker.kill())
            ]
            problems += [f"the harness failed: {pump.failure!r}"] if pump.failure else []
        logs = {worker.name: worker.close() for pump in pumps.values() for worker in pump.workers}
    problems += promises.broken(scene, promises.look(place), story, sum(pump.lost for pump in pumps.values()))
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


def _pump(
    function: str, scene: Scene, point: Point | None, story: Story, *, place: Stage, program: Program
) -> Pump[Any]:
    numbers = iter(range(1, 1000))

    def named() -> tuple[str, Stop | None, By]:
        number = next(numbers)
        is_victim = point is not None and point.function == function and number == 1
        name = f"{function} {number}"
        return (name, point.stop, point.by) if point is not None and is_victim else (name, None, "kill")

    def invoked() -> Invoked:
        name, stop, by = named()
        its = Function(f"celeriac-{place.name}--{function}", HANDLERS[function], place.name)
        return Invoked(name, program, its, story, stop=stop, by=by)

    def polling() -> Polling:
        name, stop, by = named()
        return Polling(name, program, function, place.name, story, stop=stop, by=by)

    if scene.runner == "worker":
        return Service(place, polling)
    return Rows(place, invoked) if function == "relay" else Messages(place, QUEUES[function], invoked)


def _body(message: Message) -> dict[str, object]:
    args = {"name": message.name} | ({"group": message.group, "number": message.number} if message.group else {})
    return {"id": f"{message.task}:{message.name}", "task": message.task, "args": args}


def _is_quiet(place: Stage, pumps: list[Pump[Any]], point: Point | None) -> bool:
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


def _wait_for_meeting(pumps: list[Pump[Any]], point: Point, seconds: float) -> None:
    """Wait, and wake a frozen worker as soon as the next one is in the middle of its work."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        time.sleep(MEETING_SECONDS)
        for pump in pumps:
            if pump.frozen and pump.worker not in pump.frozen and pump.worker.calls_at_work > _meeting(point):
                _wake(pump.frozen)


def _meeting(point: Point) -> int:
    """After how many calls of the next worker a frozen one is woken: another number for each point."""
    return point.stop.call % MEETINGS


def _wake(frozen: Sequence[Worker]) -> None:
    """Wake these workers, and let them go on until they have answered. Nobody has asked for their answers any more."""
    for worker in frozen:
        worker.wake()
    ends = time.monotonic() + WOKEN_SECONDS
    for worker in frozen:
        while time.monotonic() < ends and worker.is_running:
            time.sleep(LOOK_SECONDS / 10)
        worker.story.tell(worker.name, "is over" if worker.is_alive else f"is dead: {worker.kill()}")
        worker.kill()


def _has_ended(place: Stage, pumps: list[Pump[Any]]) -> bool:
    relay = [pump for pump in pumps if isinstance(pump, Rows)]
    return not any(place.waiting(queue) for queue in QUEUES.values()) and not any(
        pump.pending() or place.unpublished() for pump in relay
    )
