"""The paths through Celeriac, as plain data: what is sent, and what must have become of it after any fault."""

import io
from collections.abc import Callable, Mapping
from contextlib import ExitStack, redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import typer
from botocore.exceptions import BotoCoreError, ClientError

import celeriac
from celeriac import ConditionFailedError, Outbox, PartialFailureError, Task
from celeriac.aws import sqs
from celeriac.aws.client import client
from celeriac.testing import Call, Sandbox, WorkerDied
from celeriac.testing.kinds import never_arrived
from celeriac_console.commands.dlq.redrive import redrive
from celeriac_console.dlq.queue_reader import HIDDEN
from tests.faults.work import LARGE, LONG_WAIT, Outside, jobs

SUCCEEDED = "succeeded"


@dataclass
class World:
    """A stage in memory, its tasks, and the effects outside it."""

    sandbox: Sandbox
    outside: Outside
    tasks: Mapping[str, Task[..., Any, Any]]
    exit: ExitStack = field(default_factory=ExitStack)
    """What ends with the world."""
    restarts: int = 0
    """How often the producer began again. Each time it sends new messages, with the same keys."""

    def enqueue(
        self,
        task: str,
        *names: str,
        group: str | None = None,
        note: str | None = None,
        delay: timedelta = timedelta(),
    ) -> None:
        """Enqueue `task` once for each of the names."""
        for name in names:
            arguments = {"name": name} if note is None else {"name": name, "note": note}
            self.tasks[task].options(group=group, delay=delay).enqueue(**arguments)

    def send(self, body: str) -> None:
        """Send a body as it is."""
        client("sqs").send_message(QueueUrl=sqs.url(jobs.physical_name("test")), MessageBody=body)

    def emit(self, names: str) -> None:
        """Emit an event for each name, of two aggregates in turn."""
        for position, name in enumerate(names):
            with celeriac.transaction() as tx:
                tx.emit("matrix.event", {"name": name}, aggregate=f"item-{position % 2}")


def drain(world: World) -> None:
    """Let the workers do all the work there is."""
    world.sandbox.drain()


@dataclass(frozen=True)
class Path:
    """One path through Celeriac."""

    start: Callable[[World], object]
    """What happens before the first call at which a fault may happen."""
    ends: Mapping[str, frozenset[str]]
    """By `<task>:<name>`, or `:<body>` for an unreadable body: `succeeded`, or the reasons for which it may be a dead
    letter.
    """
    effects: frozenset[str] = frozenset()
    """The effects that `ctx.transaction` has committed, each exactly once."""
    events: int = 0
    """How many rows the outbox has at the end, all of them published."""
    order: tuple[tuple[str, ...], ...] = ()
    """Tasks that must have run one after the other."""
    act: Callable[[World], object] = drain
    """The part of the path at which the fault happens."""
    ahead: int = 0
    """How many of the next tasks a worker claims while others run. With more than none, calls come in any order."""


def _ends(how: str, *keys: str) -> dict[str, frozenset[str]]:
    return dict.fromkeys(keys, frozenset(how.split("|")))


def _nothing(world: World) -> None:
    """Nothing happens before."""


def _start_row(world: World) -> None:
    world.enqueue("succeed", "a", "b", "c", "d")
    world.enqueue("fail_once", "e")
    world.enqueue("refuse", "f")


def _start_fifo(world: World) -> None:
    world.enqueue("in_order", "a", "b", "c", group="g")


def _start_large(world: World) -> None:
    world.enqueue("fail_once", "a", note=LARGE)
    world.enqueue("wait_long", "b", note=LARGE)
    world.enqueue("refuse", "c", note=LARGE)


def _start_suspects(world: World) -> None:
    world.enqueue("fail_once", "a")
    world.enqueue("kill", "b")
    world.enqueue("succeed", "c")


