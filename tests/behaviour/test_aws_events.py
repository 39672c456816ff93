"""Events of AWS that call tasks: what a rule of EventBridge sends, and what becomes of it."""

from datetime import datetime
from typing import Any

import pytest

from celeriac import AwsEvent, Context, Queue, Reject, task
from celeriac.declare import registry
from celeriac.model import aws_event
from celeriac.model.aws_event import AwsEventError
from celeriac.model.errors import TaskError
from celeriac.testing import Sandbox

uploads = Queue("event-uploads", batch_size=10)
watch = Queue("event-watch", batch_size=10)
ordered = Queue("event-ordered", fifo=True, batch_size=10)
ran: list[tuple[Any, ...]] = []

CREATED = {"source": ["aws.s3"], "detail-type": ["Object Created"]}
# The events are those of AWS's documentation.
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html
OBJECT_CREATED: dict[str, Any] = {
    "version": "0",
    "id": "17793124-05d4-b198-2fde-7ededc63b103",
    "detail-type": "Object Created",
    "source": "aws.s3",
    "account": "111122223333",
    "time": "2021-11-12T00:00:00Z",
    "region": "ca-central-1",
    "resources": ["arn:aws:s3:::amzn-s3-demo-bucket1"],
    "detail": {
        "version": "0",
        "bucket": {"name": "amzn-s3-demo-bucket1"},
        "object": {
            "key": "example-key",
            "size": 5,
            "etag": "b1946ac92492d2347c6235b4d2611184",
            "version-id": "IYV3p45BT0ac8hjHg1houSdS1a.Mro8e",
            "sequencer": "617f08299329d189",
        },
        "request-id": "N4N7GDK58NMKJ12R",
        "requester": "123456789012",
        "source-ip-address": "1.2.3.4",
        "reason": "PutObject",
    },
}
# https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/monitoring-instance-state-changes.html
STATE_CHANGE: dict[str, Any] = {
    "id": "7bf73129-1428-4cd3-a780-95db273d1602",
    "detail-type": "EC2 Instance State-change Notification",
    "source": "aws.ec2",
    "account": "123456789012",
    "time": "2021-11-11T21:29:54Z",
    "region": "us-east-1",
    "resources": ["arn:aws:ec2:us-east-1:123456789012:instance/i-abcd1111"],
    "detail": {"instance-id": "i-abcd1111", "state": "pending"},
}
# https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/cloudwatch-and-eventbridge.html
ALARM: dict[str, Any] = {
    "version": "0",
    "id": "c4c1c1c9-6542-e61b-6ef0-8c4d36933a92",
    "detail-type": "CloudWatch Alarm State Change",
    "source": "aws.cloudwatch",
    "account": "123456789012",
    "time": "2019-10-02T17:04:40Z",
    "region": "us-east-1",
    "resources": ["arn:aws:cloudwatch:us-east-1:123456789012:alarm:ServerCpuTooHigh"],
    "detail": {
        "alarmName": "ServerCpuTooHigh",
        "configuration": {"metrics": [{"id": "30b6c6b2", "returnData": True}]},
        "state": {
            "reason": 'Threshold Crossed: 1 datapoint (99.5) was "greater" than the threshold (90.0).',
            "value": "ALARM",
        },
    },
}


@pytest.fixture(autouse=True)
def _empty() -> None:
    ran.clear()


@task(
    uploads,
    on_aws=AwsEvent(
        CREATED | {"detail": {"object": {"key": [{"wildcard": "*.png"}, "example-key", {"prefix": "odd"}]}}},
        args={
            "bucket": "$.detail.bucket.name",
            "key": "$.detail.object.key",
            "size": "$.detail.object.size",
            "version": "$.detail.object.version-id",
        },
    ),
)
def make_thumbnail(ctx: Context, bucket: str, key: str, size: int, version: str | None = None) -> None:
    ran.append((ctx.id, bucket, key, size, version))


@task(
    watch,
    on=AwsEvent(
        {"$or": [{"source": ["aws.ec2"]}, {"source": ["aws.cloudwatch"]}]},
        args={"at": "$.time", "things": "$.resources", "detail": "$.detail", "account": "$.account"},
    ),
)
def note_change(at: datetime, things: list[str], detail: dict[str, Any], account: str) -> None:
    ran.append((at.isoformat(), things, detail, account))


def test_an_upload_calls_the_task_with_what_its_paths_name(sandbox: Sandbox) -> None:
    assert sandbox.aws_event(OBJECT_CREATED) == ["make_thumbnail"]
    sandbox.drain()
    its = OBJECT_CREATED["detail"]["object"]
    assert ran == [
        (f"make_thumbnail@{OBJECT_CREATED['id']}", "amzn-s3-demo-bucket1", "example-key", 5, its["version-id"])
    ]


