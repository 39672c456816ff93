"""The format of an export: a dead letter becomes a line of a file, and a line becomes a letter again."""

import json
from base64 import b64decode, b64encode
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from celeriac.aws import payloads
from celeriac.dead_letters.dead_letter import content, stored_body
from celeriac.model.message import MalformedMessageError, NewerVersionError, decode
from celeriac_console.dlq.letter import as_json
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


def line(queue_name: str, taken: Taken) -> tuple[str, str]:
    """A letter of the dead-letter queue `queue_name` as a line, with everything an import needs, also from S3.

    Also returns why something of it is missing; empty if the line is complete.
    """
    message = taken.message
    stored, missing = _stored(queue_name, taken)
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
        "stored": stored,
    }
    # People also read such files in a terminal.
    return json_text(as_json(taken) | {"missing": missing, "sqs": raw}) + "\n", missing


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


def _stored(queue_name: str, taken: Taken) -> tuple[dict[str, str] | None, str]:
    """The letter's object in the payload bucket, unchanged: as text if it is UTF-8, else as base64; or why it isn't."""
    if taken.letter.missing:
        return None, taken.letter.missing
    body = taken.message["Body"]
    key, load = stored_body(body), payloads.load_body
    if key is None:
        load = payloads.load
        try:
            key = decode(body).stored or None
        except (MalformedMessageError, NewerVersionError):
            key = None
    if key is None:
        return None, ""
    found, missing = content(load, queue_name, key)
    if missing:
        return None, missing
    try:
        return {"text": found.decode()}, ""
    except UnicodeDecodeError:
        return {"base64": b64encode(found).decode()}, ""


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