def _roll_out(world: World) -> None:
    """A deploy is under way, of a release with a new task."""
    old = [task for name, task in world.tasks.items() if name != "fail_once"]
    world.exit.enter_context(world.sandbox.rollout(old))
    world.enqueue("fail_once", "a")
    world.enqueue("succeed", "b")


def _roll_out_a_bus(world: World) -> None:
    """A deploy is under way, of a release whose events go to a bus too."""
    world.exit.enter_context(world.sandbox.rollout(world.tasks.values(), old_outbox=Outbox()))
    world.emit("abcd")


def pause(world: World) -> None:
    """Three firings of a schedule wait in the queue. One of them must run."""
    for _ in range(3):
        world.sandbox.fire(world.tasks["tidy"])
        world.sandbox.advance(timedelta(minutes=2))


def _strand(world: World) -> None:
    world.emit("abcd")
    world.sandbox.advance(timedelta(hours=13))  # the stream has given up on the events


def _relay_in_an_outage(world: World) -> None:
    """The relay can send nothing. When it can again, it gets later events before the sweeper has sent the earlier ones.

    Another worker has them, which doesn't know of the outage.
    """

    def no_queue(call: Call) -> Any:
        return never_arrived(call) if call.operation == "SendMessageBatch" else call.make()

    with world.sandbox.fault(no_queue):
        world.sandbox.run_once()
    world.sandbox.replace_workers()
    world.emit("cd")
    world.sandbox.drain()


def _let_die(world: World) -> None:
    """Make letters to redrive, and one that must stay."""
    world.outside.is_down = True
    world.enqueue("depend", "a", "b")
    world.enqueue("depend_in_order", "c", "d", group="g")
    world.enqueue("refuse", "e")
    world.sandbox.drain()
    world.outside.is_down = False


def _redrive(world: World) -> None:
    """Redrive as an operator does, again until the command succeeds. Then let the workers run."""
    for queue, task in (("matrix", "depend"), ("matrix-ledger", "depend_in_order")):
        while not redriven(world, queue, task):
            world.sandbox.advance(HIDDEN + timedelta(seconds=1))
    world.sandbox.drain()


def _let_die_late(world: World) -> None:
    """Make a letter whose schedule has just fired, so that Scheduler still keeps the schedule's name."""
    world.outside.is_down = True
    world.enqueue("depend_late", "a")
    world.sandbox.drain()
    world.outside.is_down = False


def _let_die_and_grow_old(world: World) -> None:
    """Make a letter that is redriven in vain, and is almost as old as a letter may be for the second time."""
    world.outside.is_down = True
    world.enqueue("depend", "a", note=LARGE)
    world.sandbox.drain()
    world.sandbox.advance(OLD)
    assert redriven(world, "matrix", "depend")
    world.sandbox.drain()
    world.sandbox.advance(OLD)
    world.outside.is_down = False


def _redrive_one(task: str) -> Callable[[World], None]:
    def act(world: World) -> None:
        for _ in range(MOST_TRIES):
            if redriven(world, "matrix", task):
                break
            world.sandbox.advance(HIDDEN + timedelta(seconds=1))
        world.sandbox.drain()

    return act


