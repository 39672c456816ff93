from datetime import timedelta
from typing import Any

import pytest

from celeriac import Outbox, Queue, Table
from celeriac.model import names
from celeriac.model.queue import QueueError
from celeriac.model.table import TableError


@pytest.mark.parametrize(
    ("numbers", "problem"),
    [
        ({"name": "Upper"}, "1-37 lower-case"),
        ({"name": "q" * 38}, "1-37 lower-case"),
        ({"name": "relay"}, "Celeriac has a queue, a function or alarms of that name"),
        ({"name": "sweeper"}, "Celeriac has"),
        ({"name": "schedules"}, "Celeriac has"),
        ({"name": "jobs-dlq"}, "doesn't end in -dlq"),
        ({"timeout": timedelta(minutes=16)}, "1 second to 15 minutes"),
        ({"timeout": timedelta()}, "1 second to 15 minutes"),
        ({"timeout": timedelta(minutes=30)}, "timeout_stands_on='api-model' you may try 30 minutes: AWS's API model"),
        ({"timeout": timedelta(minutes=31), "timeout_stands_on": "api-model"}, "1 second to 30 minutes$"),
        ({"timeout_stands_on": "hope"}, "is 'hope', write documentation or api-model"),
        ({"timeout_stands_on": ["api-model"]}, "write documentation or api-model"),
        ({"timeout": 30}, "write a timedelta"),
        ({"runner": "ec2"}, "runner is 'ec2', write lambda or fargate"),
        ({"workers": (1, 2)}, "workers is for a queue on Fargate, and its runner is 'lambda': leave workers out"),
        ({"runner": "fargate", "reserved": 2}, "reserved is for a queue on Lambda"),
        ({"runner": "fargate", "batch_window": timedelta(seconds=5)}, "batch_window is for a queue on Lambda"),
        ({"runner": "fargate", "timeout": timedelta(hours=11)}, "on Fargate it is 1 second to 10 hours"),
        ({"runner": "fargate", "cpu": 300}, "cpu is 300, Fargate takes 256, 512, 1024"),
        ({"runner": "fargate", "memory": 3000}, r"with cpu=256 Fargate takes 512, 1024, 2048 MB"),
        ({"runner": "fargate", "memory": 4096}, "or another cpu, such as 512"),
        ({"runner": "fargate", "cpu": 1024}, r"Fargate takes 2048 to 8192 in steps of 1024 MB"),
        ({"runner": "fargate", "ephemeral_storage": 1024}, "whole GiB from 21504 to 204800 MB"),
        ({"runner": "fargate", "workers": (3, 2)}, "such as \\(0, 10\\)"),
        ({"runner": "fargate", "workers": 3}, "write the fewest and the most"),
        ({"runner": "fargate", "image": "two words"}, "image is 'two words'"),
        ({"runner": "fargate", "batch_size": 11}, "at most 10"),
        ({"runner": "fargate", "timeout": timedelta(hours=9), "retention": timedelta(hours=9)}, "the longest delivery"),
        ({"patience": None}, "write a timedelta"),
        ({"concurrency": 0}, "concurrency is 0"),
        ({"concurrency": 501}, "between 1 and 500"),
        ({"concurrency": 1.5}, "must be a whole number"),
        ({"max_receives": "9"}, "must be a whole number"),
        ({"max_concurrency": 1}, "takes 2 to 1000"),
        ({"pollers": (1, 5)}, "fewest 2 to 200"),
        ({"pollers": (5, 4)}, "fewest first"),
        ({"pollers": (2, 10_001)}, "most 2 to 10,000"),
        ({"retention": timedelta(days=14) - timedelta(seconds=1)}, "leave an hour at least"),
        ({"architecture": "arm"}, "Lambda has arm64 and x86_64"),
        ({"runtime": "python3.11"}, r"Celeriac runs on python3\.12, python3\.13, python3\.14"),
        ({"retired": 1}, "retired is 1, write True or False"),
        ({"pollers": 2}, "such as \\(2, 20\\)"),
        ({"pollers": (2, 5), "max_concurrency": 5}, "exclude each other"),
        ({"memory": 127}, "memory is 127, Lambda takes 128 to 10,240 MB"),
        ({"memory": "1024"}, "memory is '1024', it must be a whole number"),
        ({"ephemeral_storage": 10_241}, "ephemeral_storage is 10241, Lambda takes 512"),
        ({"reserved": 9}, "reserved is 9, and any number of invocations run at once"),
        ({"reserved": 9, "max_concurrency": 10}, "Set max_concurrency to 9 or less"),
        ({"reserved": 0, "pollers": (2, 20)}, "reserved is 0, and the consumer could never run"),
        ({"log_retention": timedelta(days=2)}, "log_retention is 2 days.*: 1, 3, 5"),
        ({"log_retention": 7}, "log_retention is 7, write a timedelta"),
        ({"environment": ["A"]}, r"environment is \['A'\], write texts for names"),
        ({"environment": {"A_1": 1}}, "write texts for names"),
        ({"environment": {"AWS_REGION": "x"}}, "environment has 'AWS_REGION': Lambda or Celeriac sets it"),
        ({"environment": {"A-B": "x"}}, "environment has 'A-B'"),
        ({"environment": {"LONG": "x" * 4093}}, "environment has 4097 bytes"),
        ({"vpc": "yes"}, "vpc is 'yes', write True or False"),
        ({"max_age": timedelta(minutes=2)}, "between the visibility timeout, 0:03:00"),
        ({"max_age": timedelta(days=5)}, "the retention, 4 days"),
        ({"max_age": 60}, "write a timedelta"),
        ({"batch_size": 11}, "needs a batch_window"),
        ({"record_behind": "no"}, "record_behind is 'no', write True or False"),
        ({"fifo": "yes"}, "fifo is 'yes', write True or False"),
        ({"batch_size": 11, "fifo": True}, "a standard queue"),
        ({"batch_window": timedelta(minutes=6)}, "0 to 5 minutes"),
        ({"batch_window": timedelta(seconds=1), "fifo": True}, "none on a FIFO queue"),
        ({"max_receives": 4}, "only throttled"),
        ({"retention": timedelta(days=14)}, "outlive"),
        ({"dead_letter_retention": timedelta(days=15)}, "14 days"),
        ({"max_body_bytes": 2_000_000}, "1,048,576"),
    ],
)
def test_a_queue_that_aws_cannot_build_is_refused_by_name(numbers: dict[str, object], problem: str) -> None:
    declared: dict[str, object] = {"name": "jobs"} | numbers
    with pytest.raises(QueueError, match=f"queue '{declared['name']}': .*{problem}"):
        Queue(**declared)  # type: ignore[arg-type]  # the test passes wrong types


