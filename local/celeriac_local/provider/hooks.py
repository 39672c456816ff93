"""The decisions of the local receiver of webhooks. Pure, like charges.py. The path selects the answer."""

from collections.abc import Mapping
from dataclasses import dataclass

from celeriac_local.provider.charges import RETRY_AFTER_SECONDS, Response

SIGNED = ("Webhook-Id", "Webhook-Timestamp", "Webhook-Signature")
_FIRST_REFUSAL = {
    "/hooks/flaky": Response(503, {"error": "unavailable"}),
    "/hooks/busy": Response(429, {"error": "too many requests"}, {"Retry-After": str(RETRY_AFTER_SECONDS)}),
}


@dataclass(frozen=True, slots=True)
class Delivery:
    """A received webhook, accepted or refused."""

    path: str
    headers: dict[str, str]
    """The headers of `SIGNED` that were sent."""
    body: str
    status: int
    """The status code of the answer."""


class Hooks:
    """The receiver: answers webhooks and keeps them.

    `/hooks/ok` accepts every webhook and `/hooks/gone` refuses every one. `/hooks/flaky` and `/hooks/busy` refuse the
    first request of each `Webhook-Id` and accept later ones. Not thread-safe: the server holds a lock.
    """

    def __init__(self) -> None:
        self.received: list[Delivery] = []
        self._refused: set[tuple[str, str]] = set()

    def post(self, path: str, headers: Mapping[str, str], body: bytes) -> Response:
        """Answer `POST /hooks/...`, and keep the webhook."""
        answer = self._decide(path, headers.get("Webhook-Id") or "")
        signed = {name: headers[name] for name in SIGNED if name in headers}
        self.received.append(Delivery(path, signed, body.decode(errors="replace"), answer.status))
        return answer

    def _decide(self, path: str, delivery_id: str) -> Response:
        if path == "/hooks/ok":
            return Response(204, {})
        if path == "/hooks/gone":
            return Response(410, {"error": "gone"})
        if path not in _FIRST_REFUSAL:
            return Response(404, {"error": "no such hook"})
        if (path, delivery_id) in self._refused:
            return Response(204, {})
        self._refused.add((path, delivery_id))
        return _FIRST_REFUSAL[path]
