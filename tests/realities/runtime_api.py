"""A small Lambda Runtime API: it hands invocations to a worker's runtime client and takes the worker's answers.

https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
"""

import json
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, InvalidStateError
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import SimpleQueue
from threading import Event, Thread
from typing import Any
from uuid import uuid4

VERSION = "/2018-06-01/runtime"


@dataclass(frozen=True, slots=True)
class Answered:
    """The handler has returned."""

    value: Any


@dataclass(frozen=True, slots=True)
class Failed:
    """The handler has raised, or the module couldn't be loaded."""

    error: Mapping[str, Any]
    """`errorType`, `errorMessage`, `stackTrace`."""


@dataclass(frozen=True, slots=True)
class Died:
    """The process has ended without an answer."""

    status: int
    """Its exit status; negative for the signal that killed it."""
    timed_out: bool = False
    """Whether it was killed because its time was over, as Lambda does."""


type Result = Answered | Failed | Died


@dataclass(frozen=True, slots=True)
class Invocation:
    """An event, and where its result arrives."""

    event: Any
    deadline: datetime
    function_arn: str
    request_id: str = field(default_factory=lambda: str(uuid4()))
    result: Future[Result] = field(default_factory=Future)

    def settle(self, result: Result) -> None:
        """The first result counts."""
        with suppress(InvalidStateError):
            self.result.set_result(result)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False  # the thread that waits for an invocation never ends

    def handle_error(self, *_: Any) -> None:
        """A killed worker resets its connection."""


class RuntimeApi:
    """The API for one worker."""

    def __init__(self, address: str) -> None:
        self.address = address
        """Host and port: the value of AWS_LAMBDA_RUNTIME_API."""
        self.is_idle = Event()
        """Set while the worker waits for its next invocation."""
        self.init_error: Failed | None = None
        """Why the worker's module couldn't be loaded."""
        self._waiting: SimpleQueue[Invocation] = SimpleQueue()
        self._running: dict[str, Invocation] = {}

    def give(self, invocation: Invocation) -> None:
        """Let the worker run this as soon as it asks for its next invocation."""
        self.is_idle.clear()
        self._waiting.put(invocation)

    def next(self) -> Invocation:
        """The next invocation; waits for it."""
        if self._waiting.empty():
            self.is_idle.set()
        invocation = self._waiting.get()
        self._running[invocation.request_id] = invocation
        return invocation

    def take(self, path: str, body: Any) -> None:
        """What a worker posts to a path below the version."""
        match path.strip("/").split("/"):
            case ["init", "error"]:
                self.init_error = Failed(body)
            case ["invocation", request_id, "response"]:
                self._running.pop(request_id).settle(Answered(body))
            case ["invocation", request_id, "error"]:
                self._running.pop(request_id).settle(Failed(body))


@contextmanager
def runtime_api() -> Iterator[RuntimeApi]:
    """Serve the API for one worker on a free port of 127.0.0.1."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            invocation = api.next()
            headers = {
                "Lambda-Runtime-Aws-Request-Id": invocation.request_id,
                "Lambda-Runtime-Deadline-Ms": str(int(invocation.deadline.timestamp() * 1000)),
                "Lambda-Runtime-Invoked-Function-Arn": invocation.function_arn,
                "Lambda-Runtime-Trace-Id": f"Root=1-{int(datetime.now(UTC).timestamp()):x}-{'0' * 24};Sampled=0",
            }
            self._send(200, json.dumps(invocation.event).encode(), headers)

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])) or b"null")
            api.take(self.path.removeprefix(VERSION), body)
            self._send(202, b"{}", {})

        def _send(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
            with suppress(ConnectionError):  # the worker was killed meanwhile
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name in the base class
            """Print nothing."""

    server = _Server(("127.0.0.1", 0), Handler)
    api = RuntimeApi(f"127.0.0.1:{server.server_port}")
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield api
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def deadline(timeout: timedelta) -> datetime:
    """The end of an invocation that begins now."""
    return datetime.now(UTC) + timeout
