"""Reads the arguments of a message, under the time limit."""

from datetime import timedelta
from typing import Any

import msgspec

from celeriac.aws import payloads
from celeriac.consume.received import Received
from celeriac.declare.signature import InvalidArgumentsError
from celeriac.declare.task import Task
from celeriac.execute.call import TaskCall, TaskCalls, TaskTimeoutError
from celeriac.model import lenient
from celeriac.model.aws_event import AwsEvent, is_id
from celeriac.model.errors import CeleriacError
from celeriac.model.message import MISPLACEABLE, Message
from celeriac.observe.running import RunInfo


class ReadingTimeoutError(CeleriacError):
    """The task's validators had not ended when the worker had no time left. The task was not started."""

    def __init__(self, limit: timedelta) -> None:
        super().__init__(
            f"reading its arguments was not over after {limit.total_seconds():.1f} s: look at its validators"
        )


def read_arguments(
    task: Task[..., Any, Any], message: Message, received: Received
) -> TaskCalls[tuple[bytes | msgspec.Raw, dict[str, Any]]]:
    """The arguments of the task, as JSON and as values.

    Raises InvalidArgumentsError, PayloadError, ReadingTimeoutError, and AWS's errors.
    """
    sqs_record = received.sqs_record
    is_loaded = not message.stored

    def read() -> tuple[bytes | msgspec.Raw, dict[str, Any]]:
        nonlocal is_loaded
        raw = payloads.load(sqs_record.queue_name, message.stored) if message.stored else message.args
        is_loaded = True
        if task.on_aws is not None:
            raw = without_missing(task, task.on_aws, message.id, raw)
        arguments = task.signature.decode(raw)
        refuse_misplaced(task, arguments, sqs_record.body)
        return raw, arguments

    if task.signature.is_plain and not message.stored:
        return read()
    # A validator of the user's, a regular expression or S3 may take long. The thread's watch cuts this off.
    its = RunInfo(task.name, message.id, message.attempt, received.worker.request_id)
    left = received.worker.left
    result, error = yield TaskCall(read, (), {}, left, its, left)
    if isinstance(error, TaskTimeoutError):
        if not is_loaded:
            raise TimeoutError("S3 has not answered in time") from error  # as any other error of AWS: it isn't charged
        raise ReadingTimeoutError(left) from error
    if error is not None:
        raise error
    found: tuple[bytes | msgspec.Raw, dict[str, Any]] = result
    return found


def without_missing(
    task: Task[..., Any, Any], event: AwsEvent, message_id: str, raw: bytes | msgspec.Raw
) -> bytes | msgspec.Raw:
    """The arguments of a message that EventBridge made, without those of paths that its event doesn't have.

    EventBridge writes an empty text there, so a text that is empty in the event is left out too. The parameter's
    default applies. Raises InvalidArgumentsError if it has none: the task would take the empty text for a value.
    """
    if not is_id(task.name, message_id):
        return raw
    try:
        arguments = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
    except msgspec.MsgspecError:
        return raw  # the signature says what is wrong
    missing = [name for name, value in arguments.items() if name in event.args and bytes(value) == b'""']
    for name in missing:
        if name in task.signature.fields and task.signature.is_required(name):
            raise InvalidArgumentsError(
                f"task {task.name!r}: the event of AWS has no {event.args[name]}, or an empty text there, so `{name}` "
                "has no value: give the parameter a default, or let the pattern match only events that have the field"
            )
        del arguments[name]
    return msgspec.json.encode(arguments) if missing else raw


def refuse_misplaced(task: Task[..., Any, Any], arguments: dict[str, Any], body: str) -> None:
    """Raise InvalidArgumentsError for arguments beside `args`: the task would run with its defaults instead."""
    missing = [name for name in task.signature.fields if name not in arguments]
    own = [name for name in Message.__struct_fields__ if name not in MISPLACEABLE]
    if missing and (misplaced := lenient.misplaced_args(body, missing, own)):
        raise InvalidArgumentsError(
            f"task {task.name!r}: its parameters {', '.join(misplaced)} stand beside `args`: write them into it"
        )
