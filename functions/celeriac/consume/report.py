"""The report of each attempt: a line in the log, and metrics by queue and by task."""

from collections import Counter, defaultdict
from datetime import timedelta
from threading import Lock

from aws_lambda_powertools.metrics import MetricUnit

from celeriac.consume.facts import Facts
from celeriac.consume.outcome import (
    Dead,
    Gathered,
    HandedBack,
    Outcome,
    Postponed,
    Retried,
    Skipped,
    Succeeded,
    Waiting,
)
from celeriac.consume.received import Received
from celeriac.declare import registry
from celeriac.declare.probe import is_probe
from celeriac.model import settings
from celeriac.model.failure import Failure
from celeriac.model.message import Message
from celeriac.model.queue import Queue
from celeriac.model.reason import Reason
from celeriac.observe import metrics
from celeriac.observe.log import logger
from celeriac.observe.metric_names import Metric
from celeriac.observe.running import RunInfo
from celeriac.observe.text import key_hash, line


def log_outcome(outcome: Outcome, message: Message | None, received: Received, *, seconds: float) -> None:
    """Log one line for each attempt."""
    sqs_record, facts = received.sqs_record, received.facts
    fields: dict[str, object] = {
        "outcome": outcome.name,
        "queue": received.queue.name,
        # If no task has this name, it is any text from the sender.
        "task": line(message.task) if message is not None else "",
        "id": line(message.id) if message is not None else sqs_record.message_id,
        "key_hash": key_hash(facts.key) if facts.key is not None else "",
        "attempt": attempt_of(outcome, message),
        "milliseconds": round(seconds * 1000, 1),
        "request_id": received.worker.request_id,
    }
    if sqs_record.trace is not None:
        fields["trace"] = sqs_record.trace
    match outcome:
        case Dead(failure=failure):
            fields |= {"reason": failure.reason, "error": failure.type, **_text(failure)}
            logger.error("task dead", extra=fields)
        case Retried(continues=True):
            logger.info("task goes on in another invocation", extra=fields)
        case Retried(delay=delay, error=error, failure=failure, charged=charged):
            fields |= {"delay_seconds": delay.total_seconds(), "error": error, **_text(failure)}
            logger.warning("task failed", extra=fields if charged else fields | {"charged": False})
        case HandedBack(why=why) | Postponed(why=why):
            logger.info("task handed back", extra=fields | {"why": why})
        case Waiting(limit=limit, delay=delay):
            logger.info("task waits", extra=fields | {"limit": line(limit), "delay_seconds": delay.total_seconds()})
        case _:
            logger.info("task done", extra=fields)


def log_lost_worker(run: RunInfo, queue: str, *, deaths_alone: int) -> None:
    """Log that the worker of an attempt has died. A later worker logs this: the dead one couldn't.

    `deaths_alone` is how many of its workers died while they ran nothing else. Only these count against the message.
    """
    logger.warning("worker lost", extra={"queue": queue, **run.fields, "deaths_alone": deaths_alone})


def log_lost_visitor(queue: str, message_id: str, *, deaths_alone: int) -> None:
    """Log that a worker has died before it knew the message's task. `message_id` is SQS's."""
    logger.warning("worker lost", extra={"queue": queue, "message_id": message_id, "deaths_alone": deaths_alone})


def log_mismatch(run: RunInfo, queue: str, key: str, *, of: str, had: str, has: str) -> None:
    """Log that a message's key was used before, with other arguments.

    of: the id of the message that used it. had, has: the hashes of its arguments, and of this message's.
    """
    extra = {"queue": queue, **run.fields, "key_hash": key_hash(key), "duplicate_of": line(of)}
    logger.warning("key used with other arguments", extra=extra | {"arguments_hash": has, "its_arguments_hash": had})


def _text(failure: Failure | None) -> dict[str, str]:
    """An error's text. It may quote the payload, so it is logged only where payloads are a developer's own."""
    if failure is None or not settings.logs_error_texts():
        return {}
    return {"error_message": failure.message, "error_traceback": failure.traceback}


def attempt_of(outcome: Outcome, message: Message | None) -> int:
    """The attempt's number. On a FIFO queue the same message is retried, so the message itself doesn't tell it."""
    match outcome:
        case Succeeded(attempt=attempt):
            return attempt
        case Retried(successor=successor, charged=charged):
            return successor.attempt - 1 if charged else successor.attempt
        case Dead(failure=failure):
            return failure.attempts
        case _:
            return message.attempt if message is not None else 0


