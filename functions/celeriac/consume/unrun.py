"""Messages that don't run: of an unknown task, from a queue that isn't the task's, of a newer version, quarantined."""

from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec.structs import replace

from celeriac.consume.outcome import Dead, Outcome, Postponed
from celeriac.consume.received import Received, failure, overdue, waited
from celeriac.consume.sqs_record import of_newer, within_retention
from celeriac.declare import registry
from celeriac.declare.signature import UnknownArgumentError
from celeriac.declare.task import Task
from celeriac.model import lenient
from celeriac.model.failure import Failure
from celeriac.model.message import Message, NewerVersionError
from celeriac.model.queue import MAX_DELAY
from celeriac.model.reason import Reason
from celeriac.model.retry import Backoff


def unknown(message: Message, received: Received) -> Outcome:
    """The outcome of a message whose task this release doesn't have: it waits, or is a dead letter."""
    wanted = message.task.strip().rpartition(".")[2].casefold()
    near = next((f"did you mean {name}? " for name in registry.tasks if name.casefold() == wanted), "")
    error = LookupError(
        f"no task is named {message.task!r} here; {near}known are {', '.join(sorted(registry.tasks)) or 'none'}"
        f"{_broken_modules()}"
    )
    return _wait_or_die(Reason.UNKNOWN_TASK, error, message, received)


def misplaced(task: Task[..., Any, Any], message: Message, received: Received) -> Outcome:
    """The outcome of a message from a queue that its task doesn't run from: it waits, or is a dead letter.

    Who may send to one queue must not run the tasks of others. But a release that has moved the task here may send
    before this worker is replaced.
    """
    own = " and ".join(repr(queue.name) for queue in task.all_queues)
    error = LookupError(
        f"task {task.name!r} runs from {own}, and this message came from {received.queue.name!r}. If the task was "
        "moved, declare the old queue: @task(..., former_queues=[...])"
    )
    return _wait_or_die(Reason.WRONG_QUEUE, error, message, received)


def invalid(error: Exception, message: Message, received: Received) -> Outcome:
    """The outcome of a message whose arguments don't fit the task.

    A message waits if a newer release may have written it: it has an argument that is no parameter here, and its sender
    knows the format. A redriven one doesn't wait, because a person watches it.
    """
    may_be_newer = isinstance(error, UnknownArgumentError) and lenient.knows_the_format(received.sqs_record.body)
    if may_be_newer and message.failure is None:
        return _wait_or_die(Reason.MALFORMED, error, message, received)
    return Dead(message, failure(Reason.MALFORMED, error, unrun(message), received))


def newer(error: NewerVersionError, received: Received) -> Outcome:
    """The outcome of a message of a newer version: it waits, or is a dead letter."""
    received.sqs_record = within_retention(of_newer(received.sqs_record), received.queue)
    return _wait_or_die(Reason.NEWER_VERSION, error, None, received)


def _wait_or_die(reason: Reason, error: Exception, message: Message | None, received: Received) -> Outcome:
    """Postpone a message that a newer release may understand; at the end of the queue's patience, dead-letter it."""
    its_waits = waited(message, received.sqs_record) if message is not None else timedelta()
    age = datetime.now(UTC) - received.sqs_record.first_sent_at - its_waits
    if age <= received.queue.patience:
        if message is not None and message.waits_for:
            message = replace(message, waits_for="", waited=int(its_waits.total_seconds()))
        return Postponed(message, _wait(age), reason)
    origin = unrun(message) if message is not None else received.sqs_record
    return Dead(message, failure(reason, error, origin, received))


def _broken_modules() -> str:
    broken = registry.not_imported
    return f"; modules that could not be imported: {', '.join(sorted(broken))}" if broken else ""


def quarantined(what: str, message: Message, received: Received) -> Failure:
    """The failure of a message that an operator holds back."""
    error = LookupError(f"{what} is in quarantine: it wasn't run")
    return failure(Reason.QUARANTINED, error, unrun(message), received)


def too_late(message: Message, received: Received) -> Failure:
    """The failure of a FIFO message that SQS will delete soon."""
    queue = received.queue
    error = TimeoutError(
        f"it has waited since {received.sqs_record.sent_at:%Y-%m-%d %H:%M} UTC, and SQS deletes it after "
        f"{queue.retention}; it wasn't run, because the messages behind it would be deleted meanwhile: redrive it, or "
        f"raise the retention of the queue {queue.name!r}"
    )
    return failure(Reason.EXPIRED, error, unrun(message), received)


def waited_for_another(other: str, message: Message, received: Received) -> Failure:
    """The failure of a FIFO message that has waited for another one of its key as long as SQS lets it."""
    error = TimeoutError(
        f"it waits for the message {other} of its key, which isn't done, and has used up its receives or its time in "
        f"the queue {received.queue.name!r}. It wasn't run: redrive it when the other one has ended, or cancel that one"
    )
    return failure(Reason.EXPIRED, error, unrun(message), received)


def received_too_often(limit: str, message: Message, received: Received) -> Failure:
    """The failure of a FIFO message that has waited for a limit until SQS won't deliver it once more."""
    queue = received.queue
    error = TimeoutError(
        f"it waits for the limit {limit!r}, and was received {queue.receive_limit} times, the most of the queue "
        f"{queue.name!r}: each wait in its group is a receive. It wasn't run: redrive it, raise max_receives, or raise "
        "the limit"
    )
    return failure(Reason.EXPIRED, error, unrun(message), received)


def given_up(task: Task[..., Any, Any], message: Message, received: Received) -> Failure | None:
    """The failure of a message that comes later than its policy's `give_up_after`; None if it may run."""
    limit = task.policy.give_up_after if isinstance(task.policy, Backoff) else None
    late = overdue(message, received)
    if limit is None or late <= limit:
        return None
    error = TimeoutError(f"it was due {late} ago, and its policy gives up after {limit}: it wasn't run")
    return failure(Reason.EXPIRED, error, unrun(message), received)


def unrun(message: Message) -> Message:
    """The message with one attempt less, because the attempt that was due isn't made."""
    return replace(message, attempt=message.attempt - 1)


def _wait(age: timedelta) -> timedelta:
    """The wait before the next try: the message's age, so that it doubles each time and no attempt is charged."""
    return min(max(age, timedelta(minutes=1)), MAX_DELAY)
