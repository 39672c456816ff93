"""A container of ECS is protected while it works on something long, and no longer."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

import pytest

from celeriac.worker.protection import Protection

asked: list[tuple[str, str, dict[str, Any]]] = []
answers: list[tuple[int, bytes]] = []


class Agent(BaseHTTPRequestHandler):
    """The agent's endpoint, with the answers of its documentation."""

    def do_PUT(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        asked.append((self.path, self.headers["Content-Type"], body))
        status, answer = answers.pop(0) if answers else (200, b'{"protection": {"ProtectionEnabled": true}}')
        self.send_response(status)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def agent(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    asked.clear()
    answers.clear()
    with HTTPServer(("127.0.0.1", 0), Agent) as server:
        Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        monkeypatch.setenv("ECS_AGENT_URI", f"http://127.0.0.1:{server.server_port}/api/1-2")
        yield
        server.shutdown()


def test_it_is_protected_from_its_first_heartbeat_to_the_end_of_its_batch(agent: None) -> None:
    protection = Protection()
    protection.end()
    assert asked == []  # a short task costs no call
    protection.begin(datetime.now(UTC) + timedelta(hours=3))
    protection.begin(datetime.now(UTC) + timedelta(hours=3))
    protection.end()
    protection.end()
    path = "/api/1-2/task-protection/v1/state"
    assert asked == [
        (path, "application/json", {"ProtectionEnabled": True, "ExpiresInMinutes": 181}),
        (path, "application/json", {"ProtectionEnabled": False}),
    ]


def test_what_the_agent_refuses_is_tried_again_and_harms_nothing(agent: None) -> None:
    protection = Protection()
    answers[:] = [
        (500, b'{"error": {"Code": "ServerException", "Message": "m"}}'),
        (200, b'{"failure": {"Reason": "DEPLOYMENT_BLOCKED"}}'),
        (502, b"<html>"),
    ]
    protection.begin(datetime.now(UTC) + timedelta(hours=3))
    protection.end()
    protection.end()
    protection.end()
    protection.end()
    assert [body["ProtectionEnabled"] for _, _, body in asked] == [True, False, False, False]


def test_without_an_agent_or_outside_of_ecs_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ECS_AGENT_URI", raising=False)
    Protection().begin(datetime.now(UTC))
    monkeypatch.setenv("ECS_AGENT_URI", "http://127.0.0.1:9")
    gone = Protection()
    gone.begin(datetime.now(UTC))
    gone.end()
