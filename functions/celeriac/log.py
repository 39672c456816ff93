"""Structured logs: Powertools' Logger. Ids, names and numbers only; never a payload, never an error's text."""

from hashlib import sha256
from typing import TYPE_CHECKING

from aws_lambda_powertools import Logger

from celeriac.message import Message
from celeriac.outcome import Dead, HandedBack, Outcome, Postponed, Retried, Succeeded
from celeriac.text import line

if TYPE_CHECKING:
    from celeriac.delivery import Delivery

# Named by POWERTOOLS_SERVICE_NAME, which the stacks set; POWERTOOLS_LOG_LEVEL may change its level.
logger = Logger()


def log_outcome(outcome: Outcome, message: Message | None, delivery: "Delivery", *, seconds: float) -> None:
    """One line for each attempt."""
    record, observed = delivery.record, delivery.observed
    fields: dict[str, object] = {
        "outcome": outcome.name,
        "queue": delivery.queue.name,
        # A stranger's words, where no task is known by them.
        "task": line(message.task) if message is not None else "",
        "id": line(message.id) if message is not None else record.message_id,
        "key_hash": key_hash(observed.key) if observed.key is not None else "",
        "attempt": _attempt(outcome, message),
        "milliseconds": round(seconds * 1000, 1),
        "request_id": delivery.worker.request_id,
    }
    if record.trace is not None:
        fields["trace"] = record.trace
    match outcome:
        case Dead(failure=failure):
            logger.error("task dead", extra=fields | {"reason": failure.reason, "error": failure.type})
        case Retried(delay=delay, error=error, charged=charged):
            uncharged = {} if charged else {"charged": False}
            seconds_to_wait = {"delay_seconds": delay.total_seconds()}
            logger.warning("task failed", extra=fields | seconds_to_wait | {"error": error} | uncharged)
        case HandedBack(why=why) | Postponed(why=why):
            logger.info("task handed back", extra=fields | {"why": why})
        case _:
            logger.info("task done", extra=fields)


def key_hash(key: str) -> str:
    """What the logs know of an idempotency key: a card or a person may be named in it."""
    return sha256(key.encode(errors="surrogatepass")).hexdigest()[:16]


def _attempt(outcome: Outcome, message: Message | None) -> int:
    """Where the message itself comes back, on a FIFO queue, it isn't the message that knows."""
    match outcome:
        case Succeeded(attempt=attempt):
            return attempt
        case Retried(successor=successor, charged=charged):
            return successor.attempt - 1 if charged else successor.attempt
        case Dead(failure=failure):
            return failure.attempts
        case _:
            return message.attempt if message is not None else 0
