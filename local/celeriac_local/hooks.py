"""What the local receiver of webhooks decides: pure, like `celeriac_local.charges`. The path chooses how it behaves."""

from collections.abc import Mapping
from dataclasses import dataclass

from celeriac_local.charges import RETRY_AFTER_SECONDS, Response

SIGNED = ("Webhook-Id", "Webhook-Timestamp", "Webhook-Signature")
_FIRST_REFUSAL = {
    "/hooks/flaky": Response(503, {"error": "unavailable"}),
    "/hooks/busy": Response(429, {"error": "too many requests"}, {"Retry-After": str(RETRY_AFTER_SECONDS)}),
}


@dataclass(frozen=True, slots=True)
class Delivery:
    """A webhook as it arrived, accepted or not."""

    path: str
    headers: dict[str, str]
    """Those of `SIGNED` that were sent."""
    body: str
    status: int
    """What it was answered with."""


class Hooks:
    """`/hooks/ok` accepts, `/hooks/gone` never does, `/hooks/flaky` and `/hooks/busy` do from the second time on.

    Times are counted for each `Webhook-Id`. Not thread-safe: the server holds a lock.
    """

    def __init__(self) -> None:
        self.received: list[Delivery] = []
        self._refused: set[tuple[str, str]] = set()

    def post(self, path: str, headers: Mapping[str, str], body: bytes) -> Response:
        """Answer `POST /hooks/...`, and keep what came."""
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
