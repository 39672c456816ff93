"""What follows a message that has ended: the next step of its chain, and the report to its batch.

It is done after the record is written and before the message is acknowledged. If AWS refuses it, SQS delivers the
message again, its record says how it has ended, and the copy does the same once more.
"""

from contextlib import suppress

import msgspec
from msgspec import Struct

from celeriac.compose import callbacks, successor
from celeriac.consume.outcome import Dead, Outcome, Skipped, Succeeded
from celeriac.consume.received import Received, failure
from celeriac.declare.reference import Reference
from celeriac.model.failure import error_type
from celeriac.model.following import OfBatch
from celeriac.model.message import Message
from celeriac.model.reason import Reason
from celeriac.observe.log import logger

_ENDS = frozenset({"dead_copy", "cancelled", "expired", "missed"})
"""Why messages are skipped that don't run any more, and haven't succeeded."""


def before_settling(outcome: Outcome, message: Message | None, received: Received) -> Outcome:
    """Let follow what follows a success. Returns the outcome: a dead letter, if the chain can't go on.

    Raises AWS's errors: the message isn't acknowledged then.
    """
    its = received.follows
    if its is None or message is None:
        return outcome
    if isinstance(outcome, Succeeded) or (isinstance(outcome, Skipped) and its.is_done):
        if message.chain is not None:
            try:
                successor.send_next(message.chain, its.result)
            except successor.ChainLostError as error:
                return Dead(message, failure(Reason.CHAIN_LOST, error, message, received))
            except successor.ResultLostError as error:
                return Dead(message, failure(Reason.RESULT_LOST, error, message, received))
        if message.batch is not None:
            if message.failure is not None:
                # It was redriven. The report of its death may have been refused, or not have come yet.
                _report_dead(message, received)
            callbacks.succeeded(message.batch)
    elif isinstance(outcome, Skipped) and outcome.why in _ENDS:
        _report_dead(message, received)
    return outcome


def after_settling(outcome: Outcome, message: Message | None, received: Received) -> None:
    """Report a member that is a dead letter: its letter is sent, and its record is written. Raises AWS's errors."""
    if isinstance(outcome, Dead) and outcome.message is not None and message is not None:
        _report_dead(message, received)


class _Member(Struct):
    """What is read of a body that nobody could read, or that killed who did: no argument of the task is looked at."""

    id: str
    task: str
    batch: OfBatch | None = None


def after_unread(received: Received) -> None:
    """Report a member whose letter was sent without reading its message: no record tells of it.

    Tried once. If it came again for this, another letter of it would be sent. No error leaves it.
    """
    with suppress(msgspec.MsgspecError, UnicodeError):
        found = msgspec.json.decode(received.sqs_record.body, type=_Member)
        if found.batch is None:
            return
        try:
            _report_dead(Message(id=found.id, task=found.task, batch=found.batch), received)
        except Exception as error:  # noqa: BLE001 - see above
            logger.warning("dead member not reported", extra={"error": error_type(error)})


def _report_dead(message: Message, received: Received) -> None:
    if message.batch is None or message.batch.index is None:
        return
    key = (received.facts.key or "").removeprefix(f"{message.task}:")
    reference = Reference(message.task, message.id, key or message.id)
    callbacks.died(message.batch, str(reference), received.queue.name)
