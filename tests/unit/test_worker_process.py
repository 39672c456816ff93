"""The process of `celeriac worker`, and what signals do to it. Its AWS is a port that refuses, or never answers."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from celeriac import NoSuchQueueError, Queue, task
from celeriac.aws import sqs
from celeriac.aws.client import client
from celeriac.model import notice
from celeriac.model.fargate import READY_VARIABLE
from celeriac.testing import Sandbox
from celeriac.worker import process
from celeriac.worker.poller import Poller

ROOT = Path(__file__).parents[2]
# The discard port: nobody listens.
NOBODY = "http://127.0.0.1:9"


@contextmanager
def worker(endpoint: str, *arguments: str) -> Iterator["subprocess.Popen[str]"]:
    variables = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "CELERIAC_"))}
    variables |= {
        "AWS_ACCESS_KEY_ID": "none",
        "AWS_SECRET_ACCESS_KEY": "none",
        "AWS_DEFAULT_REGION": "eu-central-1",
        "AWS_ENDPOINT_URL": endpoint,
    }
    command = [sys.executable, "-m", "celeriac_console", "--stage", "test", "worker", *arguments]
    with subprocess.Popen(command, cwd=ROOT, env=variables, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def wait_for(process: "subprocess.Popen[str]", message: str) -> dict[str, Any]:
    """Read the log up to a line."""
    assert process.stdout is not None
    for line in process.stdout:
        fields: dict[str, Any] = json.loads(line)
        if fields["message"] == message:
            return fields
    pytest.fail(f"the worker ended without {message!r}")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_worker_in_order(number: signal.Signals) -> None:
    with worker(NOBODY, "--queue", "emails") as process:
        wait_for(process, "nothing received")
        process.send_signal(number)
        told = wait_for(process, "the worker was told to end")
        assert (told["signal"], told["stop_timeout"]) == (number.name, 25)
        wait_for(process, "the worker has ended")
        assert process.wait(30) == 0


def test_a_second_signal_ends_it_at_once() -> None:
    with ExitStack() as held, socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with worker(f"http://127.0.0.1:{port}", "--queue", "emails") as process:
            connection, _ = silent.accept()
            held.callback(connection.close)
            process.send_signal(signal.SIGTERM)
            wait_for(process, "the worker was told to end")
            process.send_signal(signal.SIGTERM)
            assert process.wait(5) == 128 + signal.SIGTERM


def test_a_worker_that_does_not_end_in_time_ends_itself() -> None:
    with ExitStack() as held, socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with worker(f"http://127.0.0.1:{port}", "--queue", "emails", "--stop-timeout", "10") as process:
            connection, _ = silent.accept()
            held.callback(connection.close)
            process.send_signal(signal.SIGTERM)
            wait_for(process, "the worker has not ended in time")
            assert process.wait(30) == 1


def test_an_unknown_queue_is_named_with_those_that_there_are() -> None:
    command = [sys.executable, "-m", "celeriac_console", "--stage", "test", "worker", "--queue", "email"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert "no queue is named 'email'" in ended.stderr
    assert "emails" in ended.stderr


def test_without_credentials_it_does_not_begin(tmp_path: Path) -> None:
    variables = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "CELERIAC_"))}
    variables |= {"HOME": str(tmp_path), "AWS_REGION": "eu-central-1", "AWS_EC2_METADATA_DISABLED": "true"}
    command = [sys.executable, "-m", "celeriac_console", "--stage", "test", "worker", "--queue", "emails"]
    ended = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, check=False, timeout=60)
    assert ended.returncode == 1
    assert "celeriac: Unable to locate credentials" in ended.stderr


@task(Queue("worker-gone"))
def nobody_runs() -> None: ...


@pytest.fixture
def _notice() -> Iterator[None]:
    yield
    notice.withdraw()


def test_a_queue_that_is_not_deployed_ends_it_at_its_first_poll(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(READY_VARIABLE, str(tmp_path / "polls"))
    with pytest.raises(NoSuchQueueError, match="worker-never-made"):
        process.poll_until_told(Poller(Queue("worker-never-made")))
    assert not (tmp_path / "polls").exists()


@pytest.mark.usefixtures("_notice")
def test_a_queue_that_goes_later_is_polled_on(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(READY_VARIABLE, str(tmp_path / "polls"))
    polls: list[int] = []

    class Hurried(Poller):
        """Its polls don't wait for messages."""

        def poll(self, seconds: int = 0, most: int = 10) -> None:
            assert (tmp_path / "polls").exists() == bool(polls)  # the container's health check looks for it
            polls.append(len(polls))
            if len(polls) == 2:
                client("sqs").delete_queue(QueueUrl=sqs.url(nobody_runs.queue.physical_name("test")))
                sqs.urls.clear()
            if len(polls) == 4:
                notice.give(timedelta(seconds=30))
            super().poll(seconds, most)

    process.poll_until_told(Hurried(nobody_runs.queue))
    assert polls == [0, 1, 2, 3]
