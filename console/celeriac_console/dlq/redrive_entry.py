"""The message that a dead letter becomes in a redrive."""

import hashlib
from collections.abc import Callable
from typing import Any

import msgspec

from celeriac.aws import sqs
from celeriac.aws.attributes import beside
from celeriac.dead_letters.dead_letter import DeadLetter, renew_payloads
from celeriac.declare import registry
from celeriac.enqueue.send import fitted
from celeriac.model.message import MalformedMessageError, NewerVersionError, decode
from celeriac.model.queue import MAX_MESSAGE_BYTES, Queue
from celeriac.model.settings import stage
from celeriac_console.application import by_name
from celeriac_console.dlq.queue_reader import Taken
from celeriac_console.dlq.same_arguments import same_arguments
from celeriac_console.terminal.errors import UserError

type Change = Callable[[DeadLetter], dict[str, Any]]
"""Returns the new arguments of a letter."""


def entry(taken: Taken, target: Queue, change: Change) -> sqs.Entry:
    """The message that a dead letter becomes.

    Raises InvalidArgumentsError for changed arguments that don't fit the task, and UserError for a letter that can't be
    sent as it is, or whose task is unknown.
    """
    message, letter = taken.message, taken.letter
    its = registry.tasks.get(letter.task)
    if its is not None and not its.runs_from(target):
        raise UserError(f"its task {its.name} doesn't run from {target.name}: redrive it with --to {its.queue.name}")
    changed = change(letter)
    is_same = same_arguments(changed, letter.args)
    if is_same and letter.missing:
        raise UserError(
            f"{letter.missing}; import an export that contains it, or give all arguments with --set or --edit"
        )
    # A redriven message starts anew. So it gets the sender's attributes, and not Celeriac's, which describe its past.
    attributes = beside(letter.attributes, {})
    room = MAX_MESSAGE_BYTES - sqs.Entry("", attributes=attributes).size
    body = _identified(letter, target, room) if is_same else _changed(letter, target, changed, room)
    group = message["Attributes"].get("MessageGroupId")
    return sqs.Entry(
        body,
        group=(group or taken.message_id) if target.fifo else group,
        # If the letter couldn't be deleted and is sent again within five minutes, SQS drops the second message.
        deduplication=_deduplication(taken, body, is_same=is_same) if target.fifo else None,
        attributes=attributes,
    )


def _deduplication(taken: Taken, body: str, *, is_same: bool) -> str:
    """Names the letter. With changed arguments it is another message, which SQS may not drop for the unchanged one."""
    return taken.message_id if is_same else f"{taken.message_id}.{hashlib.sha256(body.encode()).hexdigest()[:32]}"


def _identified(letter: DeadLetter, target: Queue, room: int) -> str:
    """The body unchanged, but a message without an id gets the letter's. Else each copy would be another task.

    Its payloads in S3 are renewed, if they might otherwise be deleted before the message ends.
    """
    name = target.physical_name(stage())
    try:
        message = decode(letter.body)
    except (MalformedMessageError, NewerVersionError):
        renew_payloads(name, letter.body)
        return letter.body
    if message.id and not message.stored:
        return letter.body
    return fitted(name, msgspec.structs.replace(message, id=letter.id), room)


def _changed(letter: DeadLetter, target: Queue, args: dict[str, Any], room: int) -> str:
    try:
        message = decode(letter.body)
    except (MalformedMessageError, NewerVersionError) as error:
        raise UserError("its body can't be read, so no argument of it can be changed") from error
    raw = msgspec.json.encode(args)
    signature = by_name.task(message.task).signature
    signature.named((), args)
    signature.decode(raw)
    changed = msgspec.structs.replace(message, id=letter.id, args=msgspec.Raw(raw), stored="")
    return fitted(target.physical_name(stage()), changed, min(target.max_body_bytes, room))
