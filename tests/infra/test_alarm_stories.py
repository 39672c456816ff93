"""What a team is told while something is wrong, and when it is over: once each, and nothing is lost meanwhile."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from botocore.exceptions import ClientError
from typer.testing import CliRunner

import celeriac
from celeriac import Backoff, Breaker, Queue, Reject, task
from celeriac.aws import sqs
from celeriac.aws.client import client
from celeriac.testing import Sandbox
from celeriac_console.main import app as command
from tests.infra.cloudwatch import CloudWatch, told
from tests.infra.conftest import build
from tests.infra.stories import Story
from tests.infra.template import Stack
from tests.support.faults import registered

busy = Queue("story-busy", concurrency=5, batch_size=10)
quiet = Queue("story-quiet", timeout=timedelta(minutes=2))
calm = Queue("story-calm", urgent=False)
QUEUES = [busy, quiet, calm]
runs: list[int] = []
provider = Breaker("story-provider", failures=1, of=2, pause=timedelta(minutes=1))
down: set[str] = set()
charged: list[bool] = []


@task(busy)
def work(number: int) -> None:
    runs.append(number)


@task(quiet)
def seldom(number: int) -> None:
    runs.append(number)


@task(calm)
def refuse(number: int) -> None:
    raise Reject("no")


@task(busy, limits=[provider], retry=Backoff(base=timedelta(seconds=5), factor=1, attempts=1000))
def charge() -> None:
    if down:
        raise ConnectionError
    charged.append(True)


@pytest.fixture(autouse=True)
def _empty() -> None:
    runs.clear()
    charged.clear()
    down.clear()


@pytest.fixture(scope="module")
def alarms() -> Stack:
    return build(QUEUES, [work, seldom, refuse, charge], stage="test")[1]


@pytest.fixture
def story(sandbox: Sandbox, alarms: Stack) -> Story:
    return Story(sandbox, alarms, QUEUES)


def test_an_hour_of_throttled_lambda_pages_once_ends_and_loses_nothing(story: Story) -> None:
    for number in range(20):
        work.enqueue(number=number)
    seldom.enqueue(number=20)
    story.throttled(60)
    assert runs == []
    story.healthy(20)
    assert told(story.cloudwatch.changes, "pages") == [("outbox-silence", True), ("outbox-silence", False)]
    assert told(story.cloudwatch.changes, "tickets") == []
    assert sorted(runs) == list(range(21))


def test_one_throttled_queue_is_a_ticket_long_before_its_messages_are_moved(story: Story) -> None:
    """Somebody has set its reserved concurrency to zero. The sweeper runs, so there is no page."""
    work.enqueue(number=1)
    for minute in range(60):
        story.throttled_queue(busy)
        if minute > 0:
            name = {"FunctionName": busy.function_name("test")}
            story.cloudwatch.put("AWS/Lambda", "Throttles", story.sandbox.now, 3, **name)
    story.healthy(20)
    assert told(story.cloudwatch.changes, "tickets") == [
        ("story-busy-throttles", True),
        ("story-busy-throttles", False),
    ]
    assert told(story.cloudwatch.changes, "pages") == []
    assert runs == [1]


def test_a_consumer_that_lacks_a_right_pages_once_though_sqs_forgets_the_age_of_its_messages(story: Story) -> None:
    def refuse(**_: object) -> None:
        raise ClientError({"Error": {"Code": "AccessDeniedException", "Message": "no"}}, "PutItem")

    work.enqueue(number=1)
    with (
        registered("dynamodb", "before-call.dynamodb.PutItem", refuse),
        registered("dynamodb", "before-call.dynamodb.UpdateItem", refuse),
    ):
        story.healthy(100)
    assert runs == []
    story.healthy(30)
    assert told(story.cloudwatch.changes, "pages") == [("held-up", True), ("held-up", False)]
    assert runs == [1]


def test_who_reads_the_dead_letters_doesnt_end_their_alarm(story: Story) -> None:
    refuse.enqueue(number=1)
    story.healthy(10)
    url = sqs.url(calm.dead_letter_name("test"))
    client("sqs").receive_message(QueueUrl=url, VisibilityTimeout=150)  # as `celeriac dlq list` of many letters
    story.healthy(10)
    assert told(story.cloudwatch.changes, "tickets") == [("story-calm-dlq", True)]


def test_an_hour_of_a_stopped_consumer_pages_once_ends_and_loses_nothing(story: Story) -> None:
    work.enqueue(number=1)
    story.stopped(65)
    story.healthy(10)
    assert told(story.cloudwatch.changes, "pages") == [("story-busy-age", True), ("story-busy-age", False)]
    assert runs == [1]


def test_a_hook_that_keeps_failing_is_a_ticket_and_one_slow_call_is_none(story: Story) -> None:
    dimensions = {"service": "tasks", "stage": "celeriac-test"}
    story.cloudwatch.put("Celeriac", "FailedHooks", story.sandbox.now, 2, **dimensions)
    story.healthy(10)
    assert told(story.cloudwatch.changes, "tickets") == []
    for _ in range(2):
        story.cloudwatch.put("Celeriac", "FailedHooks", story.sandbox.now, 1, **dimensions)
        story.healthy(10)
    assert told(story.cloudwatch.changes, "tickets") == [("failed-hooks", True)]
    story.healthy(60)
    assert told(story.cloudwatch.changes, "tickets") == [("failed-hooks", True), ("failed-hooks", False)]


def test_messages_in_a_removed_queue_page_once_until_it_is_empty(story: Story) -> None:
    gone = "celeriac-test--story-gone"
    url = client("sqs").create_queue(QueueName=gone)["QueueUrl"]
    sqs.send(gone, sqs.Entry('{"task": "work", "args": {"number": 1}}'))
    story.healthy(40)
    assert told(story.cloudwatch.changes, "pages") == [("removed-queues", True)]
    said = CliRunner().invoke(command, ["--stage", "test", "doctor"], env={"COLUMNS": "400"}).output
    assert f"orphan queue {gone}: no declaration knows it, it has 1 messages" in said
    (message,) = client("sqs").receive_message(QueueUrl=url)["Messages"]  # nothing has been lost
    client("sqs").delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    story.healthy(10)
    assert told(story.cloudwatch.changes, "pages") == [("removed-queues", True), ("removed-queues", False)]
    client("sqs").delete_queue(QueueUrl=url)


def test_a_queue_that_a_deploy_adds_is_no_removed_one(story: Story) -> None:
    """Its messages lie there for some minutes before the sweeper of the new release runs."""
    fresh = "celeriac-test--story-fresh"
    url = client("sqs").create_queue(QueueName=fresh)["QueueUrl"]
    sqs.send(fresh, sqs.Entry("{}"))
    story.healthy(15)
    client("sqs").delete_queue(QueueUrl=url)
    story.healthy(20)
    assert story.cloudwatch.changes == []


def test_dead_letters_are_told_once_and_end_when_they_are_gone(story: Story) -> None:
    for number in range(3):
        refuse.enqueue(number=number)
        story.healthy(10)
    assert told(story.cloudwatch.changes, "tickets") == [("story-calm-dlq", True)]
    url = sqs.url(calm.dead_letter_name("test"))
    client("sqs").purge_queue(QueueUrl=url)
    story.healthy(5)
    assert told(story.cloudwatch.changes, "tickets") == [("story-calm-dlq", True), ("story-calm-dlq", False)]
    assert told(story.cloudwatch.changes, "pages") == []  # the queue isn't urgent


def test_a_letter_that_is_there_for_a_moment_wakes_nobody(story: Story) -> None:
    url = sqs.url(busy.dead_letter_name("test"))
    sqs.send(busy.dead_letter_name("test"), sqs.Entry("{}"))
    story.healthy(1)
    client("sqs").purge_queue(QueueUrl=url)
    story.healthy(10)
    assert story.cloudwatch.changes == []


@pytest.fixture
def errors(story: Story) -> Callable[..., CloudWatch]:
    """Crashes of a consumer's workers, as Lambda counts them."""

    def crash(function: str, *, minutes: int, every: int) -> CloudWatch:
        for minute in range(minutes):
            if minute % every == 0:
                name = f"celeriac-test--{function}"
                story.cloudwatch.put("AWS/Lambda", "Errors", story.sandbox.now, 1, FunctionName=name)
            story.healthy(1)
        return story.cloudwatch

    return crash


