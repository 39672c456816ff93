"""Serves LocalStack's SQS with two patches. Runs in an environment of its own, see `sqs_server.py`.

- FIFO groups. LocalStack delivers a visible message that lies behind one in flight. SQS holds back everything behind a
  message in flight in its group, and delivers what lies before it. LocalStack's own snapshot against AWS of 2025-11-19
  shows that. LocalStack also returns messages to their queue late, once a second, and those of a FIFO queue only after
  all that were received before them.
- The clock. It can be set, so delays, visibility timeouts and retention pass in virtual time.

Addresses for tests, all POST with JSON: `/_celeriac/clock`, `/_celeriac/messages`, `/_celeriac/reset`.
"""

import heapq
import json
import logging
import os
import sys
import time
from base64 import b64encode
from collections import defaultdict
from collections.abc import Callable, Iterable
from itertools import count
from typing import Any

# The key of a binary value in JSON.
BASE64 = "base64"

type Wsgi = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

# Rounding may make a time earlier than its sum. In virtual time the clock stands exactly at the end of a delay.
_TOLERANCE_SECONDS = 0.0001
_POLL_SECONDS = 0.02


class Clock:
    """Replaces the module `time` in LocalStack's SQS."""

    def __init__(self) -> None:
        self.now: float | None = None
        """Seconds since 1970 at which the time stands still; None for real time."""

    def time(self) -> float:
        return time.time() if self.now is None else self.now

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)


clock = Clock()


def _install() -> None:
    """Patch LocalStack. Its modules are installed in this environment only."""
    from localstack.services.sqs import (  # type: ignore[import-not-found]  # noqa: PLC0415
        models,
        provider,
        utils,
    )

    for module in (models, provider, utils):
        module.time = clock
    # SentTimestamp is written with it, in milliseconds.
    provider.now = models.now = lambda millis=False, **_: int(clock.time() * (1000 if millis else 1))
    make, numbers = models.SqsMessage.__init__, count()

    def made(self: Any, *arguments: Any, **named: Any) -> None:
        make(self, *arguments, **named)
        self.number = next(numbers)

    # Messages of one instant would have no order.
    models.SqsMessage.__init__ = made
    models.SqsMessage.__lt__ = lambda self, other: (self.priority, self.number) < (other.priority, other.number)
    models.SqsMessage.is_visible = property(lambda self: _is_over(self.visibility_deadline))
    # LocalStack delays a message still at the very end of its delay.
    models.SqsMessage.is_delayed = property(lambda self: not _is_over(self.created + (self.delay_seconds or 0)))

    standard, fifo = models.StandardQueue.receive, models.FifoQueue.receive
    models.FifoQueue.requeue_inflight_messages = models.SqsQueue.requeue_inflight_messages

    def receive_from_group(self: Any, most: int, _: Any, visibility_timeout: int | None, **named: Any) -> Any:
        with self.mutex:
            held = _hold_back(self)
            try:
                return fifo(self, most, 0, visibility_timeout, **named)
            finally:
                _give_back(self, held)

    def receive_now(self: Any, most: int, _: Any, visibility_timeout: int | None, **named: Any) -> Any:
        return standard(self, most, 0, visibility_timeout, **named)

    models.FifoQueue.receive = _up_to_date(receive_from_group)
    models.StandardQueue.receive = _up_to_date(receive_now)


def _is_over(until: float | None) -> bool:
    return until is None or clock.time() + _TOLERANCE_SECONDS >= until


def _up_to_date(receive: Callable[..., Any]) -> Callable[..., Any]:
    """Return to the queue what is due, then receive; again and again for as long as a long poll lasts."""

    def received(
        self: Any,
        num_messages: int = 1,
        wait_time_seconds: int | None = None,
        visibility_timeout: int | None = None,
        **named: Any,
    ) -> Any:
        ends_at = time.monotonic() + (wait_time_seconds or 0)
        while True:
            self.requeue_inflight_messages()
            self.enqueue_delayed_messages()
            result = receive(self, num_messages, 0, visibility_timeout, **named)
            if result.successful or result.dead_letter_messages or time.monotonic() >= ends_at:
                return result
            time.sleep(_POLL_SECONDS)

    return received


