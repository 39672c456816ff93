"""Structured logs: Powertools' Logger. Our own lines hold ids, names and numbers only; never a payload, and an error's
text on the local cloud alone. What a task itself prints and logs is its own affair: it gets the task's name, its id and
the attempt added.
"""

import logging
import sys
from hashlib import sha256
from typing import TYPE_CHECKING

from aws_lambda_powertools import Logger
from aws_lambda_powertools.logging.formatter import LambdaPowertoolsFormatter

from celeriac import settings
from celeriac.failure import Failure
from celeriac.message import Message
from celeriac.outcome import Dead, HandedBack, Outcome, Postponed, Retried, Succeeded
from celeriac.printed import Printed
from celeriac.running import Run, current
from celeriac.text import line

if TYPE_CHECKING:
    from celeriac.delivery import Delivery

# Named by POWERTOOLS_SERVICE_NAME, which the stacks set; POWERTOOLS_LOG_LEVEL may change its level, and that of what
# tasks log. Lambda's filter by level reads no other form of time than RFC 3339.
logger = Logger(use_rfc3339=True, utc=True)
# What these log at lower levels are the requests that we make, payloads included.
OUR_LIBRARIES = ("aws_lambda_powertools", "boto3", "botocore", "s3transfer", "urllib3")


def tell_of_tasks() -> None:
    """Make every line that a task prints, or logs by Python's `logging`, a line of JSON that says which run it is of.

    Called once by the function that runs tasks, before it loads them: what they make of `sys.stdout` is then this.
    Lambda's own handler of the root logger gives way to one of the same form as `logger`'s: two would double each line.
    """
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(LambdaPowertoolsFormatter(use_rfc3339=True, utc=True, serialize_stacktrace=False))
    logging.basicConfig(handlers=[handler], level=logger.log_level, force=True)
    for name in OUR_LIBRARIES:
        logging.getLogger(name).setLevel(logging.WARNING)
    for each in (handler, *logger.handlers):
        each.addFilter(_add_run)
    logging.getLogger(logger.name).propagate = False
    sys.stdout, sys.stderr = Printed(sys.stdout, "stdout"), Printed(sys.stderr, "stderr")


def _add_run(record: logging.LogRecord) -> bool:
    """Add its logger and its run to `record`; what its author has given under a name of the run's goes beside it."""
    given = vars(record)
    given["taskName"] = None  # asyncio's, which says nothing
    if record.name != logger.name:
        given.setdefault("logger", record.name)
    run = current()
    if run is not None:
        for name, value in run.fields.items():
            if given.get(name, value) != value:
                given[f"extra_{name}"] = given[name]
            given[name] = value
    return True


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
            fields |= {"reason": failure.reason, "error": failure.type, **_text(failure)}
            logger.error("task dead", extra=fields)
        case Retried(delay=delay, error=error, failure=failure, charged=charged):
            fields |= {"delay_seconds": delay.total_seconds(), "error": error, **_text(failure)}
            logger.warning("task failed", extra=fields if charged else fields | {"charged": False})
        case HandedBack(why=why) | Postponed(why=why):
            logger.info("task handed back", extra=fields | {"why": why})
        case _:
            logger.info("task done", extra=fields)


def log_lost_worker(run: Run, queue: str, *, deaths_alone: int) -> None:
    """Log, once it is found, that the worker of an attempt has died; its invocation could tell nobody.

    `deaths_alone` of its workers died while they ran nothing else: these count against it.
    """
    logger.warning("worker lost", extra={"queue": queue, **run.fields, "deaths_alone": deaths_alone})


def _text(failure: Failure | None) -> dict[str, str]:
    """An error's text, which may quote the payload: only where payloads are a developer's own."""
    if failure is None or not settings.logs_error_texts():
        return {}
    return {"error_message": failure.message, "error_traceback": failure.traceback}


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