def test_physical_names_are_made_from_stage_and_name() -> None:
    assert Queue("jobs").physical_name("prod") == "celeriac-prod--jobs"
    assert Queue("jobs").dead_letter_name("prod") == "celeriac-prod--jobs-dlq"
    assert Queue("jobs", fifo=True).physical_name("prod") == "celeriac-prod--jobs.fifo"
    assert Queue("jobs", fifo=True).dead_letter_name("prod") == "celeriac-prod--jobs-dlq.fifo"


def test_the_oldest_age_is_an_hour_or_the_time_of_two_crashes() -> None:
    assert Queue("jobs").oldest_age == timedelta(hours=1)
    assert Queue("slow", timeout=timedelta(minutes=15)).oldest_age == timedelta(hours=3)
    assert Queue("brief", retention=timedelta(minutes=30)).oldest_age == timedelta(minutes=15)
    assert Queue("jobs", max_age=timedelta(minutes=5)).oldest_age == timedelta(minutes=5)


def test_invocations_are_limited_by_number_or_by_pollers() -> None:
    assert Queue("jobs").max_concurrency is None
    assert Queue("jobs", max_concurrency=3, reserved=3).reserved == 3
    assert Queue("jobs", pollers=(2, 20), reserved=1).max_concurrency is None


@pytest.mark.parametrize("timeout", [1, 5, 30, 900])
@pytest.mark.parametrize("fifo", [False, True])
@pytest.mark.parametrize("retention", [timedelta(hours=4), timedelta(days=2), timedelta(days=10)])
def test_a_queue_survives_an_hour_of_throttling(timeout: int, fifo: bool, retention: timedelta) -> None:  # noqa: FBT001 - a parameter of the test
    patience = timedelta(hours=1) if retention < timedelta(days=1) else timedelta(hours=12)
    queue = Queue("jobs", timeout=timedelta(seconds=timeout), fifo=fifo, retention=retention, patience=patience)
    assert queue.survives > timedelta(hours=1)


