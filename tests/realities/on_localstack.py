"""Sandboxes whose SQS is LocalStack's. Each one begins with no queues, and the server's clock is the sandbox's.

What the sandbox reads from moto itself, it reads from LocalStack itself here: what lies in a queue, and whether a
receive would find anything.

Two tests can't hold here. They rely on a rule of the sandbox: a message that a worker gives back stays hidden until
time moves on (tests/behaviour/test_blocked_loop.py, test_outages.py). SQS and LocalStack show it at once.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from unittest.mock import patch

import pytest

from celeriac.aws.client import client
from celeriac.testing import account
from celeriac.testing.deliveries import Deliveries
from tests.realities import sqs_server
from tests.realities.over_http import ACCOUNT, answered_by

HOSTS = ("sqs.",)
_create, _deliver = account.create, Deliveries.__init__


class _Queues:
    """The queues of the server, at the sandbox's time."""

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint
        self._now = 0.0

    def reset(self) -> None:
        sqs_server.reset(self._endpoint)

    def move_clock(self) -> None:
        now = time.time()
        if now != self._now:
            sqs_server.set_clock(self._endpoint, datetime.fromtimestamp(now, UTC))
            self._now = now

    def lying_in(self, url: str) -> list[sqs_server.Lying]:
        self.move_clock()
        return sqs_server.lying_in(self._endpoint, url.rpartition("/")[2])


@contextmanager
def on_localstack(count: Callable[[], None]) -> Iterator[None]:
    """In the block, every sandbox uses one LocalStack. `count` is called for each of its calls."""
    with sqs_server.sqs_server() as endpoint:
        queues = _Queues(endpoint)

        def create(stage: str, urls: account.Urls) -> None:
            queues.reset()
            _create(stage, urls)

        def make(urls: account.Urls, name: str, attributes: dict[str, str]) -> str:
            sqs = client("sqs")
            sqs.create_queue(QueueName=name, Attributes=attributes)  # type: ignore[arg-type]  # its names are literals
            urls[name] = f"{sqs.meta.endpoint_url}/{ACCOUNT}/{name}"
            return name

        def lying_in(url: str) -> list[dict[str, Any]]:
            return [
                {
                    "MessageId": message.id,
                    "Body": message.body,
                    "Attributes": {"SentTimestamp": message.attributes["SentTimestamp"]},
                    "MessageAttributes": message.message_attributes,
                }
                for message in queues.lying_in(url)
            ]

        with (
            answered_by(endpoint, HOSTS, count, before=lambda _operation, _request: queues.move_clock()),
            patch.object(account, "create", create),
            patch.object(account.Urls, "_make", make),
            patch.object(account, "lying_in", lying_in),
            patch.object(account, "holds_messages", lambda url: bool(queues.lying_in(url))),
            patch.object(account, "has_visible", lambda url: any(one.is_visible for one in queues.lying_in(url))),
            # LocalStack keeps the order of groups, and shows messages again, without help.
            patch.object(account, "lock_groups", _nothing),
            patch.object(account, "show_again", _nothing),
            patch.object(account, "queue", _nothing),
            patch.object(Deliveries, "__init__", _deliveries),
            patch.object(Deliveries, "reorder", _nothing),
            patch.object(Deliveries, "duplicate", _nothing),
        ):
            yield


def _nothing(*_: Any) -> None:
    """LocalStack needs nothing here."""


def _deliveries(self: Deliveries, *arguments: Any, **named: Any) -> None:
    if named.get("duplicates") or named.get("reorders"):
        pytest.skip("LocalStack delivers no copies and changes no order on demand")
    _deliver(self, *arguments, **named)