UNPUBLISHED = "$LATEST"
"""What Lambda calls the version of a function that no alias points to."""
_SKIPPED: dict[str, Metric | None] = {
    "dead_copy": Metric.DEAD_COPY_SKIPPED,
    "test_event": Metric.TEST_EVENT,
    "missed": Metric.MISSED,
    "expired": Metric.EXPIRED,
    "superseded": Metric.SUPERSEDED,
    "tick": None,  # no work of its own
}


def counted(outcome: Outcome, facts: Facts) -> list[Metric]:
    """The metrics that an attempt counts in."""
    counts: list[Metric] = []
    if facts.is_mismatch:
        counts.append(Metric.KEY_MISMATCH)
    match outcome:
        case Succeeded():
            counts.append(Metric.SUCCEEDED)
        case Retried(continues=continues):
            counts.append(Metric.CONTINUED if continues else Metric.RETRIED)
        case Dead(failure=failure):
            counts.append(Metric.DEAD_LETTERED)
            if failure.reason == Reason.REJECTED:
                counts.append(Metric.REJECTED)
        case Skipped(why=why):
            if (metric := _SKIPPED.get(why, Metric.DUPLICATE)) is not None:
                counts.append(metric)
        case Gathered(is_tick=False):
            counts.append(Metric.GATHERED)
        case _:
            pass  # the message will be delivered again, and counts then
    return counts


def failed(outcome: Outcome, *, is_of_a_task: bool) -> bool | None:
    """Whether a release that ends most of its messages like this is broken; None if this says nothing about it.

    A task that raises `Retry` has decided so. What no task of this release is known for says nothing, because anybody
    who may send to the queue can write it; unless a module couldn't be imported, which is the release's fault.
    """
    match outcome:
        case Succeeded() | Retried(error="celeriac.Retry") | Retried(charged=False):
            return False
        case HandedBack():
            return True if outcome.is_denied else None
        case Dead(failure=Failure(reason=Reason.QUARANTINED)) | Skipped():
            return None
        case Dead() | Retried() | Postponed() if is_of_a_task or registry.not_imported:
            return True
        case _:
            return None


class Tally:
    """Counts what one invocation did with one queue's messages.

    version: the published version of the function, or $LATEST. Only a canary release publishes versions.
    """

    def __init__(self, version: str) -> None:
        self._lock = Lock()
        self._version = version
        self._failed: defaultdict[str, list[bool]] = defaultdict(list)
        self._held_up: timedelta | None = None
        self._waited = Counter[str]()
        self._counts: defaultdict[tuple[str, str], Counter[str]] = defaultdict(Counter)
        self._times: defaultdict[tuple[str, str], list[tuple[str, MetricUnit, float]]] = defaultdict(list)

    def add(self, queue: Queue, outcome: Outcome, facts: Facts, *, seconds: float) -> None:
        """Count an attempt that took `seconds`, from its claim to its settlement."""
        if is_probe(facts.task):
            return
        of_task = (queue.name, facts.task or metrics.UNKNOWN)
        has_failed = failed(outcome, is_of_a_task=facts.task is not None)
        with self._lock:
            if has_failed is not None:
                self._failed[queue.name].append(has_failed)
            self._counts[of_task].update(counted(outcome, facts))
            if limit := outcome.limit if isinstance(outcome, Waiting) else facts.throttled_by:
                self._waited[limit] += 1
            if facts.has_run:
                self._times[of_task].append((Metric.DURATION, MetricUnit.Milliseconds, seconds * 1000))
            if facts.age is not None:
                self._times[of_task].append((Metric.AGE_AT_START, MetricUnit.Seconds, facts.age.total_seconds()))

    def hold_up(self, age: timedelta) -> None:
        """Note how old a message is that is handed back because AWS refuses a call."""
        with self._lock:
            self._held_up = max(age, self._held_up or timedelta())

    def flush(self) -> None:
        """Write the counts since the last flush: one line for each task."""
        with self._lock:
            counts, self._counts = self._counts, defaultdict(Counter)
            times, self._times = self._times, defaultdict(list)
            ended, self._failed = self._failed, defaultdict(list)
            held_up, self._held_up = self._held_up, None
            waited, self._waited = self._waited, Counter[str]()
        if held_up is not None:
            metrics.write_held_up(held_up)
        metrics.write_waited(waited)
        for (queue, task), counter in counts.items():
            if counter:
                metrics.write(queue, task, counter, times[queue, task])
        if self._version != UNPUBLISHED:
            for queue, each in ended.items():
                metrics.write_of_version(queue, self._version, each)
