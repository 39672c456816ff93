# ruff: noqa: T201 - printing is what is tested
"""Everything that a task prints or logs becomes lines of JSON with its name, its id and its attempt."""

import asyncio
import contextlib
import io
import json
import logging
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from aws_lambda_powertools import Logger, Metrics

from celeriac import Backoff, Context, Queue, task
from celeriac.model.names import METRICS
from celeriac.observe.log import logger, tell_of_tasks
from celeriac.observe.printed import LONGEST_LINE, Printed
from celeriac.relay import sweeper
from celeriac.testing import Sandbox
from celeriac.worker.event import Invocation

jobs = Queue("printed-jobs", concurrency=4)
doing: list[Callable[[], Any]] = []


class Told:
    """Everything that was written to the standard streams, which Lambda puts into one log."""

    def __init__(self) -> None:
        self.written = io.BytesIO()

    @property
    def lines(self) -> list[str]:
        return self.written.getvalue().decode().splitlines()

    def of(self, handle: Any) -> list[dict[str, Any]]:
        """The task's own lines, without the line of its outcome."""
        read: list[dict[str, Any]] = [json.loads(line) for line in self.lines if line.startswith("{")]
        return [line for line in read if line.get("id") == handle.id and "outcome" not in line]

    def messages(self, handle: Any) -> list[str]:
        return [line["message"] for line in self.of(handle)]


