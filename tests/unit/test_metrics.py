"""The metrics that CloudWatch gets: counts and times by queue and by task, and nothing else."""

import json
from collections import Counter, defaultdict
from datetime import timedelta
from typing import Any

import pytest

from celeriac import Backoff, Queue, Reject, Retry, task
from celeriac.aws import sqs
from celeriac.aws.client import client
from celeriac.model import names
from celeriac.testing import Sandbox

jobs = Queue("metric-jobs", concurrency=5, batch_size=10)
others = Queue("metric-others", batch_size=10)


@task(jobs)
def succeed(number: int = 0) -> None: ...


@task(jobs)
def refuse() -> None:
    raise Reject("no")


@task(jobs, retry=Backoff(attempts=3))
def fail() -> None:
    raise ConnectionError


type Dimensions = tuple[tuple[str, str], ...]


def measured(written: str) -> dict[Dimensions, dict[str, list[float]]]:
    """The metrics that CloudWatch reads in a log: the values of each metric by its dimensions."""
    found: dict[Dimensions, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for line in written.splitlines():
        blob: dict[str, Any] = json.loads(line) if line.startswith('{"_aws"') else {"_aws": {"CloudWatchMetrics": []}}
        for directive in blob["_aws"]["CloudWatchMetrics"]:
            assert directive["Namespace"] == names.METRICS
            for keys in directive["Dimensions"]:
                dimensions = tuple((key, blob[key]) for key in sorted(keys))
                for metric in directive["Metrics"]:
                    found[dimensions][metric["Name"]] += blob[metric["Name"]]
    return found


def of_queue(queue: Queue, name: str | None = None) -> Dimensions:
    task_too = (("task", name),) if name is not None else ()
    return (("queue", queue.name), ("service", "tasks"), ("stage", "celeriac-test"), *task_too)


def sums(metrics: dict[str, list[float]]) -> Counter[str]:
    return Counter(
        {name: int(sum(values)) for name, values in metrics.items() if name not in {"Duration", "AgeAtStart"}}
    )


def test_every_outcome_is_counted_for_the_task_and_for_its_queue(
    sandbox: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(3):
        succeed.enqueue(number=number)
    refuse.enqueue()
    fail.enqueue()
    sandbox.drain()
    found = measured(capsys.readouterr().out)

    assert sums(found[of_queue(jobs, "succeed")]) == {"Succeeded": 3}
    assert sums(found[of_queue(jobs, "refuse")]) == {"DeadLettered": 1, "Rejected": 1}
    assert sums(found[of_queue(jobs, "fail")]) == {"Retried": 2, "DeadLettered": 1}
    assert sums(found[of_queue(jobs)]) == {"Succeeded": 3, "Retried": 2, "DeadLettered": 2, "Rejected": 1}


def test_durations_are_those_of_runs_and_the_age_is_the_wait_of_the_first_attempt(
    sandbox: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    fail.enqueue()
    sandbox.advance(timedelta(seconds=90))
    sandbox.drain()
    metrics = measured(capsys.readouterr().out)[of_queue(jobs, "fail")]

    assert [round(age) for age in metrics["AgeAtStart"]] == [90]
    assert len(metrics["Duration"]) == 3


def test_skipped_messages_are_counted_and_not_timed(sandbox: Sandbox, capsys: pytest.CaptureFixture[str]) -> None:
    body = json.dumps({"task": "succeed", "id": "twice"})
    dead = json.dumps({"task": "refuse", "id": "dead"})
    for one in (body, dead):
        for _ in range(2):
            client("sqs").send_message(QueueUrl=sqs.url(jobs.physical_name("test")), MessageBody=one)
            sandbox.drain()
    found = measured(capsys.readouterr().out)

    assert sums(found[of_queue(jobs, "succeed")]) == {"Succeeded": 1, "Duplicate": 1}
    assert sums(found[of_queue(jobs, "refuse")]) == {
        "DeadLettered": 1,
        "Rejected": 1,
        "DeadCopySkipped": 1,
    }
    assert len(found[of_queue(jobs)]["Duration"]) == 2


def test_a_worker_lost_is_counted_once_for_each_death(sandbox: Sandbox, capsys: pytest.CaptureFixture[str]) -> None:
    succeed.enqueue()
    # The worker dies when it completes the task: at its second call, and at its sixth if it takes the lease over first.
    for call in (2, 6):
        sandbox.crash_at(call)
        sandbox.run_once()
        sandbox.advance(jobs.visibility + timedelta(seconds=1))
    sandbox.drain()

    assert sums(measured(capsys.readouterr().out)[of_queue(jobs, "succeed")])["WorkerLost"] == 2


def test_tasks_done_before_a_crash_suspect_runs_are_counted_even_if_it_crashes(
    sandbox: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    fail.enqueue()
    sandbox.crash_at(1, after=True)
    sandbox.run_once()
    sandbox.advance(jobs.visibility + timedelta(seconds=1))
    succeed.enqueue()
    capsys.readouterr()
    # The calls: the list of the quarantine; the suspect's visit, its claim, the visit's end; the other message's claim
    # and completion; the deletion of that one; and then the next visit of the suspect.
    sandbox.crash_at(8)
    sandbox.run_once()

    assert sums(measured(capsys.readouterr().out)[of_queue(jobs)]) == {"Succeeded": 1}


def test_no_message_can_add_a_dimension(sandbox: Sandbox, capsys: pytest.CaptureFixture[str]) -> None:
    for body in ("not JSON", '{"task": "made up"}'):
        client("sqs").send_message(QueueUrl=sqs.url(jobs.physical_name("test")), MessageBody=body)
    sandbox.drain()
    found = measured(capsys.readouterr().out)

    assert set(found) == {of_queue(jobs), of_queue(jobs, "unknown")}


def test_a_raised_retry_is_counted_as_retried(sandbox: Sandbox, capsys: pytest.CaptureFixture[str]) -> None:
    @task(others, retry=Backoff(attempts=2))
    def ask() -> None:
        raise Retry("later", delay=timedelta(hours=1))

    ask.enqueue()
    sandbox.drain()

    assert sums(measured(capsys.readouterr().out)[of_queue(others, "ask")]) == {
        "Retried": 1,
        "DeadLettered": 1,
    }
