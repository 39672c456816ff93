"""The server that the sample tasks call: a payment provider and a receiver of webhooks, on 127.0.0.1 only.

`python -m celeriac_local.provider.server --port 4567` serves until it is stopped. A test runs one in its own process:

    with running_provider() as provider:
        urllib3.request("POST", f"{provider.url}/charges", headers={"Idempotency-Key": "k"}, json={...})
        assert [charge.order_id for charge in provider.charges] == ["o-1"]

charges.py and hooks.py decide the answers. This file only receives and sends.
"""

import argparse
import json
import select
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from celeriac_local.provider.charges import Charge, Charges, Response
from celeriac_local.provider.hooks import Delivery, Hooks

SILENCE_SECONDS = 10.0
"""The connection of a silent answer stays open for this time, unless the caller closes it first."""


class Provider(ThreadingHTTPServer):
    """The server. `port` 0 takes a free port. A short `silence_seconds` saves tests from waiting."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port: int = 0, *, silence_seconds: float = SILENCE_SECONDS) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.silence_seconds = silence_seconds
        self.lock = threading.Lock()
        self._charges = Charges()
        self._hooks = Hooks()

    @property
    def url(self) -> str:
        """The server's URL, without a slash at the end."""
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def charges(self) -> list[Charge]:
        """All charges so far."""
        with self.lock:
            return list(self._charges.ledger)

    @property
    def hooks(self) -> list[Delivery]:
        """All received webhooks, accepted or refused."""
        with self.lock:
            return list(self._hooks.received)

    def post(self, handler: BaseHTTPRequestHandler, body: bytes) -> Response:
        """Answer a POST."""
        with self.lock:
            if handler.path == "/charges":
                return self._charges.post(handler.headers.get("Idempotency-Key"), body)
            sent = {name.title(): value for name, value in handler.headers.items()}
            return self._hooks.post(handler.path, sent, body)


@contextmanager
def running_provider(port: int = 0, *, silence_seconds: float = SILENCE_SECONDS) -> Iterator[Provider]:
    """Serve in a thread of this process until the block ends."""
    with Provider(port, silence_seconds=silence_seconds) as provider:
        thread = threading.Thread(target=provider.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield provider
        finally:
            provider.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Provider
    timeout = 60

    def do_GET(self) -> None:
        shown: dict[str, Callable[[], list[Any]]] = {
            "/charges": lambda: [asdict(charge) for charge in self.server.charges],
            "/hooks": lambda: [asdict(delivery) for delivery in self.server.hooks],
        }
        if self.path in shown:
            self._send(200, shown[self.path]())
        else:
            self._send(404, {"error": "try /charges or /hooks"})

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        if len(body) < length:  # the sender died while sending: the request is incomplete
            self.close_connection = True
            return
        answer = self.server.post(self, body)
        if answer.silent:
            self._wait_for_the_caller_to_go()
            self.close_connection = True
            return
        self._send(answer.status, answer.body, answer.headers)

    def _wait_for_the_caller_to_go(self) -> None:
        """Wait until the caller closes the connection. It is then readable, but reading returns no bytes."""
        deadline = time.monotonic() + self.server.silence_seconds
        while (left := deadline - time.monotonic()) > 0:
            readable, _, _ = select.select([self.connection], [], [], left)
            try:
                gone = bool(readable) and not self.connection.recv(1024)
            except ConnectionError:
                gone = True
            if gone:
                return

    def _send(self, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
        content = b"" if status == HTTPStatus.NO_CONTENT else json.dumps(body).encode()
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        if status != HTTPStatus.NO_CONTENT:  # 204 has neither a body nor a Content-Length, by RFC 9110
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it
        """Log nothing: a line for each request would clutter the output of tests."""


def main() -> None:
    """Serve on the port of the command line until a signal ends the process."""
    parser = argparse.ArgumentParser(description="The local payment provider and receiver of webhooks.")
    parser.add_argument("--port", type=int, default=4567, help="on 127.0.0.1; 0 takes a free one")
    with Provider(parser.parse_args().port) as provider:
        print(f"provider on {provider.url}", flush=True)  # noqa: T201 - the log of this process
        provider.serve_forever()


if __name__ == "__main__":
    main()