@contextlib.contextmanager
def worker() -> Iterator[Told]:
    """A worker's streams, set up as the consumer does it when Lambda loads it. They are restored afterwards.

    This is not a fixture, because pytest sets the streams again between a fixture and its test.
    """
    told, root, ours = Told(), logging.getLogger(), logging.getLogger(logger.name)
    stream = io.TextIOWrapper(told.written, encoding="utf-8", write_through=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdout", stream)
        patch.setattr(sys, "stderr", stream)
        patch.setattr(root, "handlers", [logging.StreamHandler(stream)])  # Lambda's own handler
        patch.setattr(root, "level", root.level)
        patch.setattr(ours.handlers[0], "stream", stream)
        patch.setattr(ours.handlers[0], "filters", [])
        patch.setattr(ours, "propagate", True)
        tell_of_tasks()
        yield told
    stream.detach()


@task(jobs, retry=Backoff(attempts=2))
def do(number: int = 0) -> None:
    doing[number]()


@task(jobs)
async def do_async(number: int = 0) -> None:
    await doing[number]()


@pytest.fixture
def run(sandbox: Sandbox) -> Callable[[Callable[[], Any]], list[dict[str, Any]]]:
    """Run a function as a task, and return its lines."""

    def run(function: Callable[[], Any]) -> list[dict[str, Any]]:
        doing[:] = [function]
        with worker() as told:
            handle = do.enqueue()
            sandbox.drain()
        assert handle.status().state == "succeeded"
        return told.of(handle)

    return run


type RunInfo = Callable[[Callable[[], Any]], list[dict[str, Any]]]


def test_a_printed_line_names_its_task_its_id_and_its_attempt(sandbox: Sandbox) -> None:
    @task(jobs, retry=Backoff(attempts=3))
    def work(ctx: Context) -> None:
        print("at work,", ctx.attempt)
        if ctx.attempt < 3:
            raise ConnectionError

    handle = work.enqueue()
    with worker() as told:
        sandbox.drain()

    lines = told.of(handle)
    assert [(line["message"], line["task"], line["attempt"]) for line in lines] == [
        (f"at work, {attempt}", "work", attempt) for attempt in (1, 2, 3)
    ]
    assert {(line["level"], line["logger"]) for line in lines} == {("INFO", "stdout")}
    outcomes = [json.loads(line)["outcome"] for line in told.lines if '"outcome"' in line]
    assert outcomes == ["retried", "retried", "succeeded"]
    assert all(line["request_id"] and line["timestamp"].startswith("2026-01-01T") for line in lines)


def test_a_logged_line_names_its_task_and_is_written_once(run: RunInfo) -> None:
    def log() -> None:
        logging.getLogger("tasks.reports").info("%d rows", 3)
        logging.getLogger("tasks.reports").debug("hidden")
        logging.getLogger().warning("slow")
        try:
            int("broken")
        except ValueError:
            logging.getLogger("tasks.reports").exception("failed")

    lines = run(log)
    assert [(line["level"], line["logger"], line["message"]) for line in lines] == [
        ("INFO", "tasks.reports", "3 rows"),
        ("WARNING", "root", "slow"),
        ("ERROR", "tasks.reports", "failed"),
    ]
    assert {(line["task"], line["attempt"]) for line in lines} == {("do", 1)}
    assert "ValueError: invalid literal" in lines[2]["exception"]


def test_an_extra_field_with_a_reserved_name_gets_a_prefix(run: RunInfo) -> None:
    (line,) = run(lambda: logging.getLogger().warning("charged", extra={"id": 7, "attempt": 1, "amount": 5}))
    assert line["id"] != 7
    assert (line["extra_id"], line["attempt"], line["amount"]) == (7, 1, 5)
    assert "extra_attempt" not in line


@pytest.mark.parametrize("task_logger", [Logger, lambda: Logger(service="shop")], ids=["ours", "own"])
def test_a_line_of_a_powertools_logger_names_its_task(run: RunInfo, task_logger: Callable[[], Logger]) -> None:
    (line,) = run(lambda: task_logger().info("charged", extra={"amount": 5}))
    assert (line["message"], line["amount"], line["task"], line["attempt"]) == ("charged", 5, "do", 1)


def test_a_line_of_the_tasks_own_handler_names_its_task(run: RunInfo) -> None:
    def log() -> None:
        own = logging.getLogger("own")
        own.propagate = False
        own.handlers = [logging.StreamHandler()]
        own.warning("by itself")

    (line,) = run(log)
    assert (line["message"], line["logger"], line["task"]) == ("by itself", "stderr", "do")


def test_the_log_lines_of_http_libraries_are_left_out(run: RunInfo) -> None:
    def log() -> None:
        for name in ("botocore.auth", "urllib3.pool"):
            logging.getLogger(name).info("a request")

    assert run(log) == []


def test_concurrent_tasks_do_not_share_lines(sandbox: Sandbox) -> None:
    together = threading.Barrier(3)

    def chat(number: int) -> None:
        for word in range(3):
            print(f"{number}:", end="")
            together.wait(5)
            print(word)

    doing[:] = [lambda number=number: chat(number) for number in range(3)]  # type: ignore[misc]  # mypy: no lambda defaults
    handles = [do.enqueue(number=number) for number in range(3)]
    with worker() as told:
        sandbox.drain()

    for number, handle in enumerate(handles):
        assert told.messages(handle) == [f"{number}:{word}" for word in range(3)]


def test_lines_of_async_tasks_and_their_threads_name_their_task(sandbox: Sandbox) -> None:
    def work(number: int) -> Any:
        async def side() -> None:
            await asyncio.sleep(0)
            logging.getLogger("side").info("side %d", 1)

        async def work() -> None:
            print("begun", number)
            await asyncio.to_thread(print, "in a thread", number)
            await asyncio.gather(asyncio.create_task(side()))
            print("ended", number, end="")

        return work

    doing[:] = [work(number) for number in range(3)]
    handles = [do_async.enqueue(number=number) for number in range(3)]
    with worker() as told:
        sandbox.drain()

    for number, handle in enumerate(handles):
        assert told.messages(handle) == [f"begun {number}", f"in a thread {number}", "side 1", f"ended {number}"]
        assert not any("taskName" in line for line in told.of(handle))


@pytest.mark.parametrize(
    ("do_it", "messages"),
    [
        (lambda: print("a", "b", sep="\n"), ["a", "b"]),
        (lambda: print("no end of line", end=""), ["no end of line"]),
        (lambda: (print("first ", end="", flush=True), print("then")), ["first ", "then"]),
        (lambda: print("\r 10 %\r"), [" 10 %"]),
        (lambda: print("\n\n"), []),
        (lambda: print("grüß \u202e \x1b[31m"), ["grüß \u202e \x1b[31m"]),
        (lambda: print("half \ud83d a pair"), ["half \\ud83d a pair"]),
        (lambda: print("x" * (LONGEST_LINE + 5)), ["x" * LONGEST_LINE, "x" * 5]),
        (lambda: sys.stdout.write("x" * (3 * LONGEST_LINE)), ["x" * LONGEST_LINE] * 3),
        (lambda: sys.stdout.writelines(["a\n", "b\n"]), ["a", "b"]),
        (lambda: print("to stderr", file=sys.stderr), ["to stderr"]),
        (lambda: sys.stdout.buffer.write(b"bytes\n"), ["bytes"]),
        (lambda: [sys.stdout.buffer.write(byte) for byte in (b"gr\xc3", b"\xbc\xc3\x9f", b" \xff\n")], ["grüß \\xff"]),
        (lambda: sys.stdout.buffer.write(b"unended"), ["unended"]),
        (lambda: (sys.stdout.close(), print("still open")), ["still open"]),
        (lambda: print('{"not": "JSON"'), ['{"not": "JSON"']),
    ],
)
def test_a_line_is_one_log_line_in_every_way_of_writing_it(
    run: RunInfo, do_it: Callable[[], Any], messages: list[str]
) -> None:
    assert [line["message"] for line in run(do_it)] == messages


def test_a_line_that_is_json_gets_the_missing_fields(run: RunInfo) -> None:
    lines = run(lambda: print('{"event": "paid", "amount": 1.50}'))
    assert [(line["event"], line["amount"], line["task"]) for line in lines] == [("paid", 1.5, "do")]


def test_a_line_that_is_json_cannot_claim_to_be_of_another_run(run: RunInfo) -> None:
    (line,) = run(
        lambda: print('{"message": "task dead", "task": "pay", "id": "other", "attempt": 1, "note": "\u00fc"}')
    )
    assert (line["task"], line["extra_task"], line["extra_id"], line["note"]) == ("do", "pay", "other", "\u00fc")
    assert "extra_attempt" not in line


def test_a_printed_line_cannot_write_to_celeriacs_metrics(run: RunInfo) -> None:
    forged = {"_aws": {"CloudWatchMetrics": [{"Namespace": "shop"}, {"Namespace": METRICS}]}, "DeadLettered": 999}
    (line,) = run(lambda: print(json.dumps(forged)))
    assert "_aws" not in line
    assert line["extra__aws"] == forged["_aws"]


@pytest.mark.parametrize("aws", [7, {}, {"CloudWatchMetrics": 7}, {"CloudWatchMetrics": [7]}])
def test_unreadable_metrics_are_not_changed(sandbox: Sandbox, aws: object) -> None:
    doing[:] = [lambda: print(json.dumps({"_aws": aws}))]
    do.enqueue()
    with worker() as told:
        sandbox.drain()
    assert json.dumps({"_aws": aws}) in told.lines


def test_a_tasks_own_metrics_are_not_changed(sandbox: Sandbox) -> None:
    def measure() -> None:
        metrics = Metrics(namespace="shop", service="shop")
        metrics.add_metric("Paid", "Count", 1)
        metrics.flush_metrics()

    doing[:] = [measure]
    do.enqueue()
    with worker() as told:
        sandbox.drain()

    (line,) = [json.loads(line) for line in told.lines if '"Paid"' in line]
    assert set(line) == {"_aws", "Paid", "service"}


def test_a_task_may_replace_the_streams(run: RunInfo) -> None:
    kept = io.StringIO()

    def capture() -> None:
        with contextlib.redirect_stdout(kept):
            print("captured")
        print("told")

    assert [line["message"] for line in run(capture)] == ["told"]
    assert kept.getvalue() == "captured\n"


def test_lines_outside_a_run_are_written_unchanged() -> None:
    with worker() as told:
        print("a", end="")
        thread = threading.Thread(target=print, args=["of a thread"])
        thread.start()
        thread.join()
        print("b")
        print("never ended", end="", flush=True)

    assert told.lines == ["of a thread", "ab", "never ended"]


def test_a_late_line_of_an_overrun_names_its_own_task_and_not_the_next(sandbox: Sandbox) -> None:
    overrun, after = threading.Event(), threading.Event()

    @task(jobs, timeout=timedelta(milliseconds=60), retry=Backoff(attempts=1))
    def overrunning() -> None:
        overrun.wait(5)
        print("late")
        after.set()

    def next_one() -> None:
        overrun.set()
        after.wait(5)
        print("next")

    doing[:] = [next_one]
    with worker() as told:
        late = overrunning.enqueue()
        sandbox.drain()
        following = do.enqueue()
        sandbox.drain()

    assert told.messages(late) == ["late"]
    assert told.messages(following) == ["next"]


CRASH = """
import os, sys
from celeriac.observe.log import tell_of_tasks
from celeriac.observe.running import RunInfo
tell_of_tasks()
with RunInfo("work", "i-1", 2, "r-1"):
    print("before the end")
    print("and ", end="", flush=True)
    os._exit(7)
"""


def test_lines_printed_right_before_a_crash_are_in_the_log() -> None:
    crashed = subprocess.run([sys.executable, "-c", CRASH], capture_output=True, text=True, env=os.environ, check=False)
    assert crashed.returncode == 7
    lines = [json.loads(line) for line in crashed.stdout.splitlines()]
    assert [(line["message"], line["id"], line["attempt"]) for line in lines] == [
        ("before the end", "i-1", 2),
        ("and ", "i-1", 2),
    ]


RFC_3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
LEVELS = ["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"]


def _kept(line: str, level: str) -> bool:
    """Whether Lambda's filter keeps a line, as its documentation says.

    https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-log-level.html
    """
    told = json.loads(line)
    its = str(told.get("level", "")).upper()
    known = its in LEVELS and RFC_3339.fullmatch(told.get("timestamp", ""))
    return LEVELS.index(its if known else "INFO") >= LEVELS.index(level)


@pytest.mark.parametrize("level", LEVELS)
def test_lambdas_filter_keeps_dead_letters_up_to_error_and_metrics_always(sandbox: Sandbox, level: str) -> None:
    @task(jobs, retry=Backoff(attempts=1))
    def die() -> None:
        logging.getLogger("mine").error("it is going to fail")
        raise ConnectionError

    die.enqueue()
    with worker() as told:
        sandbox.drain()
    lines = [line for line in told.lines if _kept(line, level)]
    messages = [json.loads(line).get("message") for line in lines]
    assert ("task dead" in messages, "it is going to fail" in messages) == (level != "FATAL",) * 2
    assert sum("DeadLettered" in json.loads(line) for line in lines) == 1


def test_the_outboxs_metrics_pass_every_filter(sandbox: Sandbox) -> None:
    with worker() as told:
        sweeper.handler({}, Invocation("sweeper", "r-1", sandbox.now + timedelta(minutes=1)))
    (line,) = [line for line in told.lines if "UnpublishedAge" in line]
    assert _kept(line, "FATAL")


class FullDisk(io.StringIO):
    """As a log whose disk is full, or whose reader is gone."""

    def write(self, text: str, /) -> int:
        raise OSError(28, "No space left on device")


def test_a_log_that_cant_be_written_fails_no_task(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", Printed(FullDisk(), "stdout"))
    doing[:] = [lambda: print("a line"), lambda: print("a", end=""), sys.stdout.flush]
    handles = [do.enqueue(number=number) for number in range(3)]
    sandbox.drain()
    assert [handle.status().state for handle in handles] == ["succeeded"] * 3
    assert {handle.status().attempts for handle in handles} == {1}
