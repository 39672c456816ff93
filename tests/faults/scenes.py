"""The scenes of the interleavings, as plain data: what lies ready, who acts, and what must have become of it.

Every actor is the real code, and every delivery is that of the sandbox.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any

from celeriac.aws import sqs
from celeriac.aws.client import client
from celeriac.model import names
from celeriac.model.queue import Queue
from celeriac.testing.account import lying_in
from celeriac.testing.calls import Call, die_before
from celeriac.testing.kinds import never_arrived
from celeriac.testing.lambda_ import invoke_relay, invoke_sweeper
from celeriac_console.dlq.queue_reader import HIDDEN
from tests.faults.paths import SUCCEEDED, Path, World, drain, pause, redriven
from tests.faults.work import PATIENT, QUEUES, jobs, ledger

STAGE = "test"

type Actor = Callable[[World], object]


@dataclass(frozen=True)
class Scene:
    """What lies ready, and who acts."""

    path: Path
    """What happens before, and what must have become of it. Its `act` is what happens after the schedule."""
    actors: Mapping[str, Actor]
    runs: Mapping[str, int] = field(default_factory=dict)
    """How often the tasks may run, by `<task>:<name>`. A worker that outlives its lease may cost one run more."""


def consume(world: World, queue: Queue = jobs) -> None:
    """A consumer gets one message, if there is one."""
    with world.sandbox._calls.unobserved():
        world.sandbox._pollers.consume(queue, 1)


def relay(world: World) -> None:
    """Lambda reads the stream and invokes the relay."""
    with world.sandbox._calls.unobserved():
        world.sandbox._pollers.stream.pump(names.relay_function(STAGE))


def relay_again(world: World) -> None:
    """Lambda invokes another worker with the records that the first one has not finished."""
    stream: Any = world.sandbox._pollers.stream
    with world.sandbox._calls.unobserved():
        stream._read()
    if stream._pending:
        invoke_relay(world.sandbox._calls, "another worker", list(stream._pending), stream._arn)


def sweep(world: World, function: str = names.sweeper_function(STAGE)) -> None:
    """The sweeper's schedule invokes it."""
    invoke_sweeper(world.sandbox._calls, function)


def emit(world: World, events: str) -> None:
    """A producer commits events of one aggregate."""
    with world.sandbox.worker():
        _emitted(world, events)


def _emitted(world: World, events: str) -> None:
    for event in events:
        world.emit(event)


def produce(world: World, task: str, *tasks: str) -> None:
    """A producer enqueues a task."""
    with world.sandbox.worker():
        world.enqueue(task, *tasks)


def operate(world: World, task: str) -> None:
    """An operator redrives the letters of a task."""
    redriven(world, jobs.name, task)


def aws_redrives(world: World, *, deletes: bool = True) -> None:
    """AWS's own redrive: it receives a letter, sends it and deletes it."""
    dead, source = sqs.url(jobs.dead_letter_name(STAGE)), sqs.url(jobs.physical_name(STAGE))
    asked: Any = {"MaxNumberOfMessages": 10, "MessageSystemAttributeNames": ["All"], "MessageAttributeNames": ["All"]}
    with world.sandbox.worker():
        for letter in client("sqs").receive_message(QueueUrl=dead, **asked).get("Messages", []):
            attributes: Any = (
                {"MessageAttributes": letter["MessageAttributes"]} if "MessageAttributes" in letter else {}
            )
            client("sqs").send_message(QueueUrl=source, MessageBody=letter["Body"], **attributes)
            if deletes:
                client("sqs").delete_message(QueueUrl=dead, ReceiptHandle=letter["ReceiptHandle"])


def one_after_the_other(*actors: Actor) -> Actor:
    """An actor that does several things."""

    def act(world: World) -> None:
        for actor in actors:
            actor(world)

    return act


def _copied(start: Actor, queue: Queue = jobs) -> Actor:
    """Let each message that lies ready lie there twice, as SQS or a producer that tries again may send it."""

    def act(world: World) -> None:
        start(world)
        url = sqs.url(queue.physical_name(STAGE))
        for message in lying_in(url):
            client("sqs").send_message(QueueUrl=url, MessageBody=message["Body"])

    return act


def _enqueued(task: str, *tasks: str, **options: Any) -> Actor:
    return lambda world: world.enqueue(task, *tasks, **options)


