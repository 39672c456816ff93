"""The message that a line of an export becomes in an import."""

import msgspec

from celeriac.aws import payloads, sqs
from celeriac.aws.attributes import beside, failure_in, of_sender
from celeriac.dead_letters.dead_letter import pointing_to, stored_body
from celeriac.enqueue.send import fitted
from celeriac.leases import import_notes
from celeriac.model.failure import Failure
from celeriac.model.message import MalformedMessageError, Message, NewerVersionError, decode, encode
from celeriac.model.queue import MAX_MESSAGE_BYTES, Queue
from celeriac.model.settings import stage
from celeriac_console.dlq.export_format import Exported
from celeriac_console.dlq.letter import TOO_OFTEN


def entry(letter: Exported, queue: Queue, *, mark: str, number: int) -> sqs.Entry:
    """The message that puts `letter` back into the dead-letter queue of `queue`.

    The letter's S3 object is stored again first, and the import is noted in DynamoDB. `mark` identifies the import,
    `number` the line. A readable letter carries the mark, so that a redrive runs it even if its task's record names a
    later failure. FIFO deduplication ids are new for each import. With the old ids, SQS would accept and drop a second
    import of the same letter within five minutes.
    """
    message, queue_name = _message(letter), queue.dead_letter_name(stage())
    if message is not None:
        import_notes.note(queue, message.task, message.id, mark)
    # If the body can be read, the failure is written into the body, so its attribute is left out.
    attributes = beside(of_sender(letter.attributes), {}) if message is not None else letter.attributes
    room = MAX_MESSAGE_BYTES - sqs.Entry("", attributes=attributes).size
    return sqs.Entry(
        _untouched(letter, queue_name) if message is None else _marked(letter, message, queue_name, mark, room),
        group=(letter.group or letter.message_id) if queue.fifo else letter.group,
        deduplication=f"{mark}-{number}" if queue.fifo else None,
        attributes=attributes,
    )


def _message(letter: Exported) -> Message | None:
    """None for a body that this release can't read."""
    whole = letter.content if stored_body(letter.body) is not None else None
    try:
        message = decode(letter.body if whole is None else whole.decode())
    except (MalformedMessageError, NewerVersionError, UnicodeDecodeError):
        return None
    # Without an id, each import would be another task. SQS's message id makes all imports the same task.
    return message if message.id else msgspec.structs.replace(message, id=letter.message_id)


def _untouched(letter: Exported, queue_name: str) -> str:
    if letter.content is None:
        return letter.body
    key = payloads.store_body(queue_name, letter.content)
    return pointing_to(key)


def _marked(letter: Exported, message: Message, queue_name: str, mark: str, room: int) -> str:
    failure = message.failure or failure_in(letter.attributes) or Failure(TOO_OFTEN, last_at=letter.died_at)
    marked = msgspec.structs.replace(message, failure=msgspec.structs.replace(failure, imported=mark))
    if marked.stored and letter.content is not None:
        return encode(msgspec.structs.replace(marked, stored=payloads.store(queue_name, letter.content)))
    return fitted(queue_name, marked, room)
