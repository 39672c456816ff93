"""A worker: a process that runs a handler of Celeriac under awslambdaric, AWS's own runtime client, as Lambda does.

The process has no package but awslambdaric and what `code` holds. What Lambda itself writes into the log is missing:
START, END, REPORT, and lines about workers that died.
"""

import os
import re
import signal
import subprocess
import sysconfig
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from threading import Event, Thread, Timer
from typing import IO, Any, Literal

from tests.realities.installed import LAMBDA_PYTHON, why_no_lambda
from tests.realities.runtime_api import Died, Invocation, Result, RuntimeApi, deadline, runtime_api

ROOT = Path(__file__).parents[2]
# Without a bundle: the sources, and the packages of the project's own environment.
SOURCES = (ROOT / "functions", Path(sysconfig.get_path("purelib")))
TIMEOUT = timedelta(seconds=30)
LONGEST_STOP_SECONDS = 10.0
# The head of a frame: its kind, its length and its time. awslambdaric writes one for each event of the log, so that an
# event may have several lines: `FramedTelemetryLogSink` in awslambdaric/bootstrap.py.
_FRAME = re.compile(rb"\xa5\x5a\x00.(?P<length>.{4}).{8}", re.DOTALL)
_LINE = re.compile(rb"(?:(?!\xa5\x5a\x00)[^\n])*\n?")


class Worker:
    """One process. It runs one invocation at a time, and is not started again when it has died."""

    def __init__(self, process: subprocess.Popen[bytes], api: RuntimeApi, log: IO[bytes], function_arn: str) -> None:
        self._process, self._api, self._log, self._arn = process, api, log, function_arn
        self._running: Invocation | None = None
        self._timed_out = False
        self._has_ended = Event()
        Thread(target=self._wait_for_the_end, daemon=True).start()

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """Whether the process runs. One that SIGSTOP has frozen is alive too."""
        return self._process.poll() is None

    def start(self, event: Any, *, timeout: timedelta = TIMEOUT, is_killed: bool = True) -> Future[Result]:
        """Hand the worker an event. The result comes when it has answered or died.

        timeout: of the function, from now on; the time that its context says is left.
        is_killed: whether the worker is killed after `timeout`, as Lambda does.
        Raises RuntimeError if it is dead, or runs another event.
        """
        if not self.is_alive:
            raise RuntimeError(f"the worker has died, with status {self._process.returncode}: {self.log()}")
        if self._running is not None and not self._running.result.done():
            raise RuntimeError("the worker runs another event")
        self._running = invocation = Invocation(event, deadline(timeout), self._arn)
        if is_killed:
            timer = Timer(timeout.total_seconds(), self._kill_late, [invocation])
            timer.daemon = True
            timer.start()
            invocation.result.add_done_callback(lambda _: timer.cancel())
        self._api.give(invocation)
        if self._has_ended.is_set():  # meanwhile, so that its end settled nothing
            invocation.settle(self._died())
        return invocation.result

    def invoke(self, event: Any, *, timeout: timedelta = TIMEOUT) -> Result:
        """Hand the worker an event, and wait until it has answered or died. It is killed after `timeout`."""
        return self.start(event, timeout=timeout).result()

    @property
    def request_id(self) -> str:
        """The request id of the last invocation."""
        return "" if self._running is None else self._running.request_id

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Send the process a signal: SIGKILL ends it, SIGSTOP freezes it, SIGCONT wakes it."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def log(self) -> list[str]:
        """The events of the log so far, as CloudWatch would hold them: a line each, or a text with several lines."""
        self._log.seek(0)
        return list(_events(self._log.read()))

    def wait(self) -> int:
        """Wait until the process has ended. Returns its exit status; negative for a signal."""
        return self._process.wait()

    def _kill_late(self, invocation: Invocation) -> None:
        if not invocation.result.done():
            self._timed_out = True
            self.kill()

    def _wait_for_the_end(self) -> None:
        self._process.wait()
        self._has_ended.set()
        if self._running is not None:
            self._running.settle(self._died())

    def _died(self) -> Result:
        if self._api.init_error is not None:
            return self._api.init_error
        return Died(self._process.wait(), self._timed_out)


