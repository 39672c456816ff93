"""What lies ready when the actors of an interleaving begin: copies, lost workers, letters, rows that were left."""

from datetime import timedelta
from typing import Any

from celeriac.aws import sqs
from celeriac.aws.client import client
from celeriac.model.queue import Queue
from celeriac.testing.account import lying_in
from celeriac.testing.calls import Call, die_after, die_before
from celeriac.testing.kinds import never_arrived
from celeriac_console.dlq.queue_reader import HIDDEN
from tests.faults.actors import STAGE, Actor, aws_redrives, emitted
from tests.faults.paths import World
from tests.faults.work import PATIENT, jobs


def copied(start: Actor, queue: Queue = jobs) -> Actor:
    """Let each message that lies ready lie there twice, as SQS or a producer that tries again may send it."""

    def act(world: World) -> None:
        start(world)
        url = sqs.url(queue.physical_name(STAGE))
        for message in lying_in(url):
            client("sqs").send_message(QueueUrl=url, MessageBody=message["Body"])

    return act


def enqueued(task: str, *tasks: str, **options: Any) -> Actor:
    return lambda world: world.enqueue(task, *tasks, **options)


def died_during_its_run(world: World) -> None:
    """A worker died during a run, and two copies of the message are there."""
    world.enqueue("depend", "a")
    body = lying_in(sqs.url(jobs.physical_name(STAGE)))[0]["Body"]
    let_the_commit_kill(world)
    client("sqs").send_message(QueueUrl=sqs.url(jobs.physical_name(STAGE)), MessageBody=body)


def let_the_commit_kill(world: World) -> None:
    """Let the worker of the next run die before it commits, and its lease and its message's visibility pass."""

    def kill(call: Call) -> Any:
        return die_before(call) if call.operation == "TransactWriteItems" else call.make()

    with world.sandbox.fault(kill):
        world.sandbox.run_once()
    world.sandbox.advance(jobs.visibility + timedelta(seconds=1))


def late_copy(world: World) -> None:
    """The first attempt has failed, its successor is due, and a copy of the first message turns up."""
    world.enqueue("fail_once", "a")
    body = lying_in(sqs.url(jobs.physical_name(STAGE)))[0]["Body"]
    world.sandbox.run_once()
    world.sandbox.advance(PATIENT.base + timedelta(seconds=1))
    client("sqs").send_message(QueueUrl=sqs.url(jobs.physical_name(STAGE)), MessageBody=body)


def late_copy_of_a_lost_run(world: World) -> None:
    """The worker of the second attempt died, and a copy of the first message turns up beside the second one."""
    world.enqueue("fail_once", "a")
    body = lying_in(sqs.url(jobs.physical_name(STAGE)))[0]["Body"]
    world.sandbox.run_once()
    world.sandbox.advance(PATIENT.base + timedelta(seconds=1))
    let_the_commit_kill(world)
    client("sqs").send_message(QueueUrl=sqs.url(jobs.physical_name(STAGE)), MessageBody=body)


def died(task: str) -> Actor:
    def act(world: World) -> None:
        world.outside.is_down = True
        world.enqueue(task, "a")
        world.sandbox.drain()
        world.outside.is_down = False

    return act


def interrupted(world: World) -> None:
    """A worker died during a task that may run at most once."""
    claims: list[Call] = []

    def kill(call: Call) -> Any:
        if call.operation == "PutItem" and not claims:
            claims.append(call)
            return die_after(call)
        return call.make()

    world.enqueue("launch", "a")
    with world.sandbox.fault(kill):
        world.sandbox.drain()


def redriven_and_still_there(world: World) -> None:
    """AWS's redrive has sent a letter, and has not deleted it."""
    died("depend_late")(world)
    with world.sandbox._calls.unobserved():
        aws_redrives(world, deletes=False)
    world.sandbox._activity.queues.add(sqs.url(jobs.physical_name(STAGE)))
    world.sandbox.advance(HIDDEN + timedelta(seconds=1))


def left_to_the_sweeper(world: World) -> None:
    """The relay could not send an event. Another worker gets a later one of the same aggregate."""

    def no_queue(call: Call) -> Any:
        return never_arrived(call) if call.operation == "SendMessageBatch" else call.make()

    world.emit("a")
    with world.sandbox.fault(no_queue):
        world.sandbox.run_once()
    world.sandbox.replace_workers()
    world.sandbox.advance(timedelta(minutes=2))
    world.emit("b")


def grown_old(world: World) -> None:
    """Events whose stream is late: the sweeper finds them before the relay gets them."""
    emitted(world, "ab")
    world.sandbox.advance(timedelta(minutes=2))
