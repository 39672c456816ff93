"""The format of an export: a dead letter becomes a line of a file, and the line becomes a message again."""

import json
from base64 import b64decode, b64encode
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from celeriac.aws import payloads, sqs
from celeriac.aws.attributes import FAILURE_ATTRIBUTE, failure_in
from celeriac.dead_letters.dead_letter import pointing_to, stored_body
from celeriac.enqueue.send import fitted
from celeriac.leases import import_notes
from celeriac.model.failure import Failure
from celeriac.model.message import MalformedMessageError, Message, NewerVersionError, decode, encode
from celeriac.model.queue import MAX_MESSAGE_BYTES, Queue
from celeriac.model.settings import stage
from celeriac_console.dlq.letter import TOO_OFTEN, as_json
from celeriac_console.dlq.queue_reader import Taken
from celeriac_console.terminal.errors import UserError
from celeriac_console.terminal.text import json_text


@dataclass(frozen=True, slots=True)
class Exported:
    """A line that was read back and checked."""

    message_id: str
    died_at: datetime
    body: str
    group: str | None
    attributes: Any
    content: bytes | None
    """The letter's object in the payload bucket. None if there was none, or if it was deleted before the export."""


def line(queue_name: str, taken: Taken) -> str:
    """A letter of the dead-letter queue `queue_name` as a line, with everything an import needs, also from S3."""
    message = taken.message
    raw = {
        "body": message["Body"],
        "group": message["Attributes"].get("MessageGroupId"),
        "attributes": {
            name: {
                "type": value["DataType"],
                "text": value.get("StringValue"),
                "base64": b64encode(value["BinaryValue"]).decode() if "BinaryValue" in value else None,
            }
            for name, value in message.get("MessageAttributes", {}).items()
        },
        "stored": _stored(queue_name, taken),
    }
    # People also read such files in a terminal.
    return json_text(as_json(taken) | {"sqs": raw}) + "\n"


def read(text: str, where: str) -> Exported:
    """The letter in a line. Raises UserError if `line` didn't write it."""
    try:
        letter = json.loads(text)
        raw = letter["sqs"]
        stored = raw.get("stored")  # missing in files of older versions
        return Exported(
            letter["message_id"],
            datetime.fromisoformat(letter["died_at"]),
            _text(raw["body"]),
            raw["group"],
            {name: _attribute(value) for name, value in raw["attributes"].items()},
            None if stored is None else _bytes(stored),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{where}: no dead letter of `celeriac dlq export`: {error!r}") from error


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
    ours = {FAILURE_ATTRIBUTE} if message is not None and failure_in(letter.attributes) is not None else set()
    attributes = {name: value for name, value in letter.attributes.items() if name not in ours}
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
    key = payloads.store_body(queue_name, letter.message_id, letter.content)
    return pointing_to(key)


def _marked(letter: Exported, message: Message, queue_name: str, mark: str, room: int) -> str:
    failure = message.failure or failure_in(letter.attributes) or Failure(TOO_OFTEN, last_at=letter.died_at)
    marked = msgspec.structs.replace(message, failure=msgspec.structs.replace(failure, imported=mark))
    if marked.stored and letter.content is not None:
        return encode(msgspec.structs.replace(marked, stored=payloads.store(queue_name, letter.content)))
    return fitted(queue_name, marked, room)


def _stored(queue_name: str, taken: Taken) -> dict[str, str] | None:
    """The letter's object in the payload bucket, unchanged: as text if it is UTF-8, else as base64."""
    if taken.letter.missing:
        return None
    body = taken.message["Body"]
    key = stored_body(body)
    if key is None:
        try:
            key = decode(body).stored or None
        except (MalformedMessageError, NewerVersionError):
            key = None
    if key is None:
        return None
    content = payloads.load(queue_name, key)
    try:
        return {"text": content.decode()}
    except UnicodeDecodeError:
        return {"base64": b64encode(content).decode()}


def _attribute(value: dict[str, str | None]) -> dict[str, Any]:
    if value["base64"] is not None:
        return {"DataType": value["type"], "BinaryValue": b64decode(value["base64"], validate=True)}
    return {"DataType": value["type"], "StringValue": value["text"]}


def _bytes(stored: dict[str, str]) -> bytes:
    return stored["text"].encode() if "text" in stored else b64decode(stored["base64"], validate=True)


def _text(body: object) -> str:
    if not isinstance(body, str):
        raise TypeError("its body is not a text")
    return body
