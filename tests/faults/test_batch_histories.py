"""Random histories of batches and chains, on the real code: deaths, duplicates, late deliveries, redrives, outages.

In each: `then` never comes early and never twice, `dead` comes once, and in the end all that was sealed has fired. A
chain's steps run once each, with the recorded results.
"""

import random
import sys
from collections import Counter
from contextlib import suppress
from datetime import timedelta
from typing import Any
from unittest.mock import patch

import pytest
from botocore.exceptions import ClientError
from typer.testing import CliRunner

import celeriac
from celeriac import RESULT, Backoff, Context, PartialFailureError, Queue, Reject, task
from celeriac.aws import sqs
from celeriac.aws.client import client
from celeriac.flow.batches import root, tree
from celeriac.leases import lease
from celeriac.leases.states import DEAD
from celeriac.model.message import decode
from celeriac.testing import Sandbox, WorkerDied, die
from celeriac.testing.calls import Call
from celeriac_console.main import app
from tests.support.redrive import redrive_as_aws_does

filling = Queue("bh-filling")
loading = Queue("bh-loading", batch_size=10, concurrency=1)  # more would run in another order each time
ordered = Queue("bh-ordered", fifo=True, batch_size=10)
calling = Queue("bh-calling")
QUEUES = (filling, loading, ordered, calling)
SOON = Backoff(base=timedelta(seconds=5), jitter=0, attempts=5)
ROUNDS = 12
"""So often letters are redriven until none is left."""