def _hold_back(queue: Any) -> dict[Any, list[Any]]:
    """Take out of the FIFO groups what lies behind a message in flight."""
    first: dict[str, int] = {}
    for message in queue.inflight:
        first[message.message_group_id] = min(first.get(message.message_group_id, message.number), message.number)
    held: dict[Any, list[Any]] = defaultdict(list)
    for group in queue.message_groups.values():
        if group.message_group_id in first:
            free: list[Any] = []
            for message in group.messages:
                is_behind = message.number > first[group.message_group_id]
                (held[group] if is_behind else free).append(message)
            group.messages[:] = free
            heapq.heapify(group.messages)
    return held


def _give_back(queue: Any, held: dict[Any, list[Any]]) -> None:
    """Put these messages into their groups again. They wait until nothing of their group is in flight."""
    for group, messages in held.items():
        for message in messages:
            heapq.heappush(group.messages, message)
        if group not in queue.message_group_queue.queue:
            queue.inflight_groups.add(group)


def _messages(queue: Any) -> list[dict[str, Any]]:
    with queue.mutex:
        queue.requeue_inflight_messages()
        queue.enqueue_delayed_messages()
        if hasattr(queue, "message_groups"):
            waiting = [message for group in queue.message_groups.values() for message in group.messages]
        else:
            waiting = list(queue.visible.queue)
        hidden = [*queue.delayed, *queue.inflight]
        return [
            {
                "id": message.message_id,
                "body": message.message["Body"],
                "attributes": message.message["Attributes"],
                "message_attributes": message.message.get("MessageAttributes") or {},
                "is_visible": message not in hidden,
            }
            for message in sorted([*waiting, *hidden], key=lambda message: message.created)
            if not message.deleted
        ]


def _answer(what: str, arguments: dict[str, Any]) -> Any:
    from localstack.services.sqs.models import sqs_stores  # type: ignore[import-not-found]  # noqa: PLC0415

    queues = {queue.name: queue for _, _, store in sqs_stores.iter_stores() for queue in store.queues.values()}
    match what:
        case "clock":
            clock.now = arguments["now"]
            for queue in queues.values():
                queue.requeue_inflight_messages()
                queue.enqueue_delayed_messages()
                queue.remove_expired_messages()
        case "messages":
            queue = queues.get(arguments["queue"])
            return [] if queue is None else _messages(queue)
        case "reset":
            sqs_stores.reset()
    return None


def _in_json(binary: bytes) -> dict[str, str]:
    return {BASE64: b64encode(binary).decode()}


def _with_addresses_for_tests(localstack: Wsgi) -> Wsgi:
    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        _, ours, what = environ["PATH_INFO"].partition("/_celeriac/")
        if not ours:
            return localstack(environ, start_response)
        arguments = json.loads(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))
        answer = json.dumps(
            _answer(what, arguments), default=lambda value: {BASE64: b64encode(value).decode()}
        ).encode()
        start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(answer)))])
        return [answer]

    return app


def main() -> None:
    """Patch LocalStack, and serve at the port that the command line names."""
    port = int(sys.argv[1])
    os.environ |= {
        # The host in the queues' URLs.
        "LOCALSTACK_HOST": f"127.0.0.1:{port}",
        "SQS_ENDPOINT_STRATEGY": "off",
        "SQS_ENABLE_MESSAGE_RETENTION_PERIOD": "1",
        "SQS_DISABLE_CLOUDWATCH_METRICS": "1",
        "DISABLE_EVENTS": "1",
        "SKIP_SSL_CERT_DOWNLOAD": "1",
        "EAGER_SERVICE_LOADING": "0",
    }
    from localstack.aws.app import LocalstackAwsGateway  # type: ignore[import-not-found]  # noqa: PLC0415
    from localstack.aws.serving.werkzeug import (  # type: ignore[import-not-found]  # noqa: PLC0415
        CustomWSGIRequestHandler,
    )
    from rolo.gateway.wsgi import WsgiGateway  # type: ignore[import-not-found]  # noqa: PLC0415
    from werkzeug.serving import ThreadedWSGIServer  # noqa: PLC0415

    _install()
    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # not a line for each call
    # boto3 keeps its connections.
    CustomWSGIRequestHandler.protocol_version = "HTTP/1.1"
    app = _with_addresses_for_tests(WsgiGateway(LocalstackAwsGateway()))
    ThreadedWSGIServer("127.0.0.1", port, app, handler=CustomWSGIRequestHandler).serve_forever()


if __name__ == "__main__":
    main()
