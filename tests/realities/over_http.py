"""Lets another implementation answer the calls that a sandbox makes to one service. The others stay with moto.

The seam is where moto gets a request that boto3 has ready to send. So all above it is the same: the sandbox, its count
of calls and its faults, boto3's clients and their errors.
"""

import json
import re
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch
from urllib.parse import urlsplit

from botocore.awsrequest import AWSPreparedRequest
from botocore.httpsession import URLLib3Session
from moto.core.botocore_stubber import BotocoreStubber

# A sandbox replaces it, because a sandbox has no network.
_send = URLLib3Session.send
# Moto's account. LocalStack takes a key of twelve digits for the account.
_KEY = re.compile(r"Credential=[^/]*/")
ACCOUNT = "123456789012"


@dataclass(frozen=True)
class Exchange:
    """A request to the other implementation, and its answer."""

    operation: str
    request: Any
    answer: Any
    is_refused: bool


def _nothing(_: Any) -> None:
    return None


@contextmanager
def answered_by(
    endpoint: str,
    hosts: tuple[str, ...],
    count: Callable[[], None],
    *,
    before: Callable[[str, Any], object] = lambda _operation, _request: None,
    after: Callable[[Exchange], Any] = _nothing,
) -> Iterator[None]:
    """Send each request to a host that begins so, such as `dynamodb.`, to `endpoint` instead of moto.

    count: is called for each request.
    before: is told of each operation and its request.
    after: may return another answer.
    """
    # As boto3 makes its sessions. Otherwise each request waits 40 ms for an acknowledgement of its head.
    at_once: Any = [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)]
    session = URLLib3Session(timeout=30, max_pool_connections=200, socket_options=at_once)
    session_send: Any = _send
    ask_next = BotocoreStubber.process_request

    def process_request(stubber: BotocoreStubber, request: AWSPreparedRequest) -> Any:
        if not urlsplit(request.url).netloc.startswith(hosts):
            return ask_next(stubber, request)
        operation = _text(request.headers["X-Amz-Target"]).rpartition(".")[2]
        asked = json.loads(_text(request.body or "{}"))
        count()
        before(operation, asked)
        headers: Any = dict(request.headers.items())
        headers["Authorization"] = _KEY.sub(f"Credential={ACCOUNT}/", _text(headers["Authorization"]))
        # Its body is read whole here: `stream_output` is false.
        ours = AWSPreparedRequest(request.method, endpoint, headers, request.body, False)
        got = session_send(session, ours)
        body = got.content
        changed = after(Exchange(operation, asked, json.loads(body or b"{}"), got.status_code >= 400))
        return got.status_code, dict(got.headers), body if changed is None else json.dumps(changed).encode()

    with patch.object(BotocoreStubber, "process_request", process_request):
        yield


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