class World:
    """What the tasks of a history meet, and what they have done."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.is_calm = False
        self.early: list[str] = []
        self.died: set[tuple[str, str]] = set()
        """The batches, each in an epoch, of which a member was recorded as a dead letter."""

    def meet(self) -> None:
        """Fail, as chance will have it."""
        if self.is_calm:
            return
        what = self.chance.random()
        if what < 0.05:
            die()
        if what < 0.15:
            raise Reject("not now")
        if what < 0.3:
            raise ConnectionError("the provider is down")


_world = World(random.Random(0))  # noqa: S311 - no secret


@task(filling, retry=SOON)
def bh_fill(name: str, count: int) -> None:
    fill(name, count)


@task(loading, key="name", retry=SOON)
def bh_load(ctx: Context, name: str) -> None:
    _world.meet()
    with ctx.transaction() as tx:
        tx.update("orders", key={"pk": name}, add={"count": 1})


@task(ordered, key="name", retry=SOON)
def bh_load_in_order(ctx: Context, name: str) -> None:
    _world.meet()
    with ctx.transaction() as tx:
        tx.update("orders", key={"pk": name}, add={"count": 1})


@task(loading, retry=SOON, delivery="at_least_once")
def bh_load_again(name: str) -> None:
    _world.meet()
    client("dynamodb").put_item(TableName="celeriac-test--orders", Item={"pk": {"S": name}, "count": {"N": "1"}})


@task(loading, key="name", delivery="at_most_once")
def bh_load_at_most(ctx: Context, name: str) -> None:
    _world.meet()
    with ctx.transaction() as tx:
        tx.update("orders", key={"pk": name}, add={"count": 1})


MEMBERS = (bh_load, bh_load, bh_load_in_order, bh_load_again, bh_load_at_most)


@task(calling, retry=SOON)
def bh_then(ctx: Context, name: str) -> None:
    assert ctx.batch is not None
    status = ctx.batch.status()
    if status.missing or status.dead:
        _world.early.append(f"{name}: {status}")
    _world.meet()
    with ctx.transaction() as tx:
        tx.update("orders", key={"pk": f"{name} then"}, add={"count": 1})


@task(calling, retry=SOON)
def bh_dead(ctx: Context, name: str) -> None:
    _world.meet()
    with ctx.transaction() as tx:
        tx.update("orders", key={"pk": f"{name} dead"}, add={"count": 1})


@task(loading, retry=SOON)
def bh_first(ctx: Context, name: str) -> None:
    _world.meet()
    with ctx.transaction() as tx:
        tx.update("orders", key={"pk": f"{name} first"}, add={"count": 1})
        tx.result(_world.chance.randrange(1_000_000))


@task(ordered, retry=SOON)
def bh_second(ctx: Context, name: str, got: int) -> int:
    _world.meet()
    with ctx.transaction() as tx:
        tx.update("orders", key={"pk": f"{name} second"}, set={"got": got}, add={"count": 1})
        tx.result(got)
    return got


@task(calling, retry=SOON)
def bh_third(ctx: Context, name: str, got: int) -> None:
    _world.meet()
    with ctx.transaction() as tx:
        tx.update("orders", key={"pk": f"{name} third"}, set={"got": got}, add={"count": 1})


def fill(name: str, count: int) -> None:
    """Fill the batch of that name. The members are the same ones each time."""
    its = random.Random(name)  # noqa: S311 - no secret
    with celeriac.batch(then=bh_then.bind(name=name), dead=bh_dead.bind(name=name), key=name) as batch:
        for number in range(count):
            member = its.choice(MEMBERS)
            if member.queue.fifo:
                batch.enqueue(member.options(group=its.choice("ab")), name=f"{name} {number}")
            elif its.random() < 0.1:
                batch.enqueue(member.options(delay=timedelta(hours=1)), name=f"{name} {number}")
            else:
                batch.enqueue(member, name=f"{name} {number}")
            if not _world.is_calm and _world.chance.random() < 0.02:
                die()


def play(seed: int) -> Counter[str]:
    """Play the history of a seed. Raises AssertionError, with the seed, if a promise is broken. Returns counts."""
    global _world  # noqa: PLW0603 - tasks see their world as a provider's state
    chance = random.Random(seed)  # noqa: S311 - a history, no secret
    _world = World(chance)
    where = f"history {seed}"
    with patch.object(tree, "WIDTH", chance.choice([2, 2, 3, 256])), Sandbox() as sandbox:
        if chance.random() < 0.5:
            sandbox.deliver(duplicates=chance.choice([0, 0.05, 0.3]), reorders=True, seed=seed)
        batches = {f"{seed} batch {n}": chance.choice([0, 1, 2, 3, 5, 9]) for n in range(chance.choice([1, 1, 2]))}
        chains = [f"{seed} chain {n}" for n in range(chance.choice([0, 1, 2]))]
        for name, count in batches.items():
            _produce(sandbox, chance, name, count)
        for name in chains:
            steps = bh_second.options(group="g").bind(name=name, got=RESULT), bh_third.bind(name=name, got=RESULT)
            celeriac.chain(bh_first.bind(name=name), *steps).enqueue()
        for _ in range(chance.choice([2, 6, 12])):
            _act(sandbox, chance)
            _note_letters(sandbox)
        sandbox.drain()
        _end(sandbox, chance, batches)
        states = {name: celeriac.batch_of(_id(name)).status() for name in batches}
        found = client("dynamodb").scan(TableName="celeriac-test--orders")["Items"]
        due = [
            one
            for partition in (*root.shards(root.RUNNING), *root.shards(root.LATE))
            for one in root.listed(partition, 99)
        ]
        told = {name for name in batches if (its := root.read(_id(name))) and (its.id, its.epoch) in _world.died}
    counts = {item["pk"]["S"]: int(item["count"]["N"]) for item in found}
    got = {item["pk"]["S"]: int(item["got"]["N"]) for item in found if "got" in item}
    assert not _world.early, f"{where}: {_world.early}"
    assert not due, f"{where}: {due} wait for nothing"
    wanted = {f"{name} {number}": 1 for name, count in batches.items() for number in range(count)}
    wanted |= {f"{name} then": 1 for name in batches}
    wanted |= {f"{name} {step}": 1 for name in chains for step in ("first", "second", "third")}
    dead = {name for name in counts if name.endswith(" dead")}
    assert {name: count for name, count in counts.items() if name not in dead} == wanted, f"{where}: {counts}"
    assert all(counts[name] == 1 for name in dead), f"{where}: {counts}"
    assert {f"{name} dead" for name in told} <= dead, f"{where}: {counts}"
    for name in chains:
        assert got[f"{name} second"] == got[f"{name} third"], f"{where}: {got}"
    for name, status in states.items():
        assert (status.state, status.total) == ("succeeded", batches[name]), f"{where}: {status}"
    return Counter(members=sum(batches.values()), batches=len(batches), chains=len(chains), dead=len(dead))


def _id(name: str) -> str:
    return f"{calling.name}#{bh_then.name}:{name}"


def _produce(sandbox: Sandbox, chance: random.Random, name: str, count: int) -> None:
    if chance.random() < 0.6:
        bh_fill.enqueue(name=name, count=count)
        return
    with suppress(WorkerDied, ClientError, PartialFailureError), sandbox.worker():
        if chance.random() < 0.7:
            sandbox.crash_at(chance.randint(1, 2 + 2 * count), after=chance.random() < 0.5)
        fill(name, count)


def _act(sandbox: Sandbox, chance: random.Random) -> None:
    match chance.choice(["run", "run", "crash", "crash", "late", "outage", "redrive", "lost answers", "sweep"]):
        case "run":
            sandbox.run_once()
        case "crash":
            sandbox.crash_at(chance.randint(1, 30), after=chance.random() < 0.5)
            sandbox.run_once()
        case "late":
            sandbox.advance(timedelta(seconds=chance.choice([1, 6, 40, 200, 4000])))
        case "outage":
            service = chance.choice(["dynamodb", "sqs"])
            sandbox.outage(service, for_=timedelta(seconds=chance.choice([5, 100])), code="InternalServerError")
        case "redrive":
            _note_letters(sandbox)
            _redrive(chance)
        case "lost answers":
            with sandbox.fault(_twice):
                sandbox.run_once()
        case _:
            sandbox.advance(timedelta(minutes=1))
            sandbox.run_once()


def _twice(call: Call) -> Any:
    """Carry out each write twice, as boto3 does if the first answer is lost. The worker gets the second one."""
    if call.operation in {"UpdateItem", "SendMessage", "SendMessageBatch", "BatchWriteItem"}:
        with suppress(ClientError):
            call.make()
    return call.make()


def _note_letters(sandbox: Sandbox) -> None:
    for letter in _letters(sandbox):
        its, record = decode(letter.body).batch, lease.look_up(letter.task, letter.args["name"], timedelta())
        # Without that record the letter is superfluous: its worker died before it could write it. The message goes on.
        is_dead = (record.get("status"), record.get("task_id")) == (DEAD, letter.id)
        if is_dead and its is not None and its.index is not None:
            _world.died.add((its.id, its.epoch))


def _redrive(chance: random.Random) -> None:
    """Redrive a queue's letters, by our tool or by AWS's."""
    queue = chance.choice(QUEUES)
    url = sqs.url(queue.dead_letter_name("test"))
    if not _lies(url):
        return
    if chance.random() < 0.3:
        assert not CliRunner().invoke(app, ["--stage", "test", "dlq", "redrive", queue.name, "--yes"]).exception
        return
    while _lies(url):
        redrive_as_aws_does(queue, copies=chance.choice([1, 1, 2]))


def _lies(url: str) -> bool:
    answer = client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages"])
    return int(answer["Attributes"]["ApproximateNumberOfMessages"]) > 0


def _end(sandbox: Sandbox, chance: random.Random, batches: dict[str, int]) -> None:
    """Let all come to its end: nothing fails any more, letters are redriven, and lost producers run again."""
    for number in range(ROUNDS):
        _world.is_calm = number > 1
        sandbox.advance(timedelta(minutes=1))  # an outage may go on, and nothing else may be due
        _note_letters(sandbox)
        for queue in QUEUES:
            while _lies(sqs.url(queue.dead_letter_name("test"))):
                redrive_as_aws_does(queue, copies=chance.choice([1, 1, 2]))
        sandbox.drain()
        states = {name: celeriac.batch_of(_id(name)).status().state for name in batches}
        for name, state in states.items():
            if state in {"unknown", "open"}:
                with suppress(WorkerDied, ClientError, PartialFailureError), sandbox.worker():
                    fill(name, batches[name])
        sandbox.drain()
        if _world.is_calm and set(states.values()) <= {"succeeded"} and not _letters(sandbox):
            return


def _letters(sandbox: Sandbox) -> list[Any]:
    return [letter for queue in QUEUES for letter in sandbox.dead_letters(queue)]


@pytest.mark.parametrize("seed", range(20))
def test_a_history_of_batches_holds(seed: int) -> None:
    play(seed)


def main(count: int, first: int = 0) -> None:
    """Play histories, and print what they amount to."""
    total: Counter[str] = Counter()
    for seed in range(first, first + count):
        total += play(seed)
    said = ", ".join(f"{number} {what}" for what, number in sorted(total.items()))
    print(f"{count} histories held: {said}")  # noqa: T201 - a command


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
