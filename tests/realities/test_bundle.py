"""The bundle, as the stacks ship it, under AWS's own runtime client, with SQS and DynamoDB that aren't moto's.

Its log is read as `celeriac tail` reads it, in both of Lambda's formats.
"""

import json
import os
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Literal

import boto3
import pytest

from celeriac.model import names
from celeriac.model.queue import Queue
from celeriac.testing import account
from celeriac.worker import event
from celeriac_cdk.bundle.build import build_bundle
from celeriac_cdk.bundle.source import Source
from celeriac_cdk.bundle.target import THIS_MACHINE
from celeriac_console.tail.lines import Line, read
from celeriac_console.tail.unfinished import UnfinishedRuns
from tests.realities.bundle_tasks.queues import jobs, ledger, short
from tests.realities.dynamodb_local import dynamodb_local
from tests.realities.installed import why_no_dynamodb, why_no_lambda, why_no_sqs
from tests.realities.runtime_api import Answered, Died, Failed
from tests.realities.sqs_server import Lying, lying_in, sqs_server
from tests.realities.worker import ROOT, Worker, worker

why = why_no_lambda() or why_no_sqs() or why_no_dynamodb()
pytestmark = pytest.mark.skipif(bool(why), reason=why)

STAGE = "test"
OK = Answered({"batchItemFailures": []})
type Format = Literal["Text", "JSON"]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The real bundle, with the tasks of this folder."""
    project = tmp_path_factory.mktemp("project")
    for name in ("pyproject.toml", "uv.lock", "README.md"):
        shutil.copy(ROOT / name, project)
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "functions", project / "functions", ignore=ignored)
    shutil.rmtree(project / "functions" / "tasks")
    shutil.copytree(Path(__file__).with_name("bundle_tasks"), project / "functions" / "tasks", ignore=ignored)
    return build_bundle(Source(project / "functions" / "tasks", project), THIS_MACHINE)


class Stage:
    """The queues and tables of a stage, and what a worker needs to find them."""

    def __init__(self, bundle: Path, sqs_endpoint: str, dynamodb_endpoint: str) -> None:
        self._bundle, self._sqs_endpoint = bundle, sqs_endpoint
        self.environment = {
            "CELERIAC_APPLICATION": "celeriac",
            "CELERIAC_STAGE": STAGE,
            "POWERTOOLS_SERVICE_NAME": "celeriac",
            "AWS_ENDPOINT_URL_SQS": sqs_endpoint,
            "AWS_ENDPOINT_URL_DYNAMODB": dynamodb_endpoint,
        }
        self.sqs = _client("sqs", sqs_endpoint)
        dynamodb = _client("dynamodb", dynamodb_endpoint)
        dynamodb.create_table(**account._table(names.idempotency_table(STAGE), "id"))
        index = account._Index(names.outbox_index(), "waiting", "occurred_at")
        dynamodb.create_table(**account._table(names.outbox_table(STAGE), "pk", "sk", index=index))
        for queue in (jobs, ledger, short):
            attributes = {"FifoQueue": "true"} if queue.fifo else {}
            for name in (queue.dead_letter_name(STAGE), queue.physical_name(STAGE)):
                self.sqs.create_queue(QueueName=name, Attributes=attributes)

    def worker(
        self, log_format: Format, handler: str = "celeriac.entry.consumer.handler"
    ) -> AbstractContextManager[Worker]:
        return worker(handler, code=[self._bundle], environment=self.environment, log_format=log_format)

    def send(self, queue: Queue, *bodies: tuple[str, dict[str, Any]]) -> dict[str, Any]:
        """Send messages, receive them, and return the event with which Lambda calls the consumer."""
        url = self.sqs.get_queue_url(QueueName=queue.physical_name(STAGE))["QueueUrl"]
        self.sqs.purge_queue(QueueUrl=url)  # what other tests have left
        for number, (name, arguments) in enumerate(bodies):
            fifo = {"MessageGroupId": f"g{number}", "MessageDeduplicationId": os.urandom(8).hex()} if queue.fifo else {}
            body = json.dumps({"task": name, "args": arguments})
            self.sqs.send_message(QueueUrl=url, MessageBody=body, **fifo)
        arn = self.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        received = self.sqs.receive_message(
            QueueUrl=url, MaxNumberOfMessages=10, MessageSystemAttributeNames=["All"], MessageAttributeNames=["All"]
        )
        return {"Records": [event.record(message, arn) for message in received["Messages"]]}

    def lying_in(self, name: str) -> list[Lying]:
        return lying_in(self._sqs_endpoint, name)


def _client(service: Any, endpoint: str) -> Any:
    return boto3.client(
        service, endpoint_url=endpoint, region_name="eu-west-1", aws_access_key_id="a", aws_secret_access_key="b"
    )


@pytest.fixture(scope="module")
def stage(bundle: Path) -> Iterator[Stage]:
    with sqs_server() as sqs_endpoint, dynamodb_local() as dynamodb_endpoint:
        yield Stage(bundle, sqs_endpoint, dynamodb_endpoint)


@pytest.fixture(params=["Text", "JSON"])
def log_format(request: pytest.FixtureRequest) -> Format:
    found: Format = request.param
    return found


def shown(running: Worker) -> list[Line]:
    """What `celeriac tail` shows."""
    return [line for event in running.log() if (line := read(event)) is not None]


def of(lines: list[Line], text: str) -> Line:
    (found,) = [line for line in lines if line.message == text]
    return found


def outcomes(lines: list[Line]) -> dict[str, str]:
    return {line.fields["task"]: line.fields["outcome"] for line in lines if "outcome" in line.fields}


def unfinished(lines: list[Line]) -> str:
    runs = UnfinishedRuns()
    for line in lines:
        runs.follow("stream", line)
    return runs.lost("stream")


def test_tasks_succeed_and_each_line_that_they_print_names_its_task(stage: Stage, log_format: Format) -> None:
    event = stage.send(jobs, ("succeed", {"name": "a"}), ("print_json", {}), ("print_in_a_thread", {}), ("where", {}))
    with stage.worker(log_format) as running:
        assert running.invoke(event) == OK
        lines = shown(running)

    assert outcomes(lines) == dict.fromkeys(["succeed", "print_json", "print_in_a_thread", "where"], "succeeded")
    texts = ("printed by a", "in two lines", "to stderr by a", "logged by a")
    ids = {of(lines, text).fields["id"] for text in texts}
    assert len(ids) == 1
    assert {of(lines, text).fields["task"] for text in texts} == {"succeed"}
    assert of(lines, "logged by a").level == "WARNING"
    assert of(lines, "attempt 1").fields["task"] == "where"
    assert "printed by a thread" in {line.message for line in lines}
    (paid,) = [line for line in lines if '"paid"' in line.message]
    assert paid.fields["task"] == "print_json"
    assert not any(line.is_death for line in lines)
    assert unfinished(lines) == ""


def test_a_module_that_cannot_be_loaded_is_told_and_harms_no_other(stage: Stage, log_format: Format) -> None:
    with stage.worker(log_format) as running:
        assert running.invoke({"Records": []}) == OK
        lines = shown(running)

    assert any("broken" in f"{line.message} {line.fields}" for line in lines)


def test_async_tasks_of_a_batch_run_at_the_same_time(stage: Stage, log_format: Format) -> None:
    event = stage.send(jobs, ("meet", {"name": "first"}), ("meet", {"name": "second"}))
    with stage.worker(log_format) as running:
        assert running.invoke(event) == OK
        lines = shown(running)

    met = {name: of(lines, f"{name} has met").fields for name in ("first", "second")}
    come = {name: of(lines, f"{name} has come").fields for name in ("first", "second")}
    assert [met[name]["id"] for name in met] == [come[name]["id"] for name in come]
    assert met["first"]["id"] != met["second"]["id"]


def test_a_failure_is_retried_a_refusal_is_a_dead_letter_and_their_texts_are_not_logged(
    stage: Stage, log_format: Format
) -> None:
    before = [stage.lying_in(name) for name in (jobs.physical_name(STAGE), jobs.dead_letter_name(STAGE))]
    event = stage.send(jobs, ("fail", {}), ("refuse", {}), ("succeed", {"name": "c"}))
    with stage.worker(log_format) as running:
        assert running.invoke(event) == OK
        lines, log = shown(running), running.log()

    assert outcomes(lines) == {"fail": "retried", "refuse": "dead", "succeed": "succeeded"}
    waiting, dead = (stage.lying_in(name) for name in (jobs.physical_name(STAGE), jobs.dead_letter_name(STAGE)))
    retries = [json.loads(each.body) for each in waiting if each not in before[0] and not each.is_visible]
    assert [(each["task"], each["attempt"]) for each in retries if "attempt" in each] == [("fail", 2)]
    (letter,) = (json.loads(each.body) for each in dead if each not in before[1])
    assert (letter["task"], letter["failure"]["reason"]) == ("refuse", "rejected")
    assert not any("a secret text" in event for event in log)


def test_the_answer_names_what_is_not_acknowledged(stage: Stage, log_format: Format) -> None:
    event = stage.send(ledger, ("book", {"name": "good"}), ("book", {"name": "bad"}))
    (bad,) = [record["messageId"] for record in event["Records"] if "bad" in record["body"]]
    with stage.worker(log_format) as running:
        assert running.invoke(event) == Answered({"batchItemFailures": [{"itemIdentifier": bad}]})


def test_an_async_task_that_takes_too_long_is_stopped_and_its_worker_lives_on(stage: Stage, log_format: Format) -> None:
    event = stage.send(jobs, ("take_too_long", {}))
    with stage.worker(log_format) as running:
        assert running.invoke(event) == OK
        assert running.invoke({"Records": []}) == OK
        lines = shown(running)

    assert outcomes(lines) == {"take_too_long": "retried"}
    assert of(lines, "waiting").fields["task"] == "take_too_long"
    assert unfinished(lines) == ""


def test_a_sync_task_that_hangs_is_retried_and_its_worker_lives_on(stage: Stage, log_format: Format) -> None:
    event = stage.send(short, ("hang", {}))
    with stage.worker(log_format) as running:
        assert running.invoke(event, timeout=short.timeout) == OK
        assert running.invoke({"Records": []}) == OK
        lines = shown(running)

    assert outcomes(lines) == {"hang": "retried"}


def test_a_worker_whose_event_loop_is_blocked_says_so_and_ends(stage: Stage, log_format: Format) -> None:
    event = stage.send(short, ("block", {}))
    with stage.worker(log_format) as running:
        result = running.invoke(event, timeout=short.timeout)
        if result == OK:  # the machine is slow: the worker ends after a later invocation
            result = running.invoke({"Records": []}, timeout=short.timeout)
        lines = shown(running)

    assert result == Died(1)
    assert of(lines, "the worker ends, another one is to start").level == "ERROR"
    assert outcomes(lines) == {"block": "retried"}


def test_of_a_worker_that_is_killed_at_its_timeout_the_log_says_what_it_ran(stage: Stage, log_format: Format) -> None:
    event = stage.send(short, ("hang", {}))
    with stage.worker(log_format) as running:
        result = running.start(event, timeout=short.timeout)
        while not result.done() and not any("hanging" in text for text in running.log()):
            time.sleep(0.01)
        running.kill(signal.SIGSTOP)
        assert result.result() == Died(-signal.SIGKILL, timed_out=True)
        lines = shown(running)

    assert of(lines, "hanging").fields["task"] == "hang"
    assert unfinished(lines).startswith("hang ")


def test_of_a_worker_that_crashes_the_log_says_what_it_ran(stage: Stage, log_format: Format) -> None:
    event = stage.send(jobs, ("crash", {}))
    with stage.worker(log_format) as running:
        assert running.invoke(event) == Died(7)
        lines = shown(running)

    assert of(lines, "crashing").fields["task"] == "crash"
    assert unfinished(lines).startswith("crash ")


def test_an_error_of_the_handler_itself_is_shown_with_its_traceback(stage: Stage, log_format: Format) -> None:
    with stage.worker(log_format) as running:
        result = running.invoke({"Records": [{}]})
        lines = shown(running)

    assert isinstance(result, Failed)
    (death,) = [line for line in lines if line.is_death]
    assert death.message.startswith(result.error["errorType"])
    assert 'File "' in death.more
    assert "\n" in death.more


def test_relay_and_sweeper_answer(stage: Stage, log_format: Format) -> None:
    with stage.worker(log_format, "celeriac.entry.relay.handler") as relay:
        assert relay.invoke({"Records": []}) == OK
    with stage.worker(log_format, "celeriac.entry.sweeper.handler") as sweeper:
        swept = sweeper.invoke({})
    assert isinstance(swept, Answered)
    assert swept.value["published"] == 0
