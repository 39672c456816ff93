"""The decisions of the local payment provider. Pure, so that tests can be tables.

The provider simulates the difficulties of real providers: idempotency keys, declined cards, rate limits, outages, and
charges without an answer. The amount selects the behaviour, as test card numbers do at real providers.
"""

import json
from dataclasses import dataclass, field
from typing import Any

DECLINED = 402
BUSY = 429
UNAVAILABLE = 503
SILENT = 504
RETRY_AFTER_SECONDS = 1


@dataclass(frozen=True, slots=True)
class Response:
    """An answer, before it is sent."""

    status: int
    body: dict[str, Any]
    headers: dict[str, str] = field(default_factory=dict)
    silent: bool = False
    """Whether the answer is never sent, so that the caller doesn't learn the outcome."""


@dataclass(frozen=True, slots=True)
class Charge:
    """An entry of the ledger: a charge that was made."""

    id: str
    key: str
    order_id: str
    amount_cents: int


class Charges:
    """The ledger, and the answer for each idempotency key.

    The last three digits of `amount_cents` select the answer: 402 declined, 429 busy the first time, 503 unavailable
    the first time, 504 charged but silent the first time. Other amounts are charged. Not thread-safe: the server holds
    a lock.
    """

    def __init__(self) -> None:
        self.ledger: list[Charge] = []
        self._answers: dict[str, tuple[str, Response]] = {}
        self._turned_away: set[str] = set()

    def post(self, key: str | None, body: bytes) -> Response:
        """Answer `POST /charges`."""
        if not key:
            return _error(400, "an Idempotency-Key header is required")
        try:
            order = json.loads(body)
            amount, order_id = order["amount_cents"], order["order_id"]
        except (ValueError, TypeError, KeyError):
            return _error(400, "the body must be JSON with amount_cents and order_id")
        if type(amount) is not int or amount <= 0 or type(order_id) is not str:
            return _error(400, "amount_cents must be a positive integer and order_id a string")

        request = json.dumps([amount, order_id])
        if key in self._answers:
            answered, answer = self._answers[key]
            return answer if answered == request else _error(422, "this Idempotency-Key came with another body")

        case = amount % 1000
        first = key not in self._turned_away
        if case in {BUSY, UNAVAILABLE} and first:
            # Nothing was charged, so no answer is stored for the key, and the next request succeeds.
            self._turned_away.add(key)
            if case == BUSY:
                return _error(429, "too many requests", {"Retry-After": str(RETRY_AFTER_SECONDS)})
            return _error(503, "unavailable")
        if case == DECLINED:
            return self._answer(key, request, _error(402, "card_declined"))
        charge = Charge(f"ch_{len(self.ledger) + 1:06}", key, order_id, amount)
        self.ledger.append(charge)
        answer = self._answer(key, request, Response(201, {"id": charge.id}))
        return Response(answer.status, answer.body, silent=True) if case == SILENT else answer

    def _answer(self, key: str, request: str, answer: Response) -> Response:
        self._answers[key] = (request, answer)
        return answer


def _error(status: int, message: str, headers: dict[str, str] | None = None) -> Response:
    return Response(status, {"error": message}, headers or {})
