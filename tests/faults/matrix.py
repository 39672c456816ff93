"""The driver of the matrix: one path, one fault, one point where it happens, and the checks when no work is left.

A point is a call by its name, such as "the second SendMessage to this queue", or, before any call, the start of an
invocation or the reading of a body. One run of the path without a fault finds its points.
"""

import json
import math
import random
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from itertools import groupby
from typing import Any
from unittest.mock import patch

from celeriac import Outbox
from celeriac.aws import sqs
from celeriac.aws.client import client
from celeriac.leases import lease
from celeriac.leases.states import COMPLETED, DEAD, INPROGRESS
from celeriac.model import names
from celeriac.testing import Sandbox
from celeriac.testing.account import lying_in, schedules
from celeriac.testing.calls import Call, Fault
from celeriac.testing.points import Point, Watch
from tests.application import tables
from tests.faults.faults import DIES_AT_ITS_START, DIES_WHILE_READING, FAULTS
from tests.faults.paths import PATHS, SUCCEEDED, Path, World
from tests.faults.work import QUEUES, Outside, declare
from tests.support.histories import contradictions

STAGE = "test"
STARTS, READS = "start", "read"
# The faults that happen at other points than calls.
ELSEWHERE = {DIES_AT_ITS_START: STARTS, DIES_WHILE_READING: READS}
# How often a fault may repeat a run, or a dead letter. Others may do it once: a worker died, or an answer was lost.
# AWS carries a slow call out each time that boto3 tries it, and no answer says so.
MOST_REPEATS = {"slow": 2, "slow for minutes": math.inf}


class BusWatch(Watch):
    """A watch that also strikes at the start of an invocation and at the reading of a body, and looks at the bus."""

    def __init__(self, sandbox: Sandbox, at: Point | None = None, strike: Fault | None = None) -> None:
        super().__init__(sandbox, at, strike)
        self.on_bus: set[str] = set()
        """The ids of the events that were put on the stage's bus."""
        self._release = sandbox._calls.rollout

    @contextmanager
    def installed(self) -> Iterator[None]:
        self._release = self._sandbox._calls.rollout
        with (
            super().installed(),
            self._sandbox.crash_when(lambda _: self.is_struck(READS, "", None)),
            patch.object(self._sandbox._calls, "rollout", self._start),
        ):
            yield

    def __call__(self, call: Call) -> Any:
        if call.operation == "PutEvents":
            made = call
            call = replace(made, carry_out=lambda arguments: self._put_events(made, arguments))
        return super().__call__(call)

    def _start(self, function: str) -> AbstractContextManager[object]:
        if self.is_struck(STARTS, function.removeprefix(names.start(STAGE)), None):
            self._sandbox.crash_at(0)
        return self._release(function)

    def _put_events(self, call: Call, arguments: Mapping[str, Any]) -> Any:
        answer = call.carry_out(arguments)
        self.on_bus |= {json.loads(entry["Detail"])["id"] for entry in arguments["Entries"]}
        return answer


@cache
def points(path: str, fault: str) -> list[Point]:
    """The points of a path at which a fault can happen."""
    if fault in ELSEWHERE:
        return [point for point, _ in _points(path) if point.operation == ELSEWHERE[fault]]
    return [point for point, call in _points(path) if call is not None and FAULTS[fault].applies_to(call)]


def calls(path: str) -> list[tuple[Point, Call]]:
    """The AWS calls of the path's workers without any fault."""
    return [(point, call) for point, call in _points(path) if call is not None]


def _points(path: str) -> list[tuple[Point, Call | None]]:
    return _without_a_fault(path)[0]


@cache
def _without_a_fault(path: str) -> tuple[list[tuple[Point, Call | None]], Counter[str], Counter[str]]:
    """The points of the path, and how often each task then ran and became a dead letter."""
    with new_world(PATHS[path].ahead) as world:
        watch = BusWatch(world.sandbox)
        problems = _play(PATHS[path], world, watch)
        assert not problems, f"{path}, without any fault: {problems}"
        return watch.points, Counter(world.outside.charges), _letters(world)


def problems_of(path: str, fault: str, point: Point) -> list[str]:
    """What is wrong after the fault happened at that point and no work is left. Empty if nothing is wrong."""
    with new_world(PATHS[path].ahead) as world:
        watch = BusWatch(world.sandbox, point, FAULTS[fault].strike(world.sandbox))
        try:
            problems = _play(PATHS[path], world, watch, in_outage="outage" in fault or fault.startswith("slow for"))
            problems += _too_often(path, world, fault)
        except Exception as error:  # noqa: BLE001 - an error that escapes is a finding too
            problems = [f"the path raised {error!r}"]
        if not watch.has_struck:
            problems.append("the point of the fault was not reached")
        return [f"{path}, {fault}, {point}: {problem}" for problem in problems]


@contextmanager
def new_world(ahead: int = 0) -> Iterator[World]:
    """A stage with the tasks of the matrix. `ahead`: how many tasks a worker claims while others run."""
    with patch.object(tables, "outbox", Outbox(bus=True), create=True), Sandbox(claims_ahead=ahead) as sandbox:
        outside = Outside()
        tasks = declare(outside)
        for queue in QUEUES:
            sqs.url(queue.physical_name(STAGE))  # look the URL up now: the calls of a worker that does it go unobserved
        world = World(sandbox, outside, tasks)
        with world.exit:
            yield world


