"""The promises, judged by what lies in queues, tables and the outside ledger."""

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from celeriac.model.queue import Queue
from tests.kill.scenes import Expected, Scene
from tests.kill.stage import QUEUES, Stage
from tests.kill.story import Charge, Story

# Records tell their time in whole milliseconds.
MILLISECOND = 0.001
# A worker cuts a run off shortly before its own time is over, and the next attempt waits for a second. The run may have
# begun so late.
LATE_SECONDS = 1
# What a worker's death may make of a task that must not run twice.
CUT_OFF = frozenset({"interrupted", "unsettled"})


@dataclass(frozen=True, slots=True)
class Left:
    """What lies in the stage after a run."""

    records: tuple[tuple[str, str, float], ...]
    """Task, status and end (Unix time) of each idempotency record."""
    letters: tuple[tuple[str, str, str], ...]
    """Task, name and reason of each dead letter. SQS itself gives no reason: it is empty."""
    effects: Counter[str]
    unpublished: int
    waiting: int


def look(stage: Stage) -> Left:
    """Read the stage. The dead-letter queues are empty afterwards."""
    records = [row for row in stage.rows(stage.records) if "status" in row and "#" in row["id"]]
    letters = [
        (letter["task"], letter["args"]["name"], (letter.get("failure") or {}).get("reason", ""))
        for letter in stage.letters()
    ]
    return Left(
        tuple((row["id"].partition("#")[0], row["status"], int(row.get("ended_at", 0)) / 1000) for row in records),
        tuple(letters),
        Counter({row["pk"]: int(row["times"]) for row in stage.rows(stage.effects)}),
        len(stage.unpublished()),
        sum(stage.waiting(queue) for queue in QUEUES.values()),
    )


def broken(scene: Scene, left: Left, story: Story, deaths: int) -> Iterator[str]:
    """Every promise that was broken. `deaths`: how many workers died, were frozen or took too long."""
    if left.waiting:
        yield f"{left.waiting} messages are left"
    if left.unpublished:
        yield f"{left.unpublished} rows of the outbox are left"
    for expected in scene.expected:
        yield from _broken(expected, scene, left, story, deaths)
    if dict(left.effects) != dict(scene.effects):
        yield f"the effects are {dict(left.effects)} instead of {dict(scene.effects)}"
    known = {(expected.task, expected.name) for expected in scene.expected}
    for task, name in {(task, name) for task, name, _ in left.letters} - known:
        yield f"{task}:{name} is a dead letter, and was never sent"
    for task, name in {(charge.task, _name(charge.key)) for charge in story.charges} - known:
        yield f"{task}:{name} ran, and was never sent"
    yield from _disordered(story)


def _broken(one: Expected, scene: Scene, left: Left, story: Story, deaths: int) -> Iterator[str]:
    name = f"{one.task}:{one.name}"
    charges = [charge for charge in story.charges if (charge.task, _name(charge.key)) == (one.task, one.name)]
    reasons = [reason for task, its, reason in left.letters if (task, its) == (one.task, one.name)]
    fellows = sum(other.task == one.task for other in scene.expected)
    completed = [ended for task, status, ended in left.records if (task, status) == (one.task, "COMPLETED")]
    may_die_of = set(one.dies) | (CUT_OFF if one.kind == "at_most_once" and deaths else set())
    has_ended = any((end.task, _name(end.key)) == (one.task, one.name) for end in story.ends)
    has_succeeded = has_ended if one.kind == "at_least_once" else len(completed) == fellows
    if not reasons and (one.dies or not has_succeeded):
        yield f"{name} is lost: {[status for task, status, _ in left.records if task == one.task]}"
    if set(reasons) - may_die_of:
        yield f"{name} is a dead letter: {reasons}"
    if len(reasons) > 1 + deaths:
        yield f"{name} is {len(reasons)} dead letters"
    # A death costs no attempt.
    attempts = one.charges + _cut_off(charges, story.dead, QUEUES[scene.functions[0]])
    made = max((charge.attempt for charge in charges), default=0)
    if made > attempts:
        yield f"{name} made attempt {made}, at most {attempts} are allowed"
    # Each attempt runs once, and a death repeats one. Without a record nobody knows that a retry was sent before the
    # death, so all attempts that follow are repeated too.
    most = {
        "at_most_once": 1,
        "at_least_once": attempts * (1 + deaths),
        "effectively_once": attempts + deaths + one.spoilt,
    }[one.kind]
    most += len(story.told) if one.goes_on else 0
    if len(charges) > most:
        yield f"{name} ran {len(charges)} times, at most {most} are allowed"
    if has_succeeded and not reasons and len(charges) < one.charges:
        yield f"{name} ran {len(charges)} times instead of {one.charges}"
    recorded = completed[0] + MILLISECOND if len(completed) == fellows == 1 else math.inf
    if again := [charge for charge in charges if charge.at > recorded and not charge.is_late]:
        yield f"{name} ran {len(again)} times after its success was recorded"


def _cut_off(charges: list[Charge], dead: set[str], queue: Queue) -> int:
    """How many runs may have been cut off at the end of their time: that costs an attempt.

    Only a worker that lives on can cut a run off. It was frozen, or the machine was too slow.
    """
    return sum(
        this.worker not in dead and following.at - this.at > queue.timeout.total_seconds() - LATE_SECONDS
        for this, following in pairwise(charges)
    )


def _disordered(story: Story) -> Iterator[str]:
    """In a group no message starts before the one ahead of it has ended, but for a worker that was frozen."""
    order = [_name(charge.key) for charge in story.charges if charge.task == "in_order" and not charge.is_late]
    if order != sorted(order):
        yield f"the group ran in the order {order}"


def _name(key: str) -> str:
    """The argument in a key. That of an at_least_once task is the message's id, which ends in it."""
    return key.rpartition(":")[2]
