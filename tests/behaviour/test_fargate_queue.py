"""A queue on Fargate: in every sandbox its tasks are run by workers that poll, for hours, beside queues in Lambda."""

from datetime import timedelta

from celeriac import Backoff, Context, Queue, task
from celeriac.aws.client import client
from celeriac.consume.visiting import MOST_DEATHS_ALONE
from celeriac.model.queue import MAX_IN_FLIGHT
from celeriac.testing import Call, Sandbox, die

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
farm = Queue("farm", runner="fargate", timeout=10 * HOUR)
line = Queue("line", runner="fargate", timeout=10 * HOUR, fifo=True)
plain = Queue("plain")
ran: list[str] = []
_sandbox: list[Sandbox] = []
_deaths: list[int] = []


def _work(takes: timedelta) -> None:
    for _ in range(takes // (10 * MINUTE)):
        _sandbox[0].advance(10 * MINUTE)


@task(farm, key="name")
def render(name: str, hours: int = 9) -> str:
    ran.append(name)
    _work(hours * HOUR)
    plain_one.enqueue(name=name)
    return name


@task(plain, key="name")
def plain_one(name: str) -> None:
    ran.append(f"plain {name}")


@task(farm, key="name")
def killed(name: str) -> str:
    ran.append(name)
    _work(HOUR)
    if _deaths:
        _deaths.pop()
        die()
    return name


@task(line, key="name", retry=Backoff(base=3 * HOUR, cap=3 * HOUR, jitter=0, attempts=2))
def in_order(ctx: Context, name: str) -> str:
    ran.append(f"{name} {ctx.attempt}")
    _work(9 * HOUR)
    if ctx.attempt == 1:
        raise OSError
    return name


def test_a_task_of_nine_hours_runs_once_and_its_message_is_delivered_once(sandbox: Sandbox) -> None:
    received: list[int] = []

    def count(call: Call) -> object:
        answer = call.make()
        if call.operation == "ReceiveMessage" and call.arguments["QueueUrl"].endswith("--farm"):
            received.append(len(answer.get("Messages", [])))
        return answer

    _sandbox[:] = [sandbox]
    ran.clear()
    handle = render.enqueue(name="a")
    with sandbox.fault(count):
        sandbox.drain()
    assert handle.status().state == "succeeded"
    assert ran == ["a", "plain a"]
    assert sum(received) == 1


def test_what_a_killed_worker_ran_comes_back_within_five_minutes_and_status_says_when(sandbox: Sandbox) -> None:
    _sandbox[:] = [sandbox]
    ran.clear()
    _deaths[:] = [1]
    handle = killed.enqueue(name="b")
    sandbox.run_once()
    status = handle.status()
    died_at = sandbox.now
    assert (status.state, status.deaths) in {("running", 0), ("retrying", 1)}
    sandbox.advance(timedelta(minutes=5, seconds=1))
    status = handle.status()
    assert status.state == "retrying"
    assert status.due is not None
    assert abs(status.due - died_at) <= 5 * MINUTE
    sandbox.drain()
    assert handle.status().state == "succeeded"
    assert ran == ["b", "b"]


def test_a_task_that_kills_its_workers_becomes_a_dead_letter(sandbox: Sandbox) -> None:
    _sandbox[:] = [sandbox]
    ran.clear()
    _deaths[:] = [1] * 10
    killed.enqueue(name="c")
    sandbox.drain()
    (letter,) = sandbox.dead_letters(farm)
    assert letter.failure is not None
    assert letter.failure.reason == "worker lost"
    assert len(ran) == MOST_DEATHS_ALONE


def test_after_nine_hours_a_wait_in_place_is_no_longer_than_sqs_allows_a_message_in_flight(sandbox: Sandbox) -> None:
    asked: list[timedelta] = []
    taken_at = []

    def see(call: Call) -> object:
        if call.operation == "ReceiveMessage":
            answer = call.make()
            if answer.get("Messages"):
                taken_at.append(_sandbox[0].now)
            return answer
        if call.operation == "ChangeMessageVisibilityBatch":
            asked.extend(
                _sandbox[0].now + timedelta(seconds=entry["VisibilityTimeout"]) - taken_at[-1]
                for entry in call.arguments["Entries"]
            )
        return call.make()

    _sandbox[:] = [sandbox]
    ran.clear()
    handle = in_order.options(group="g").enqueue(name="d")
    with sandbox.fault(see):
        sandbox.drain()
    assert handle.status().state == "succeeded"
    assert ran == ["d 1", "d 2"]
    assert max(asked) <= MAX_IN_FLIGHT
    url = client("sqs").get_queue_url(QueueName=line.physical_name("test"))["QueueUrl"]
    counts = client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    assert counts["ApproximateNumberOfMessages"] == "0"