def _died_during_its_run(world: World) -> None:
    """A worker died during a run, and two copies of the message are there."""
    world.enqueue("depend", "a")
    body = lying_in(sqs.url(jobs.physical_name(STAGE)))[0]["Body"]
    _let_the_commit_kill(world)
    client("sqs").send_message(QueueUrl=sqs.url(jobs.physical_name(STAGE)), MessageBody=body)


def _let_the_commit_kill(world: World) -> None:
    """Let the worker of the next run die before it commits, and its lease and its message's visibility pass."""

    def kill(call: Call) -> Any:
        return die_before(call) if call.operation == "TransactWriteItems" else call.make()

    with world.sandbox.fault(kill):
        world.sandbox.run_once()
    world.sandbox.advance(jobs.visibility + timedelta(seconds=1))


def _late_copy(world: World) -> None:
    """The first attempt has failed, its successor is due, and a copy of the first message turns up."""
    world.enqueue("fail_once", "a")
    body = lying_in(sqs.url(jobs.physical_name(STAGE)))[0]["Body"]
    world.sandbox.run_once()
    world.sandbox.advance(PATIENT.base + timedelta(seconds=1))
    client("sqs").send_message(QueueUrl=sqs.url(jobs.physical_name(STAGE)), MessageBody=body)


def _late_copy_of_a_lost_run(world: World) -> None:
    """The worker of the second attempt died, and a copy of the first message turns up beside the second one."""
    world.enqueue("fail_once", "a")
    body = lying_in(sqs.url(jobs.physical_name(STAGE)))[0]["Body"]
    world.sandbox.run_once()
    world.sandbox.advance(PATIENT.base + timedelta(seconds=1))
    _let_the_commit_kill(world)
    client("sqs").send_message(QueueUrl=sqs.url(jobs.physical_name(STAGE)), MessageBody=body)


def _died(task: str) -> Actor:
    def act(world: World) -> None:
        world.outside.is_down = True
        world.enqueue(task, "a")
        world.sandbox.drain()
        world.outside.is_down = False

    return act


def _interrupted(world: World) -> None:
    """A worker died during a task that may run at most once."""
    world.enqueue("launch", "a")
    world.sandbox.crash_at(2)  # after the claim
    world.sandbox.drain()


def _redriven_and_still_there(world: World) -> None:
    """AWS's redrive has sent a letter, and has not deleted it."""
    _died("depend_late")(world)
    with world.sandbox._calls.unobserved():
        aws_redrives(world, deletes=False)
    world.sandbox._activity.queues.add(sqs.url(jobs.physical_name(STAGE)))
    world.sandbox.advance(HIDDEN + timedelta(seconds=1))


def _left_to_the_sweeper(world: World) -> None:
    """The relay could not send an event. Another worker gets a later one of the same aggregate."""

    def no_queue(call: Call) -> Any:
        return never_arrived(call) if call.operation == "SendMessageBatch" else call.make()

    world.emit("a")
    with world.sandbox.fault(no_queue):
        world.sandbox.run_once()
    world.sandbox.replace_workers()
    world.sandbox.advance(timedelta(minutes=2))
    world.emit("b")


def _grown_old(world: World) -> None:
    """Events whose stream is late: the sweeper finds them before the relay gets them."""
    _emitted(world, "ab")
    world.sandbox.advance(timedelta(minutes=2))


def _redrive_the_rest(task: str) -> Actor:
    """Let the workers run, and redrive the letters that are still there."""

    def act(world: World) -> None:
        world.sandbox.drain()
        for _ in range(10):
            if not any(letter.task == task for queue in QUEUES for letter in world.sandbox.dead_letters(queue)):
                break
            world.sandbox.advance(HIDDEN + timedelta(seconds=1))
            redriven(world, jobs.name, task)
            world.sandbox.drain()

    return act


def _ends(how: str, *keys: str) -> dict[str, frozenset[str]]:
    return dict.fromkeys(keys, frozenset(how.split("|")))


_CONSUMERS: dict[str, Actor] = {"first": consume, "second": consume}
_LEDGER = partial(consume, queue=ledger)
_TRANSFERRED = ("transfer:a", "succeed:a", "count:a", "book:a")


