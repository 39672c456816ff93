"""Stands between a worker and AWS, counts the worker's calls, and can stop the worker at one of them.

The outside ledger is behind it too. So a worker can also be stopped at its task's call to a provider.
"""

import json
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import Any, Literal

from tests.kill.server import Handler, Server
from tests.kill.story import Story

OUTSIDE = "/outside"
# An answer comes from this machine. Only a backend that hangs takes longer.
BACKEND_SECONDS = 60
_NOT_PASSED_ON = {"connection", "transfer-encoding", "content-length", "date", "server", "keep-alive"}

type Side = Literal["before", "after"]


@dataclass(frozen=True, slots=True)
class Stop:
    """The worker is stopped at its n-th call: before it reaches AWS, or when AWS has carried it out."""

    call: int
    """From 1 on, over the worker's whole run."""
    side: Side


@dataclass(frozen=True, slots=True)
class Backends:
    """The endpoints of the servers on this machine, as `http://127.0.0.1:8000`."""

    dynamodb: str
    sqs: str


class Proxy(Server):
    """The proxy of one worker."""

    def __init__(
        self, worker: str, backends: Backends, story: Story, stop: Stop | None, stop_worker: Callable[[], bool]
    ) -> None:
        """stop_worker: stops the worker. It returns True when the call may go on, and False if the worker is dead."""
        super().__init__(_Handler)
        self.worker, self.backends, self.story = worker, backends, story
        self.calls: list[str] = []
        self.is_woken = False
        self.asks_for_more = False
        """Whether the worker was woken, has done what it had, and has polled its queue again: in vain."""
        self._stop, self._stop_worker = stop, stop_worker
        self._counting = threading.Lock()

    def count(self, name: str) -> int:
        with self._counting:
            self.calls.append(name)
            return len(self.calls)

    def goes_on(self, call: int, side: Side) -> bool:
        """Stop the worker here if it is to be. Returns whether the call goes on."""
        if side == "before" and self.is_woken and is_poll(self.calls[call - 1]):
            self.asks_for_more = True
            return False
        if self._stop != Stop(call, side):
            return True
        self.story.tell(self.worker, f"stops {side} call {call}, {self.calls[call - 1]}")
        return self._stop_worker()


class _Handler(Handler):
    server: Proxy

    def do_POST(self) -> None:  # noqa: N802 - the name in http.server
        body = self.rfile.read(int(self.headers["Content-Length"]))
        target = self.headers.get("X-Amz-Target", "")
        asked = json.loads(body)
        name = ledger_name(asked) if self.path == OUTSIDE else call_name(target, asked)
        call = self.server.count(name)
        if not self.server.goes_on(call, "before"):
            self.close_connection = True
            return
        status, headers, answer = self._charged(body) if self.path == OUTSIDE else self._passed_on(target, body)
        self.server.story.tell(self.server.worker, f"{call:2} {name}{_refusal(status, answer)}")
        if not self.server.goes_on(call, "after"):
            self.close_connection = True
            return
        with suppress(OSError):  # the worker has given up on this call, or is dead
            self.send_response(status)
            for header, value in headers.items():
                self.send_header(header, value)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

    def _charged(self, body: bytes) -> tuple[int, Mapping[str, str], bytes]:
        self.server.story.charge(self.server.worker, json.loads(body), is_late=self.server.is_woken)
        return 200, {}, b""

    def _passed_on(self, target: str, body: bytes) -> tuple[int, Mapping[str, str], bytes]:
        backends = self.server.backends
        endpoint = backends.dynamodb if target.startswith("DynamoDB") else backends.sqs
        connection = HTTPConnection(endpoint.rpartition("/")[2], timeout=BACKEND_SECONDS)
        try:
            headers = {name: value for name, value in self.headers.items() if name.lower() not in _NOT_PASSED_ON}
            connection.request("POST", self.path, body, headers)
            answer = connection.getresponse()
            content = answer.read()
            passed = {name: value for name, value in answer.getheaders() if name.lower() not in _NOT_PASSED_ON}
            return answer.status, passed, content
        finally:
            connection.close()


def ledger_name(entry: Mapping[str, Any]) -> str:
    """What the entry tells the ledger, as `charge pay`."""
    return f"{'end' if entry['ended'] else 'charge'} {entry['task']}"


def is_poll(name: str) -> bool:
    """Whether the call of that name asks a queue for messages."""
    return name.startswith("ReceiveMessage ")


def call_name(target: str, asked: Mapping[str, Any]) -> str:
    """The operation, and the tables or the queue, as `PutItem idempotency`."""
    return " ".join([target.rpartition(".")[2], *dict.fromkeys(_short(where) for where in _where(asked))])


def _where(asked: Mapping[str, Any]) -> list[str]:
    if "TransactItems" in asked:
        return [action["TableName"] for item in asked["TransactItems"] for action in item.values()]
    if "RequestItems" in asked:
        return list(asked["RequestItems"])
    return [asked.get("TableName") or asked.get("QueueName") or asked.get("QueueUrl", "")]


def _short(where: str) -> str:
    """A name without its stage: `celeriac-<stage>--<name>`."""
    return where.rpartition("/")[2].rpartition("--")[2]


def _refusal(status: int, answer: bytes) -> str:
    if status < 400:
        return ""
    try:
        return f": {json.loads(answer)['__type'].rpartition('#')[2]}"
    except (ValueError, KeyError):
        return f": {status}"
