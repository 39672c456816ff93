"""Programs in processes of their own, and a server on this machine that says which connection a request came by."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from textwrap import dedent
from typing import Any

ROOT = Path(__file__).parents[2]

type Seen = tuple[str, str, int]
"""A request: its operation, its sender as the message's argument `who` says, and the port of its connection."""


class Server(ThreadingHTTPServer):
    """Speaks as much of SQS, DynamoDB and S3 as the programs need. SQS refuses every message of `child`."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, together: int) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.seen: list[Seen] = []
        self.meeting = threading.Barrier(together)
        """No message is answered before so many are here."""


class _Answers(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        operation = self.headers["X-Amz-Target"].rpartition(".")[2]
        who = json.loads(asked["MessageBody"]).get("args", {}).get("who", "") if operation == "SendMessage" else ""
        self.server.seen.append((operation, who, self.client_address[1]))
        if operation == "SendMessage":
            self.server.meeting.wait(20)
        answer: dict[str, Any] = {"MessageId": "m"}
        if operation == "GetQueueUrl":
            answer = {"QueueUrl": f"http://{self.headers['Host']}/000000000000/{asked['QueueName']}"}
        elif operation == "GetQueueAttributes":
            answer = {"Attributes": {}}
        elif operation == "GetItem":
            answer = {}
        elif who == "child":
            answer = {"__type": "com.amazonaws.sqs#InvalidMessageContents", "message": "refused"}
        body = json.dumps(answer).encode()
        self.send_response(400 if "__type" in answer else 200)
        self.send_header("Content-Type", "application/x-amz-json-1.0")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_PUT(self) -> None:
        """S3's PutObject."""
        self.rfile.read(int(self.headers["Content-Length"]))
        self.server.seen.append(("PutObject", "", self.client_address[1]))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name in the base class
        pass


@contextmanager
def _serving(together: int) -> Iterator[Server]:
    server = Server(together)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def run(program: str, *, together: int = 1) -> list[Seen]:
    """Run a program whose AWS is the server. Returns the requests that the server has seen.

    together: how many messages must be on their way at once; the server answers none of them before.
    """
    with _serving(together) as server:
        env = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")} | {
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "eu-west-1",
            "CELERIAC_STAGE": "test",
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}",
            "NO_PROXY": "127.0.0.1",
        }
        ended = subprocess.run(
            [sys.executable, "-c", dedent(program)],
            cwd=ROOT / "functions",
            env=env,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert ended.returncode == 0, ended.stderr
    return server.seen