def test_visibility_covers_six_timeouts_and_the_window() -> None:
    queue = Queue("jobs", timeout=timedelta(seconds=20), batch_window=timedelta(seconds=5))
    assert queue.visibility == timedelta(seconds=125)


@pytest.mark.parametrize("stage", ["", "Prod", "a" * 18, "1st", "a_b"])
def test_an_invalid_stage_name_is_refused(stage: str) -> None:
    with pytest.raises(ValueError, match="the stage"):
        Queue("jobs").physical_name(stage)


def test_the_longest_names_fit_into_the_limits_of_aws() -> None:
    stage, queue = "s" * 16, Queue("q" * 37, fifo=True)
    assert len(queue.function_name(stage)) == 64
    assert len(queue.dead_letter_name(stage)) <= 80
    assert len(names.payload_bucket(stage, "1" * 12, "ap-southeast-1")) == 63


@pytest.mark.parametrize(
    ("name", "key", "problem"),
    [
        ("Upper", "pk", "lower-case"),
        ("outbox", "pk", "itself"),
        ("idempotency", "pk", "itself"),
        ("t", "", "its key"),
        ("t", 5, "its key"),
        ("t", "k" * 256, "its key 'kkkk.* has more than 255 bytes"),
        ("t", "a\x93b", "its key"),
        (5, "pk", "lower-case"),
    ],
)
def test_a_table_that_aws_cannot_build_is_refused_by_name(name: Any, key: Any, problem: str) -> None:
    with pytest.raises(TableError, match=f"table {name!r}: .*{problem}"):
        Table(name, key)


@pytest.mark.parametrize(
    ("numbers", "sum_"),
    [
        ({"retention": timedelta(minutes=10)}, "0:18:00"),
        ({"retention": timedelta(hours=1), "timeout": timedelta(minutes=15)}, "1:45:00"),
        ({"retention": timedelta(hours=12), "fifo": True}, "1 day, 0:18:00"),
    ],
)
def test_a_retention_that_ends_before_a_message_has_waited_is_refused_with_the_sum(
    numbers: dict[str, Any], sum_: str
) -> None:
    with pytest.raises(QueueError, match=sum_):
        Queue("brief", **numbers)


@pytest.mark.parametrize(
    ("numbers", "batch"),
    [
        ({}, 1),
        ({"concurrency": 7}, 7),
        ({"concurrency": 50}, 10),
        ({"concurrency": 50, "fifo": True}, 10),
        ({"concurrency": 50, "batch_window": timedelta(seconds=5)}, 50),
        ({"concurrency": 2, "batch_size": 10}, 10),
    ],
)
def test_a_batch_is_as_large_as_what_runs_at_once(numbers: dict[str, Any], batch: int) -> None:
    """Further messages of a batch would wait behind the first ones, invisible to idle workers."""
    assert Queue("jobs", **numbers).batch == batch


@pytest.mark.parametrize(
    ("settings", "cure"), [({"retention": 7}, "write a timedelta"), ({"bus": "no"}, "True or False")]
)
def test_settings_of_the_outbox_of_the_wrong_kind_are_refused(settings: Any, cure: str) -> None:
    with pytest.raises(TableError, match=f"outbox: .*{cure}"):
        Outbox(**settings)


@pytest.mark.parametrize("name", [5, None])
def test_a_queue_without_a_name_is_refused(name: Any) -> None:
    with pytest.raises(QueueError, match="its name must be a text"):
        Queue(name)


def test_on_fargate_a_message_is_hidden_for_five_minutes_at_most_and_a_delivery_may_take_hours() -> None:
    queue = Queue("videos", runner="fargate", timeout=timedelta(hours=10))
    assert queue.visibility == queue.lease == timedelta(minutes=5)
    assert queue.longest_delivery == timedelta(hours=10, minutes=5)
    assert queue.oldest_age == 2 * queue.longest_delivery
    assert queue.receive_limit == 144  # twelve hours of outage
    assert Queue("brief", runner="fargate", timeout=timedelta(seconds=10)).visibility == timedelta(minutes=1)
