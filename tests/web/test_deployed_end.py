"""The deployed page is told to end, as ECS tells it: what it does is stopped, and the activity says how far it came."""

import os
import signal
import socket
import subprocess
import sys
from itertools import count
from threading import Event, Thread
from typing import Any

import pytest
from botocore.client import BaseClient
from botocore.exceptions import ClientError
from starlette.applications import Starlette

from celeriac import Queue, Reject, task
from celeriac.testing import Sandbox
from celeriac_console.dlq.queue_reader import Pass
from celeriac_console.web.activity import store
from celeriac_console.web.deployed.__main__ import run
from celeriac_console.web.identity import identify
from celeriac_console.web.jobs.job import Job
from celeriac_console.web.jobs.of_letters import Plan
from celeriac_console.web.jobs.redrive import Redrive
from celeriac_console.web.letters.chosen import chosen
from celeriac_console.web.shared import Shared

canals = Queue("canals")


@task(canals)
def open_lock(number: int) -> None:
    """Fail for good."""
    raise Reject(f"no lock {number}")


def _start(shared: Shared) -> Job:
    return shared.jobs.start(Redrive(Plan(canals, chosen({}), None), shared.letters.job), "ann@example.org (u-1)")


def serve_with_a_job() -> None:
    """What the process of a test does: a job of 120 letters, and the page. AWS takes two batches before the end."""
    with Sandbox() as sandbox:
        open_lock.enqueue_many({"number": number} for number in range(120))
        sandbox.drain()
        shared = Shared(identify())
        _hold_after_two_batches(shared)
        job = _start(shared)
        while not job.progress().count:
            job.join(0.05)
        listening = socket.create_server(("127.0.0.1", 0))
        Thread(target=_tell_when_it_answers, args=(listening.getsockname(),), daemon=True).start()
        try:
            run(Starlette(), listening, shared)
        finally:
            [line] = store.read()
            sys.stdout.write(f"{line.outcome} {line.count} {len(sandbox.dead_letters(canals))}\n")


def _hold_after_two_batches(shared: Shared) -> None:
    real, batches = BaseClient._make_api_call, count(1)  # type: ignore[attr-defined]

    def held(client: BaseClient, operation: str, arguments: dict[str, Any]) -> Any:
        if operation == "SendMessageBatch" and next(batches) > 2:
            while shared.jobs.get("1").progress().state == "running":
                Event().wait(0.02)
        return real(client, operation, arguments)

    BaseClient._make_api_call = held  # type: ignore[attr-defined]


def _tell_when_it_answers(address: tuple[str, int]) -> None:
    with socket.create_connection(address) as asking:
        asking.sendall(b"GET / HTTP/1.0\r\n\r\n")
        asking.recv(1)
    sys.stdout.write("serves\n")
    sys.stdout.flush()


def test_a_real_process_that_is_told_to_end_stops_its_job_and_writes_its_line() -> None:
    code = "from tests.web.test_deployed_end import serve_with_a_job; serve_with_a_job()"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=os.environ) as process:
        assert process.stdout is not None
        try:
            assert any(line == "serves\n" for line in process.stdout)
        finally:
            process.send_signal(signal.SIGTERM)
        said = process.stdout.read().splitlines()[-1].split()
        assert process.wait(60) == 0
    outcome, sent, left = said
    assert outcome == "stopped"
    assert 0 < int(sent) < 120
    assert int(sent) + int(left) == 120


def test_a_job_that_takes_too_long_to_give_back_letters_is_written_down(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_lock.enqueue_many({"number": number} for number in range(5))
    sandbox.drain()
    goes_on, begun, real = Event(), Event(), Pass._give_back

    def slow(reading: Pass) -> None:
        begun.set()
        assert goes_on.wait(30)
        real(reading)

    monkeypatch.setattr(Pass, "_give_back", slow)
    shared = Shared(identify())
    job = _start(shared)
    assert begun.wait(30)
    shared.jobs.close(0.01)
    [line] = store.read()
    assert (line.outcome, line.count) == ("stopped", 5)
    goes_on.set()
    job.join()
    # Its own word counts, if it still comes to it.
    assert store.read()[0].count == 5


def test_an_end_that_aws_refuses_keeps_no_other_job_from_writing_its_own(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_lock.enqueue(number=1)
    sandbox.drain()
    goes_on, begun, real, call = Event(), Event(), Pass._give_back, BaseClient._make_api_call  # type: ignore[attr-defined]

    def slow(reading: Pass) -> None:
        begun.set()
        assert goes_on.wait(30)
        real(reading)

    def refused(client: BaseClient, operation: str, arguments: dict[str, Any]) -> Any:
        if operation == "UpdateItem":
            raise ClientError({"Error": {"Code": "AccessDenied", "Message": "by the test"}}, operation)
        return call(client, operation, arguments)

    monkeypatch.setattr(Pass, "_give_back", slow)
    shared = Shared(identify())
    job = _start(shared)
    assert begun.wait(30)
    with monkeypatch.context() as patch:
        patch.setattr(BaseClient, "_make_api_call", refused)
        shared.jobs.close(0.01)
    goes_on.set()
    job.join()
    assert store.read()[0].count == 1
