"""One message's run, from its body to its outcome. Nothing is sent from here."""

import inspect
from collections.abc import Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from msgspec.structs import replace

from celeriac import lease, payloads, registry
from celeriac.context import Context
from celeriac.failure import Failure, error_message, error_traceback, error_type
from celeriac.log import logger
from celeriac.message import Malformed, Message, NewerVersion, decode
from celeriac.outcome import Dead, Duplicate, HandedBack, Outcome, Retried, Succeeded
from celeriac.queue import MAX_DELAY, Queue
from celeriac.record import Record
from celeriac.retry import Again
from celeriac.signature import InvalidArgs
from celeriac.task import Task

# A task of another release than the consumer's: a deploy is under way, or was rolled back. Wait for it for a day.
UNKNOWN_TASK_PATIENCE = timedelta(days=1)
# What a task may end with. All other BaseExceptions are the interpreter's own, and end the worker.
TASK_ERRORS = (Exception, SystemExit, KeyboardInterrupt, GeneratorExit)
# Left of the function's time when its last task must be over: enough to record, send and log.
MARGIN = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Worker:
    """The invocation that runs a message."""

    function: str
    request_id: str
    deadline: datetime
    """When Lambda will stop it."""


def run(record: Record, queue: Queue, worker: Worker) -> tuple[Message | None, Outcome]:
    """Decode, look up, validate, run, and say how it ended; the message is None where the body can't be read.

    Raises only what AWS raised on the way (the store of leases or payloads is out of reach): the message then
    goes back, uncharged.
    """
    try:
        message = _identified(decode(record.body), record, queue)
    except Malformed as error:
        return None, Dead(None, _failure("malformed", error, record, worker))
    except NewerVersion as error:
        return None, HandedBack(str(error))
    return message, _run(message, record, queue, worker)


def _run(message: Message, record: Record, queue: Queue, worker: Worker) -> Outcome:
    task = registry.tasks.get(message.task)
    if task is None:
        return _unknown(message, worker)
    try:
        raw = payloads.load(record.queue_name, message.stored) if message.stored else message.args
        arguments = task.signature.decode(raw)
    except (InvalidArgs, payloads.PayloadGone) as error:
        return Dead(message, _failure("malformed", error, message, worker))
    if datetime.now(UTC) + (task.timeout or MARGIN) > worker.deadline:
        return HandedBack("no time left in this invocation", datetime.now(UTC))
    return _attempt(task, message, arguments, queue, worker)


def _attempt(
    task: Task[..., Any, Any], message: Message, arguments: dict[str, Any], queue: Queue, worker: Worker
) -> Outcome:
    key = task.key_of(arguments, message)
    held: lease.Lease | None = None
    if task.delivery != "at_least_once":
        try:
            held = lease.claim(task.name, key, until=worker.deadline, retention=queue.record_retention)
        except lease.AlreadyDone:
            return Duplicate()
        except lease.Busy as busy:
            return HandedBack("another worker is at it", busy.until)
    context = Context(message.id, key, task.name, message.attempt, worker.deadline, held)
    try:
        try:
            result = _call(task, context, arguments)
        except lease.LeaseLost:
            raise
        except TASK_ERRORS as error:
            if held is not None and held.committed:
                # Its effects are there and its success is recorded: to run it again would double them.
                logger.error("raised after its transaction", extra={"task": task.name, "error": error_type(error)})
                return Succeeded()
            if held is not None:
                held.release(error)
            return _failed(task, message, error, worker)
        if held is not None and not held.committed:
            held.complete(_storable(task, result))
    except lease.LeaseLost:
        return HandedBack("its lease ran out, another worker has taken over")
    return Succeeded()


def _call(task: Task[..., Any, Any], context: Context, arguments: dict[str, Any]) -> Any:
    args = (context,) if task.signature.takes_context else ()
    result = task.function(*args, **arguments)
    return _finish(result) if inspect.iscoroutine(result) else result


def _finish(coroutine: Coroutine[Any, Any, Any]) -> Any:
    # Imported here because it costs a cold start 17 ms, and most workers run sync tasks only.
    import asyncio  # noqa: PLC0415

    try:
        return asyncio.run(coroutine)
    except asyncio.CancelledError as error:
        raise RuntimeError("the task was cancelled") from error


def _failed(task: Task[..., Any, Any], message: Message, error: BaseException, worker: Worker) -> Outcome:
    age = datetime.now(UTC) - (message.enqueued_at or datetime.now(UTC))
    decision = task.policy.decide(error, attempt=message.attempt, age=age)
    if isinstance(decision, Again):
        return Retried(replace(message, attempt=message.attempt + 1), decision.delay, error_type(error))
    return Dead(message, _failure(decision.reason, error, message, worker))


def _unknown(message: Message, worker: Worker) -> Outcome:
    age = datetime.now(UTC) - (message.enqueued_at or datetime.now(UTC))
    error = LookupError(
        f"no task is named {message.task!r} here; known are {', '.join(sorted(registry.tasks)) or 'none'}"
    )
    if age > UNKNOWN_TASK_PATIENCE:
        return Dead(message, _failure("unknown task", error, replace(message, attempt=0), worker))
    # Doubling by age, so that no attempt of the task's own is charged.
    return Retried(message, min(max(age, timedelta(minutes=1)), MAX_DELAY), error_type(error))


def _identified(message: Message, record: Record, queue: Queue) -> Message:
    """A message written by hand has no id and no date: SQS's own serve, and stay with it from here on."""
    return replace(
        message,
        id=message.id or record.message_id,
        enqueued_at=message.enqueued_at or record.sent_at,
        # On a FIFO queue the message itself comes back, so that SQS counts for us.
        attempt=record.receives if queue.fifo else message.attempt,
    )


def _failure(reason: str, error: BaseException, origin: Message | Record, worker: Worker) -> Failure:
    return Failure(
        reason=reason,
        type=error_type(error),
        message=error_message(error),
        traceback=error_traceback(error),
        attempts=origin.attempt if isinstance(origin, Message) else 0,
        first_at=origin.enqueued_at if isinstance(origin, Message) else origin.sent_at,
        last_at=datetime.now(UTC),
        function=worker.function,
        request_id=worker.request_id,
    )


def _storable(task: Task[..., Any, Any], result: Any) -> Any:
    """`result` as JSON types. What has no JSON form is left out, loudly: the work is done and must not be repeated."""
    try:
        encoded = msgspec.json.encode(result)
    except (TypeError, ValueError, RecursionError) as error:
        logger.error("its result has no JSON form", extra={"task": task.name, "error": error_type(error)})
        return None
    if len(encoded) > lease.RESULT_BYTES:
        logger.error("its result is too large to keep", extra={"task": task.name, "bytes": len(encoded)})
        return None
    return msgspec.json.decode(encoded)