def _play(path: Path, world: World, watch: BusWatch, *, in_outage: bool = False) -> list[str]:
    random.seed(0)  # crash suspects run in random order
    path.start(world)
    world.outside.start_over()
    with watch.installed():
        path.act(world)
    # In an outage of the table, or while it is slow, a dead letter is sent though its record stays open.
    return broken(path, world, watch.on_bus, frozenset({INPROGRESS}) if in_outage else frozenset())


def broken(path: Path, world: World, on_bus: set[str], open_records: frozenset[str] = frozenset()) -> list[str]:
    """The promises that don't hold when no work is left."""
    return [
        *_lost(path, world, open_records),
        *_doubled(path, world),
        *_stuck(path, on_bus),
        *_disordered(path, world),
        *world.outside.overcharged,
        *contradictions(STAGE),
    ]


def _lost(path: Path, world: World, open_records: frozenset[str]) -> Iterator[str]:
    """Each task has succeeded, or is a dead letter for an allowed reason. There are no other dead letters.

    A task that has succeeded has reached its end. In a worker that died behind it, its commit says so.
    """
    reasons: dict[str, set[str]] = {}
    for key, reason in _dead(world):
        reasons.setdefault(key, set()).add(reason)
    for key, allowed in path.ends.items():
        died_of = reasons.pop(key, set())
        recorded = _recorded(world, key)
        if died_of:
            if not died_of <= allowed:
                yield f"{key} is a dead letter, {died_of}"
            if recorded not in {"", DEAD, *open_records}:
                yield f"{key} is a dead letter, and its record says {recorded}"
        elif SUCCEEDED not in allowed:
            yield f"{key} is not a dead letter"
        elif recorded not in {"", COMPLETED} or key not in world.outside.done | path.effects:
            yield f"{key} is lost; its record says {recorded or 'nothing'}"
    if reasons:
        yield f"unexpected dead letters: {reasons}"


def _dead(world: World) -> Iterator[tuple[str, str]]:
    """The key and the reason of each dead letter."""
    for queue in QUEUES:
        for letter in world.sandbox.dead_letters(queue):
            reason = letter.failure.reason if letter.failure is not None else "moved by SQS"
            yield f"{letter.task}:{letter.args.get('name', letter.body)}", reason


def _letters(world: World) -> Counter[str]:
    """The number of dead letters, by key."""
    return Counter(key for key, _ in _dead(world))


def _too_often(path: str, world: World, fault: str) -> Iterator[str]:
    """A fault repeats no run and no dead letter more often than it must."""
    most = MOST_REPEATS.get(fault, 1)
    _, usual_runs, usual_letters = _without_a_fault(path)
    for key, ran in Counter(world.outside.charges).items():
        task, usual = world.tasks.get(key.partition(":")[0]), usual_runs[key] * (1 + world.restarts)
        # Each copy of an at_least_once task makes all attempts that follow.
        allowed = usual * (1 + most) if task is not None and task.guarantee == "at_least_once" else usual + most
        if ran > allowed:
            yield f"{key} ran {ran} times, at most {allowed} are allowed"
    for key, died in _letters(world).items():
        if died > usual_letters[key] + most:
            yield f"{key} is {died} dead letters"


def _recorded(world: World, key: str) -> str:
    """The status in the record of a task. Empty for a task that has no record."""
    task = world.tasks.get(key.partition(":")[0])
    if task is None or task.guarantee == "at_least_once":
        return ""
    return str(lease.look_up(task.name, key, task.queue.record_retention).get("status", "no record"))


def _doubled(path: Path, world: World) -> Iterator[str]:
    """Every committed effect is there exactly once. The provider saw only keys of tasks."""
    items = client("dynamodb").scan(TableName=names.table(STAGE, "orders"))["Items"]
    times = {item["pk"]["S"]: int(item["times"]["N"]) for item in items}
    if times != dict.fromkeys(path.effects, 1):
        yield f"effects, and how often they happened: {times}"
    charged = Counter(world.outside.charges)
    if not charged.keys() <= path.ends.keys():
        yield f"charged: {charged}"
    if charged["launch:a"] > 1:
        yield f"launch:a is at most once, and ran {charged['launch:a']} times"


def _stuck(path: Path, on_bus: set[str]) -> Iterator[str]:
    """No message, schedule or event is left waiting."""
    dynamodb = client("dynamodb")
    for name in [*(queue.physical_name(STAGE) for queue in QUEUES), names.schedule_dead_letters(STAGE)]:
        if left := lying_in(sqs.url(name)):
            yield f"{len(left)} messages are left in {name}"
    if waits := [one for one in schedules(STAGE) if one.due > datetime.now(UTC)]:
        yield f"{len(waits)} schedules are left"
    rows = dynamodb.scan(TableName=names.outbox_table(STAGE))["Items"]
    if len(rows) != path.events or not all("published_at" in row and "waiting" not in row for row in rows):
        yield f"the outbox: {rows}"
    wanted = {row["sk"]["S"] for row in rows if "message" not in row}
    if on_bus != wanted:
        yield f"the bus got {len(on_bus)} of {len(wanted)} events"


def _disordered(path: Path, world: World) -> Iterator[str]:
    """Tasks with an order ran one after the other. Each may have run several times."""
    for order in path.order:
        ran = [key for key, _ in groupby(key for key in world.outside.charges if key in order)]
        if ran != list(order):
            yield f"ran in the order {ran}"
