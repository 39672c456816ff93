"""Who acts in the interleavings: the real code, with the deliveries of the sandbox."""

from collections.abc import Callable
from typing import Any

from celeriac.aws import sqs
from celeriac.aws.client import client
from celeriac.model import names
from celeriac.model.queue import Queue
from celeriac.testing.lambda_ import invoke_relay, invoke_sweeper
from tests.faults.paths import World, redriven
from tests.faults.work import jobs

STAGE = "test"

type Actor = Callable[[World], object]


def consume(world: World, queue: Queue = jobs) -> None:
    """A consumer gets one message, if there is one."""
    with world.sandbox._calls.unobserved():
        world.sandbox._pollers.consume(queue, 1)


def in_an_outage(actor: Actor) -> Actor:
    """The provider is down while the actor begins, until another one says that it is up, or until the actor's end."""

    def act(world: World) -> None:
        world.outside.is_down = True
        actor(world)
        world.outside.is_down = False

    return act


def after_it(actor: Actor) -> Actor:
    """The provider is up again."""

    def act(world: World) -> None:
        world.outside.is_down = False
        actor(world)

    return act


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
        emitted(world, events)


def emitted(world: World, events: str) -> None:
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