def _copies(task: str, how: str = SUCCEEDED, *, effect: bool = True, act: Actor = drain) -> Path:
    return Path(
        _copied(_enqueued(task, "a")),
        _ends(how, f"{task}:a"),
        effects=frozenset({f"{task}:a"} if effect else ()),
        act=act,
    )


def _events(start: Actor, events: str = "ab") -> Path:
    """Events of one aggregate, whose order is that of the letters."""
    subscribed = [f"{task}:{event}" for task in ("book", "count") for event in events]
    return Path(
        start,
        _ends(SUCCEEDED, *subscribed),
        effects=frozenset(subscribed),
        events=len(events),
        order=(tuple(f"book:{event}" for event in events),),
    )


def _redrives(start: Actor) -> Path:
    return Path(
        start,
        _ends(SUCCEEDED, "depend_late:a"),
        effects=frozenset({"depend_late:a"}),
        act=_redrive_the_rest("depend_late"),
    )


_late_operator = partial(operate, task="depend_late")

SCENES = {
    # Consumers, and a message that comes twice.
    "copies": Scene(
        Path(
            _copied(_enqueued("transfer", "a")),
            _ends(SUCCEEDED, *_TRANSFERRED),
            effects=frozenset({"transfer:a", "count:a", "book:a"}),
            events=2,
        ),
        _CONSUMERS,
        runs={"transfer:a": 1},
    ),
    "copies that fail": Scene(_copies("fail_once"), _CONSUMERS, runs={"fail_once:a": 2}),
    "copies refused": Scene(_copies("refuse", "rejected", effect=False), _CONSUMERS, runs={"refuse:a": 1}),
    "copies at most once": Scene(
        _copies("launch", f"{SUCCEEDED}|interrupted", effect=False), _CONSUMERS, runs={"launch:a": 1}
    ),
    "copies at least once": Scene(_copies("notify", effect=False), _CONSUMERS),
    "copies that wait long": Scene(_copies("wait_long"), _CONSUMERS, runs={"wait_long:a": 2}),
    "one key": Scene(
        Path(
            _enqueued("fail_once", "a", "a"),
            _ends(SUCCEEDED, "fail_once:a"),
            effects=frozenset({"fail_once:a"}),
        ),
        _CONSUMERS,
    ),
    "redelivery": Scene(
        Path(_enqueued("fail_once", "a"), _ends(SUCCEEDED, "fail_once:a"), effects=frozenset({"fail_once:a"})),
        _CONSUMERS,
        runs={"fail_once:a": 2},
    ),
    "take-over": Scene(
        Path(_died_during_its_run, _ends(SUCCEEDED, "depend:a"), effects=frozenset({"depend:a"})),
        _CONSUMERS,
        runs={"depend:a": 1},
    ),
    "late copy": Scene(
        Path(_late_copy, _ends(SUCCEEDED, "fail_once:a"), effects=frozenset({"fail_once:a"})),
        _CONSUMERS,
        runs={"fail_once:a": 1},
    ),
    "late copy of a lost run": Scene(
        Path(_late_copy_of_a_lost_run, _ends(SUCCEEDED, "fail_once:a"), effects=frozenset({"fail_once:a"})),
        _CONSUMERS,
        runs={"fail_once:a": 1},
    ),
    "one key at most once": Scene(
        Path(
            one_after_the_other(_interrupted, _enqueued("launch", "a", "a")),
            _ends("interrupted", "launch:a"),
        ),
        _CONSUMERS,
        runs={"launch:a": 0},
    ),
    "in order": Scene(
        Path(
            _enqueued("in_order", "a", "b", "c", group="g"),
            _ends(SUCCEEDED, "in_order:a", "in_order:c") | _ends("rejected", "in_order:b"),
            effects=frozenset({"in_order:a", "in_order:c"}),
            order=(("in_order:a", "in_order:b", "in_order:c"),),
        ),
        dict.fromkeys(("first", "second"), one_after_the_other(_LEDGER, _LEDGER)),
    ),
    "producer and consumer": Scene(
        Path(
            _enqueued("fail_once", "a"),
            _ends(SUCCEEDED, "fail_once:a"),
            effects=frozenset({"fail_once:a"}),
        ),
        {
            "producer": lambda world: produce(world, "fail_once", "a"),
            "consumer": one_after_the_other(consume, consume),
        },
    ),
    "late firings": Scene(Path(pause, _ends(SUCCEEDED, "tidy:late")), _CONSUMERS),
    # The outbox.
    "transaction and relay": Scene(
        Path(
            _enqueued("transfer", "a"),
            _ends(SUCCEEDED, *_TRANSFERRED),
            effects=frozenset({"transfer:a", "count:a", "book:a"}),
            events=2,
        ),
        {"consumer": consume, "relay": one_after_the_other(relay, relay)},
        runs={"transfer:a": 1},
    ),
    "relay and sweeper": Scene(_events(_grown_old), {"relay": relay, "sweeper": sweep}),
    "relay behind sweeper": Scene(_events(_left_to_the_sweeper), {"relay": relay, "sweeper": sweep}),
    "relay batch by batch": Scene(
        _events(_left_to_the_sweeper, "abc"),
        {
            "relay": one_after_the_other(relay, partial(emit, events="c"), relay),
            "sweeper": sweep,
        },
    ),
    "two relays": Scene(_events(partial(_emitted, events="ab")), {"relay": relay, "another": relay_again}),
    "two sweepers": Scene(
        _events(_left_to_the_sweeper),
        {"sweeper": sweep, "another": partial(sweep, function="another worker")},
    ),
    "producer and relay": Scene(
        _events(partial(_emitted, events="a")), {"producer": partial(emit, events="b"), "relay": relay}
    ),
    "producer and sweeper": Scene(
        _events(_left_to_the_sweeper, "abc"), {"producer": partial(emit, events="c"), "sweeper": sweep}
    ),
    # Redrives.
    "two redrives": Scene(
        _redrives(_died("depend_late")),
        {"operator": _late_operator, "aws": aws_redrives},
        runs={"depend_late:a": 2},
    ),
    "two operators": Scene(
        _redrives(_died("depend_late")),
        {"operator": _late_operator, "another": _late_operator},
        runs={"depend_late:a": 2},
    ),
    "two redrives in vain": Scene(
        Path(_died("refuse"), _ends("rejected", "refuse:a")),
        {
            "operator": one_after_the_other(partial(operate, task="refuse"), consume),
            "aws": one_after_the_other(aws_redrives, consume),
        },
        # The letter that the first redrive leaves may be redriven by the second one.
        runs={"refuse:a": 2},
    ),
    "two redrives at most once": Scene(
        Path(_interrupted, _ends(f"{SUCCEEDED}|interrupted", "launch:a")),
        {
            "operator": one_after_the_other(partial(operate, task="launch"), consume),
            "aws": one_after_the_other(aws_redrives, consume),
        },
        runs={"launch:a": 1},
    ),
    "redrive in a retry": Scene(
        _redrives(_redriven_and_still_there),
        {"consumer": consume, "operator": one_after_the_other(_late_operator, consume)},
        runs={"depend_late:a": 2},
    ),
    "redrive of the dying": Scene(
        Path(_enqueued("refuse", "a"), _ends("rejected", "refuse:a")),
        {"consumer": consume, "operator": one_after_the_other(partial(operate, task="refuse"), consume)},
        runs={"refuse:a": 2},
    ),
    # Three actors.
    "three copies": Scene(
        Path(
            _copied(_copied(_enqueued("fail_once", "a"))),
            _ends(SUCCEEDED, "fail_once:a"),
            effects=frozenset({"fail_once:a"}),
        ),
        _CONSUMERS | {"third": consume},
        runs={"fail_once:a": 2},
    ),
    "take-over by three": Scene(
        Path(_copied(_died_during_its_run), _ends(SUCCEEDED, "depend:a"), effects=frozenset({"depend:a"})),
        _CONSUMERS | {"third": consume},
        runs={"depend:a": 1},
    ),
    "copies and a redrive": Scene(
        _redrives(_redriven_and_still_there),
        {"first": consume, "second": one_after_the_other(consume, consume), "operator": _late_operator},
        runs={"depend_late:a": 2},
    ),
    "relay, sweeper, producer": Scene(
        _events(_left_to_the_sweeper, "abc"),
        {"relay": one_after_the_other(relay, relay), "sweeper": sweep, "producer": partial(emit, events="c")},
    ),
}
