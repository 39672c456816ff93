"""LocalStack's SQS, an implementation that has nothing in common with moto's.

Its clock can be set, so that delays and visibility timeouts run in virtual time.
"""

import json
from base64 import b64decode
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple
from urllib.request import Request, urlopen

from tests.realities.installed import SQS_PYTHON, why_no_sqs
from tests.realities.served import served
from tests.realities.sqs_serve import BASE64

_SERVE = Path(__file__).with_name("sqs_serve.py")


class Lying(NamedTuple):
    """A message that is in a queue."""

    id: str
    body: str
    attributes: dict[str, str]
    message_attributes: dict[str, Any]
    is_visible: bool
    """Whether it is neither delayed nor in flight."""


@contextmanager
def sqs_server() -> Iterator[str]:
    """Run an SQS without queues while the block runs. Yields its endpoint. Raises RuntimeError if it isn't installed.

    Its queues' URLs hold the endpoint. boto3 sends calls to its own endpoint, not to these URLs.
    """
    if why := why_no_sqs():
        raise RuntimeError(why)
    with served(_command, folder=_SERVE.parent, environment={"PATH": "/usr/bin:/bin"}) as endpoint:
        yield endpoint


def set_clock(endpoint: str, now: datetime | None) -> None:
    """Let the server's time stand still at `now`; None lets it go on in real time."""
    _ask(endpoint, "clock", {"now": None if now is None else now.timestamp()})


def lying_in(endpoint: str, queue: str) -> list[Lying]:
    """Every message of the queue with that name: visible, delayed and in flight. Nothing is received."""
    return [Lying(**message) for message in _ask(endpoint, "messages", {"queue": queue})]


def reset(endpoint: str) -> None:
    """Delete all queues."""
    _ask(endpoint, "reset", {})


def _ask(endpoint: str, what: str, arguments: dict[str, Any]) -> Any:
    request = Request(f"{endpoint}/_celeriac/{what}", json.dumps(arguments).encode())  # noqa: S310 - an http address
    with urlopen(request, timeout=30) as answer:  # noqa: S310 - see above
        return json.load(answer, object_hook=_value)


def _value(found: dict[str, Any]) -> Any:
    return b64decode(found[BASE64]) if found.keys() == {BASE64} else found


def _command(port: int) -> Sequence[str]:
    return (str(SQS_PYTHON), str(_SERVE), str(port))
