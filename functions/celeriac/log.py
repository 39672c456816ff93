"""Structured logs: Powertools' Logger. Ids, names and numbers only; never a payload, never an error's text."""

from aws_lambda_powertools import Logger

from celeriac.message import Message
from celeriac.outcome import Dead, HandedBack, Outcome, Postponed, Retried, Succeeded
from celeriac.queue import Queue
from celeriac.record import Record

# Named by POWERTOOLS_SERVICE_NAME, which the stacks set; POWERTOOLS_LOG_LEVEL may change its level.
logger = Logger()


def log_outcome(outcome: Outcome, message: Message | None, record: Record, queue: Queue, *, seconds: float) -> None:
    """One line for each attempt."""
    fields: dict[str, object] = {
        "outcome": outcome.name,
        "queue": queue.name,
        "task": message.task if message is not None else "",
        "id": message.id if message is not None else record.message_id,
        "attempt": _attempt(outcome, message),
        "milliseconds": round(seconds * 1000, 1),
    }
    match outcome:
        case Dead(failure=failure):
            logger.error("task dead", extra=fields | {"reason": failure.reason, "error": failure.type})
        case Retried(delay=delay, error=error):
            logger.warning("task failed", extra=fields | {"delay_seconds": delay.total_seconds(), "error": error})
        case HandedBack(why=why) | Postponed(why=why):
            logger.info("task handed back", extra=fields | {"why": why})
        case _:
            logger.info("task done", extra=fields)


def _attempt(outcome: Outcome, message: Message | None) -> int:
    """Where the message itself comes back, on a FIFO queue, it isn't the message that knows."""
    match outcome:
        case Succeeded(attempt=attempt):
            return attempt
        case Retried(successor=successor):
            return successor.attempt - 1
        case Dead(failure=failure):
            return failure.attempts
        case _:
            return message.attempt if message is not None else 0