@contextmanager
def worker(
    handler: str = "celeriac.entry.consumer.handler",
    *,
    code: Sequence[Path] = SOURCES,
    environment: Mapping[str, str] | None = None,
    function: str = "celeriac-test--worker",
    log_format: Literal["Text", "JSON"] = "Text",
    log_level: str | None = None,
    memory_bytes: int | None = None,
) -> Iterator[Worker]:
    """Run a worker while the block runs. Then it is killed.

    handler: module and function, as in Lambda's settings.
    code: where its modules are found: the folder of a bundle, or the sources with their packages.
    environment: further variables, such as CELERIAC_STAGE and AWS_ENDPOINT_URL_DYNAMODB.
    memory_bytes: the most address space that it may have (RLIMIT_AS).
    Raises RuntimeError if awslambdaric isn't installed.
    """
    if why := why_no_lambda():
        raise RuntimeError(why)
    with runtime_api() as api, tempfile.TemporaryFile() as log:
        command = [str(LAMBDA_PYTHON), "-m", "awslambdaric", handler]
        if memory_bytes is not None:
            command = ["sh", "-c", f'ulimit -v {memory_bytes // 1024}; exec "$@"', "sh", *command]
        variables = {
            "PATH": "/usr/bin:/bin",
            "TZ": ":UTC",
            "LANG": "en_US.UTF-8",
            "PYTHONPATH": os.pathsep.join(map(str, code)),
            "LAMBDA_TASK_ROOT": str(code[0]),
            "AWS_LAMBDA_RUNTIME_API": api.address,
            "AWS_EXECUTION_ENV": "AWS_Lambda_python3.13",
            "CELERIAC_APPLICATION": "celeriac",
            "AWS_LAMBDA_FUNCTION_NAME": function,
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512",
            "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{function}",
            "AWS_LAMBDA_LOG_STREAM_NAME": "one",
            "AWS_LAMBDA_LOG_FORMAT": log_format,
            **({} if log_level is None else {"AWS_LAMBDA_LOG_LEVEL": log_level}),
            "_HANDLER": handler,
            "_LAMBDA_TELEMETRY_LOG_FD": str(log.fileno()),
            "AWS_REGION": "eu-west-1",
            "AWS_DEFAULT_REGION": "eu-west-1",
            "AWS_ACCESS_KEY_ID": "worker",
            "AWS_SECRET_ACCESS_KEY": "worker",
            **(environment or {}),
        }
        # One file for all that it writes: it never fills up, and keeps the order. Appended to, because the process and
        # its telemetry have their own positions in it.
        _append(log)
        process = subprocess.Popen(
            command,
            cwd=code[0],
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=[log.fileno()],
        )
        arn = f"arn:aws:lambda:eu-west-1:123456789012:function:{function}"
        try:
            yield Worker(process, api, log, arn)
        finally:
            process.kill()
            process.wait(LONGEST_STOP_SECONDS)


def _append(file: IO[bytes]) -> None:
    import fcntl  # noqa: PLC0415 - Windows has none, and imports this module to skip its tests

    flags = fcntl.fcntl(file.fileno(), fcntl.F_GETFL)
    fcntl.fcntl(file.fileno(), fcntl.F_SETFL, flags | os.O_APPEND)


def _events(written: bytes) -> Iterator[str]:
    at = 0
    while at < len(written):
        frame = _FRAME.match(written, at)
        if frame is not None:
            end = frame.end() + int.from_bytes(frame["length"])
            event, at = written[frame.end() : end], end
        else:
            line = _LINE.match(written, at)
            assert line is not None  # it matches an empty line too
            event, at = line[0], max(line.end(), at + 1)
        if text := event.decode(errors="replace").rstrip("\n"):
            yield text