def redriven(world: World, queue: str, task: str) -> bool:
    """Redrive as an operator does. Returns whether the command succeeded."""
    # A rate that one connection can keep, so that the calls come in one order.
    try:
        with world.sandbox.worker(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            redrive(queue, task=task, rate=10.0)
    except (WorkerDied, typer.Exit, BotoCoreError, ClientError):
        return False
    return True


# A command that no fault stops any more succeeds, unless the letter has lost its payload. The tries take longer than
# any outage.
MOST_TRIES = 300
OLD = timedelta(days=13)
"""A dead letter lives for fourteen days."""


def _produced(produce: Callable[[World], object]) -> Callable[[World], object]:
    """Let a program enqueue until it has succeeded. Then let the workers run."""

    def act(world: World) -> None:
        while not _has_succeeded(world, produce):
            world.restarts += 1
            world.sandbox.advance(timedelta(minutes=1))
        world.sandbox.drain()

    return act


def _has_succeeded(world: World, produce: Callable[[World], object]) -> bool:
    try:
        with world.sandbox.worker():
            produce(world)
    except (WorkerDied, PartialFailureError, BotoCoreError, ClientError):
        return False
    return True


def _enqueue_each_way(world: World) -> None:
    world.enqueue("succeed", "a")
    world.enqueue("fail_once", "b", note=LARGE)
    world.enqueue("succeed", "c", delay=LONG_WAIT)
    world.enqueue("in_order", "d", group="g")


def _enqueue_many(world: World) -> None:
    world.tasks["succeed"].enqueue_many({"name": name} for name in MANY)


def _commit(world: World) -> None:
    """An order with its event and its task. If the order is there, they are too."""
    with suppress(ConditionFailedError), celeriac.transaction() as tx:
        tx.put("orders", {"pk": "order a", "times": 1}, condition="attribute_not_exists(pk)")
        tx.emit("matrix.event", {"name": "a"}, aggregate="a")
        tx.enqueue(world.tasks["succeed"], name="a")


MANY = "abcdefghijkl"
_SUBSCRIBERS = tuple(f"{task}:{name}" for task in ("book", "count") for name in "abcd")
_IN_ORDER = (("book:a", "book:c"), ("book:b", "book:d"))

PATHS = {
    "success": Path(lambda world: world.enqueue("succeed", "a", "b"), _ends(SUCCEEDED, "succeed:a", "succeed:b")),
    "claims ahead": Path(
        _start_row,
        _ends(SUCCEEDED, *(f"succeed:{name}" for name in "abcd"), "fail_once:e") | _ends("rejected", "refuse:f"),
        effects=frozenset({"fail_once:e"}),
        ahead=4,
    ),
    "duplicate": Path(lambda world: world.enqueue("succeed", "a", "a"), _ends(SUCCEEDED, "succeed:a")),
    "short retry": Path(
        lambda world: world.enqueue("fail_once", "a"),
        _ends(SUCCEEDED, "fail_once:a"),
        effects=frozenset({"fail_once:a"}),
    ),
    "at least once": Path(lambda world: world.enqueue("notify", "a"), _ends(SUCCEEDED, "notify:a")),
    "long retry": Path(
        lambda world: world.enqueue("wait_long", "a"),
        _ends(SUCCEEDED, "wait_long:a"),
        effects=frozenset({"wait_long:a"}),
    ),
    "uncharged retries": Path(
        lambda world: world.enqueue("wait_uncharged", "a"),
        _ends(SUCCEEDED, "wait_uncharged:a"),
        effects=frozenset({"wait_uncharged:a"}),
    ),
    # More uncharged retries than the policy has attempts.
    "uncharged retries in order": Path(
        lambda world: world.enqueue("wait_in_order", "a", "b", group="g"),
        _ends(SUCCEEDED, "wait_in_order:a", "wait_in_order:b"),
        effects=frozenset({"wait_in_order:a", "wait_in_order:b"}),
        order=(("wait_in_order:a", "wait_in_order:b"),),
    ),
    "reject": Path(lambda world: world.enqueue("refuse", "a"), _ends("rejected", "refuse:a")),
    "exhausted": Path(lambda world: world.enqueue("fail", "a"), _ends("exhausted", "fail:a")),
    "malformed": Path(lambda world: world.send("nonsense"), _ends("malformed", ":nonsense")),
    "newer version": Path(lambda world: world.send('{"v": 99}'), _ends("newer version", ':{"v": 99}')),
    "unknown task": Path(
        lambda world: world.send('{"task": "unheard", "args": {"name": "a"}}'), _ends("unknown task", "unheard:a")
    ),
    # A task that was claimed and not completed may have run, so an operator must decide.
    "at most once": Path(
        lambda world: world.enqueue("launch", "a"), _ends(f"{SUCCEEDED}|interrupted|unsettled", "launch:a")
    ),
    "late firings": Path(pause, _ends(SUCCEEDED, "tidy:late")),
    "worker lost": Path(
        _start_suspects,
        _ends("worker lost", "kill:b") | _ends(SUCCEEDED, "fail_once:a", "succeed:c"),
        effects=frozenset({"fail_once:a"}),
    ),
    "large payload": Path(
        _start_large,
        _ends(SUCCEEDED, "fail_once:a", "wait_long:b") | _ends("rejected", "refuse:c"),
        effects=frozenset({"fail_once:a", "wait_long:b"}),
    ),
    "fifo": Path(
        _start_fifo,
        _ends(SUCCEEDED, "in_order:a", "in_order:c") | _ends("rejected", "in_order:b"),
        effects=frozenset({"in_order:a", "in_order:c"}),
        order=(("in_order:a", "in_order:b", "in_order:c"),),
    ),
    "transaction": Path(
        lambda world: world.enqueue("transfer", "a", "b"),
        _ends(SUCCEEDED, *(f"{task}:{name}" for task in ("transfer", "succeed", "count", "book") for name in "ab")),
        effects=frozenset(f"{task}:{name}" for task in ("transfer", "count", "book") for name in "ab"),
        events=4,
    ),
    "two releases": Path(_roll_out, _ends(SUCCEEDED, "fail_once:a", "succeed:b"), effects=frozenset({"fail_once:a"})),
    "two releases, one with a bus": Path(
        _roll_out_a_bus,
        _ends(SUCCEEDED, *_SUBSCRIBERS),
        effects=frozenset(_SUBSCRIBERS),
        events=4,
        order=_IN_ORDER,
    ),
    "producer": Path(
        _nothing,
        _ends(SUCCEEDED, "succeed:a", "fail_once:b", "succeed:c", "in_order:d"),
        effects=frozenset({"fail_once:b", "in_order:d"}),
        act=_produced(_enqueue_each_way),
    ),
    "producer of many": Path(
        _nothing, _ends(SUCCEEDED, *(f"succeed:{name}" for name in MANY)), act=_produced(_enqueue_many)
    ),
    "producer commits": Path(
        _nothing,
        _ends(SUCCEEDED, "succeed:a", "count:a", "book:a"),
        effects=frozenset({"order a", "count:a", "book:a"}),
        events=2,
        act=_produced(_commit),
    ),
    "relay": Path(
        lambda world: world.emit("abcd"),
        _ends(SUCCEEDED, *_SUBSCRIBERS),
        effects=frozenset(_SUBSCRIBERS),
        events=4,
        order=_IN_ORDER,
    ),
    "sweeper": Path(
        _strand,
        _ends(SUCCEEDED, *_SUBSCRIBERS),
        effects=frozenset(_SUBSCRIBERS),
        events=4,
        order=_IN_ORDER,
    ),
    "relay in an outage": Path(
        lambda world: world.emit("ab"),
        _ends(SUCCEEDED, *_SUBSCRIBERS),
        effects=frozenset(_SUBSCRIBERS),
        events=4,
        order=_IN_ORDER,
        act=_relay_in_an_outage,
    ),
    "redrive": Path(
        _let_die,
        _ends(SUCCEEDED, "depend:a", "depend:b", "depend_in_order:c", "depend_in_order:d")
        | _ends("rejected", "refuse:e"),
        effects=frozenset({"depend:a", "depend:b", "depend_in_order:c", "depend_in_order:d"}),
        act=_redrive,
    ),
    "redrive of a long wait": Path(
        _let_die_late,
        _ends(SUCCEEDED, "depend_late:a"),
        effects=frozenset({"depend_late:a"}),
        act=_redrive_one("depend_late"),
    ),
    "redrive of an old payload": Path(
        _let_die_and_grow_old,
        _ends(SUCCEEDED, "depend:a"),
        effects=frozenset({"depend:a"}),
        act=_redrive_one("depend"),
    ),
}