def test_one_crash_wakes_nobody(errors: Callable[..., CloudWatch]) -> None:
    assert told(errors("story-busy", minutes=30, every=30).changes, "pages") == []


@pytest.mark.parametrize(
    ("function", "every", "topic"),
    [("story-busy", 3, "pages"), ("story-quiet", 12, "pages"), ("story-calm", 3, "tickets"), ("relay", 1, "tickets")],
)
def test_a_worker_that_crashes_at_each_delivery_is_told_once(
    story: Story, errors: Callable[..., CloudWatch], function: str, every: int, topic: str
) -> None:
    """A message is delivered again after its visibility timeout: of the quiet queue, after twelve minutes."""
    errors(function, minutes=70, every=every)
    story.healthy(15)
    found = told(story.cloudwatch.changes, topic)
    assert found == [(f"{function}-errors", True), (f"{function}-errors", False)]
    assert len(story.cloudwatch.changes) == 2


def test_a_breaker_that_stays_open_is_a_ticket_then_a_page_and_ends_when_it_closes(story: Story) -> None:
    down.add("provider")
    charge.enqueue()
    story.healthy(9)
    assert story.cloudwatch.changes == []  # a short one needs nobody
    story.healthy(20)
    assert told(story.cloudwatch.changes, "tickets") == [("breaker_story-provider", True)]
    story.healthy(60)
    assert told(story.cloudwatch.changes, "pages") == [("late_breaker_story-provider", True)]
    down.clear()
    story.healthy(40)
    assert charged == [True]
    assert told(story.cloudwatch.changes, "tickets") == [
        ("breaker_story-provider", True),
        ("breaker_story-provider", False),
    ]
    assert len(story.cloudwatch.changes) == 4


def test_a_breaker_that_closes_after_its_first_pause_is_told_to_nobody(story: Story) -> None:
    down.add("provider")
    charge.enqueue()
    story.healthy(3)
    down.clear()
    story.healthy(30)
    assert charged == [True]
    assert story.cloudwatch.changes == []


def test_a_batch_whose_block_is_never_left_pages_once_until_it_is_given_up(story: Story) -> None:
    with celeriac.batch(then=seldom.bind(number=1), key="other") as other:
        other.enqueue(work, 2)
    celeriac.batch(then=seldom.bind(number=3), key="import").__enter__()  # and its program dies
    story.healthy(55)
    assert story.cloudwatch.changes == []
    story.healthy(40)
    assert told(story.cloudwatch.changes, "pages") == [("late-batches", True)]
    for words in (["list", "--late"], ["show", "story-quiet#seldom:import"]):
        said = CliRunner().invoke(command, ["--stage", "test", "batches", *words]).output
        assert "story-quiet#seldom:import" in said
    given_up = ["batches", "repair", "story-quiet#seldom:import", "--give-up", "--yes"]
    assert CliRunner().invoke(command, ["--stage", "test", *given_up]).exit_code == 0
    story.healthy(10)
    assert told(story.cloudwatch.changes, "pages") == [("late-batches", True), ("late-batches", False)]
    assert runs == [2, 1]