def test_texts_numbers_lists_objects_and_bools_arrive_as_they_are(sandbox: Sandbox) -> None:
    assert sandbox.aws_event(STATE_CHANGE) == ["note_change"]
    assert sandbox.aws_event(ALARM) == ["note_change"]
    sandbox.drain()
    assert ran == [
        ("2021-11-11T21:29:54+00:00", STATE_CHANGE["resources"], STATE_CHANGE["detail"], "123456789012"),
        ("2019-10-02T17:04:40+00:00", ALARM["resources"], ALARM["detail"], "123456789012"),
    ]


def test_a_second_delivery_of_an_event_runs_nothing(sandbox: Sandbox) -> None:
    sandbox.aws_event(OBJECT_CREATED)
    sandbox.drain()
    sandbox.aws_event(OBJECT_CREATED)
    sandbox.drain()
    assert len(ran) == 1


def test_two_events_of_one_object_run_once_under_a_key(sandbox: Sandbox) -> None:
    @task(
        uploads,
        key="version",
        on_aws=AwsEvent(CREATED, args={"version": "$.detail.object.version-id"}),
    )
    def index_once(version: str) -> None:
        ran.append(("index_once", version))

    sandbox.aws_event(OBJECT_CREATED)
    sandbox.aws_event(OBJECT_CREATED | {"id": "another"})
    sandbox.drain()
    assert len([one for one in ran if one[0] == "index_once"]) == 1
    assert len(ran) == 3  # make_thumbnail has no key: an event is an event


@pytest.mark.parametrize(
    "event",
    [
        {"source": "aws.s3", "detail-type": "Object Deleted", "detail": OBJECT_CREATED["detail"]},
        OBJECT_CREATED | {"detail": {"bucket": {"name": "b"}, "object": {"key": "notes.txt", "size": 1}}},
        {"source": "my.shop", "detail-type": "Object Created"},
    ],
)
def test_an_event_that_does_not_match_calls_nobody(sandbox: Sandbox, event: dict[str, Any]) -> None:
    assert sandbox.aws_event(event) == []
    sandbox.drain()
    assert ran == []


def _created(**its: Any) -> dict[str, Any]:
    return {
        "source": "aws.s3",
        "detail-type": "Object Created",
        "detail": {"bucket": {"name": "b"}, "object": its},
    }


@pytest.mark.parametrize("its", [{"key": "a.png", "size": 1}, {"key": "a.png", "size": 1, "version-id": ""}])
def test_a_field_that_the_event_lacks_leaves_the_default(sandbox: Sandbox, its: dict[str, Any]) -> None:
    sandbox.aws_event(_created(**its))
    sandbox.drain()
    assert [one[1:] for one in ran] == [("b", "a.png", 1, None)]


def test_a_missing_field_without_a_default_is_a_letter_that_names_the_path(sandbox: Sandbox) -> None:
    """Without this the task would get an empty text, and take it for a bucket's name."""
    sandbox.aws_event({"source": "aws.s3", "detail-type": "Object Created", "detail": {"object": {"key": "a.png"}}})
    sandbox.drain()
    (letter,) = sandbox.dead_letters(uploads)
    assert letter.failure is not None
    assert ran == []
    assert "the event of AWS has no $.detail.bucket.name" in letter.failure.message
    assert "give the parameter a default" in letter.failure.message


def test_an_empty_text_in_a_message_of_a_producer_stays_one(sandbox: Sandbox) -> None:
    make_thumbnail.enqueue(bucket="", key="k", size=1, version="")
    sandbox.drain()
    assert [one[1:] for one in ran] == [("", "k", 1, "")]


@pytest.mark.parametrize("key", ['odd "quoted" \\ name', "odd\nline", "odd <id> </p1>", "oddé 日本", 'odd","task":"x'])
def test_a_text_is_never_part_of_the_message_around_it(sandbox: Sandbox, key: str) -> None:
    sandbox.aws_event(_created(key=key, size=1))
    sandbox.drain()
    assert [one[2] for one in ran] == [key]


def test_a_failed_task_keeps_its_id_and_its_event(sandbox: Sandbox) -> None:
    @task(watch, on_aws=AwsEvent({"source": ["aws.health"]}, args={"code": "$.detail.code"}))
    def refuse(code: str = "none") -> None:
        raise Reject(f"no such code: {code}")

    sandbox.aws_event({"source": "aws.health", "detail-type": "AWS Health Event", "id": "e-1"})
    sandbox.drain()
    (letter,) = sandbox.dead_letters(watch)
    assert letter.id == "refuse@e-1"
    assert letter.failure is not None
    assert letter.failure.message == "no such code: none"


def test_what_an_event_leaves_out_is_added(sandbox: Sandbox) -> None:
    sandbox.aws_event({"source": "aws.ec2", "detail-type": "x"})
    sandbox.aws_event({"source": "aws.ec2", "detail-type": "x"})
    sandbox.drain()
    assert ran == [("2026-01-01T00:00:00+00:00", [], {}, "123456789012")] * 2  # each has an id of its own


@pytest.mark.parametrize(
    ("event", "error", "said"),
    [
        ({"detail-type": "x"}, ValueError, "the event has no source"),
        ({"source": "aws.s3", "detailType": "x"}, ValueError, "the event has no detail-type"),
        ({"source": "aws.s3", "detail-type": "x", "bucket": "b"}, ValueError, "no event has bucket beside its source"),
        (
            {"source": "aws.s3", "detail-type": "x", "detail": "b"},
            TypeError,
            "an event is a dict, and so is its detail",
        ),
        ("aws.s3", TypeError, "an event is a dict"),
    ],
)
def test_what_no_service_sends_is_an_error(sandbox: Sandbox, event: Any, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        sandbox.aws_event(event)


def _refused(said: str, queue: Queue = watch, name: str = "refused_event", **declared: Any) -> None:
    def function(ctx: Context, bucket: str, size: int = 0) -> None: ...

    with pytest.raises(TaskError) as refused:
        task(queue, name=name, **declared)(function)
    assert said in str(refused.value)
    assert name not in registry.tasks


S3: dict[str, Any] = {"source": ["aws.s3"]}
BUCKET = {"bucket": "$.detail.bucket.name"}


@pytest.mark.parametrize(
    ("declared", "said"),
    [
        ({"on_aws": AwsEvent(S3)}, 'has no path for bucket: write one, such as {"bucket": "$.detail.bucket"}'),
        ({"on_aws": AwsEvent(S3, args=BUCKET | {"buckets": "$.detail"})}, "names buckets, which is no parameter of it"),
        ({"on_aws": AwsEvent(S3, args=BUCKET), "queue": ordered}, "the FIFO queue 'event-ordered'"),
        ({"on_aws": AwsEvent(S3, args=BUCKET), "on": "order.created"}, "it has on_aws and on"),
        ({"on_aws": S3}, 'write on_aws=AwsEvent({"source": ["aws.s3"]}'),
        ({"on_aws": AwsEvent(S3, args=BUCKET), "name": "n" * 92}, "its name may have 91 characters"),
        ({"on_aws": AwsEvent(S3, args=BUCKET), "name": "a<b>"}, "its name may have 91 characters, without < >"),
    ],
)
def test_a_declaration_that_cannot_work_is_refused_with_its_cure(declared: dict[str, Any], said: str) -> None:
    _refused(said, **declared)


def test_a_schedule_and_events_cannot_call_one_task() -> None:
    with pytest.raises(TaskError, match="it has on_aws and cron"):

        @task(watch, cron="@daily", on_aws=AwsEvent(S3))
        def both() -> None: ...


def test_two_events_for_one_task_are_refused() -> None:
    with pytest.raises(TaskError, match="on and on_aws are both an AwsEvent"):
        task(watch, on=AwsEvent(S3), on_aws=AwsEvent(S3))


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("detail.bucket", "isn't a plain path"),
        ("$", "isn't a plain path"),
        ("$.", "isn't a plain path"),
        ("$.resources[0]", "isn't a plain path"),
        ("$.detail.*", "isn't a plain path"),
        ("$..name", "isn't a plain path"),
        ("$['detail']", "isn't a plain path"),
        ("$.bucket.name", "no event has 'bucket'; it has version, id"),
        ("$.resources.arn", "only detail has fields below it: write $.resources"),
        ("$.detail." + "a" * 250, "has 259 characters, and EventBridge takes 256"),
        (5, "a path is a text"),
    ],
)
def test_only_plain_paths_are_taken(path: Any, said: str) -> None:
    with pytest.raises(AwsEventError) as refused:
        AwsEvent(S3, args={"bucket": path})
    assert said in str(refused.value)


def _many(number: int, name: str = "p") -> None:
    names = [f"{name}{n}" for n in range(number)]
    space: dict[str, Any] = {"__name__": __name__}
    exec(f"def many({', '.join(names)}): ...", space)  # noqa: S102 - a function with very many parameters
    made = task(
        watch,
        name="many_of_event",
        on_aws=AwsEvent({"source": ["nobody"]}, args={each: f"$.detail.{each}" for each in names}),
    )
    made(space["many"])


def test_eventbridge_takes_a_hundred_paths_and_one_of_them_is_that_of_the_id() -> None:
    _many(99)
    with pytest.raises(TaskError, match="has 101 paths with that of the event's id, and EventBridge takes 100"):
        _many(100)


def test_a_template_has_8192_characters_at_most() -> None:
    with pytest.raises(TaskError, match=r"its message's template has 8\d{3} characters, and EventBridge takes 8192"):
        _many(90, "p" * 83)


def test_a_path_that_two_parameters_name_counts_once() -> None:
    event = AwsEvent(S3, args={"a": "$.detail.x", "b": "$.detail.x", "c": "$.id"})
    paths, template = aws_event.transformer("twice", event)
    assert paths == {"id": "$.id", "p1": "$.detail.x"}
    assert template == '{"v":1,"task":"twice","id":"twice@<id>","args":{"a":<p1>,"b":<p1>,"c":<id>}}'
