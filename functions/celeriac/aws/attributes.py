"""Message attributes: the sender's, which stay with the sender's message, and Celeriac's beside them."""

import re
from base64 import b64decode, b64encode
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import msgspec

from celeriac.model.failure import Failure

if TYPE_CHECKING:
    from mypy_boto3_sqs.type_defs import MessageAttributeValueTypeDef

FAILURE_ATTRIBUTE = "failure"
"""The failure, on dead letters whose body must stay unchanged."""
FIRST_SENT_AT = "first_sent_at"
"""The first time of sending, on messages that this release can't read and sends again unchanged."""
FIRST_ID = "Celeriac.FirstId"
"""On a fresh copy of a message: SQS's id of the first message."""
DEATHS = "Celeriac.Deaths"
"""On a fresh copy of a message: how many workers died while they ran only this message."""
MORE = "more_attributes"
"""The attributes for which SQS has no room, as JSON: SQS takes ten attributes, and a sender may use all of them."""
# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-message-metadata.html
MOST = 10
LONGEST_TYPE = 256
_TYPE = re.compile(r"(String|Number|Binary)(\.[\w.-]+)?", re.ASCII)
# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html
_TEXT = re.compile("[\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]+")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)
# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_MessageAttributeValue.html
MOST_DIGITS = 38
SMALLEST_POWER, LARGEST_POWER = -128, 126
_NAME = re.compile(r"(?!(?i:aws|amazon)\.)(?!\.)(?!.*\.\.)[\w.-]{1,256}(?<!\.)", re.ASCII)

type Attributes = Mapping[str, "MessageAttributeValueTypeDef"]


class _Packed(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    type: str
    text: str | None = None
    base64: str | None = None


_packed = msgspec.json.Decoder(dict[str, _Packed])


def text(name: str, value: str) -> "dict[str, MessageAttributeValueTypeDef]":
    """Return a text attribute of Celeriac's."""
    return {name: {"DataType": "String", "StringValue": value}}


def of_lambda(given: Mapping[str, Mapping[str, Any]]) -> "dict[str, MessageAttributeValueTypeDef]":
    """Convert a record's attributes from Lambda's form to SQS's."""
    return {
        name: _attribute(value["dataType"], value.get("stringValue"), value.get("binaryValue"))
        for name, value in given.items()
    }


def of_sender(found: Attributes) -> "dict[str, MessageAttributeValueTypeDef]":
    """Return the sender's attributes: without Celeriac's, and with the packed ones."""
    ours = ours_in(found)
    theirs = {name: value for name, value in found.items() if name not in ours}
    packed = unpacked(theirs[MORE].get("StringValue", "")) if MORE in theirs else {}
    if packed:
        del theirs[MORE]
    return theirs | packed


def ours_in(found: Attributes) -> "dict[str, MessageAttributeValueTypeDef]":
    """Return Celeriac's attributes. Their values identify them, because a sender may use the same names."""
    return {name: value for name, value in found.items() if _is_ours(name, value)}


def beside(theirs: Attributes, ours: Attributes) -> "dict[str, MessageAttributeValueTypeDef]":
    """Return both, within SQS's limit of attributes.

    Those of the sender that don't fit, or that have the name of one of Celeriac's, are packed into one attribute.
    """
    kept = {name: value for name, value in theirs.items() if name not in ours}
    extra = {name: value for name, value in theirs.items() if name in ours}
    while len(kept) + len(ours) + bool(extra) > MOST or (extra and MORE in kept):
        name = MORE if MORE in kept else next(reversed(kept))
        extra[name] = kept.pop(name)
    return kept | ({**ours, **text(MORE, packed(extra))} if extra else {**ours})


def packed(some: Attributes) -> str:
    """Return attributes as JSON."""
    return msgspec.json.encode(
        {
            name: _Packed(
                value["DataType"],
                value.get("StringValue"),
                b64encode(value["BinaryValue"]).decode() if "BinaryValue" in value else None,  # type: ignore[arg-type]  # always bytes here, boto3 takes more types
            )
            for name, value in some.items()
        }
    ).decode()


def unpacked(written: str) -> "dict[str, MessageAttributeValueTypeDef]":
    """Return attributes from JSON; none if `packed` didn't write the JSON, or if SQS would refuse one of them."""
    try:
        found = {name: _attribute(one.type, one.text, one.base64) for name, one in _packed.decode(written).items()}
    except (ValueError, RecursionError):
        return {}
    if not all(_is_sendable(name, value) for name, value in found.items()):
        return {}
    return {name: value for name, value in found.items() if not _is_ours(name, value)}


def text_in(found: Attributes, name: str) -> str:
    """Return the text of one of Celeriac's attributes; empty if it isn't there."""
    return found[name].get("StringValue", "") if name in found else ""


def failure_in(found: Attributes) -> Failure | None:
    """Return the failure that Celeriac noted; None if the attribute is a sender's."""
    try:
        failure = msgspec.json.decode(found[FAILURE_ATTRIBUTE]["StringValue"], type=Failure)
    except (KeyError, msgspec.MsgspecError, RecursionError):
        return None
    # A sender's attribute may have a reason too. Celeriac's always has a time and an invocation.
    return failure if failure.last_at is not None and failure.request_id else None


def _is_ours(name: str, value: "MessageAttributeValueTypeDef") -> bool:
    if name == FAILURE_ATTRIBUTE:
        return failure_in({name: value}) is not None
    if name in {FIRST_ID, DEATHS}:
        return True
    return name == FIRST_SENT_AT and _is_our_date(value.get("StringValue", ""))


def _is_our_date(text: str) -> bool:
    """Whether the text is a date exactly as Celeriac writes it, to the character."""
    try:
        return datetime.fromisoformat(text).astimezone(UTC).isoformat() == text
    except (ValueError, OverflowError):
        return False


def _is_sendable(name: str, value: "MessageAttributeValueTypeDef") -> bool:
    kind = value["DataType"]
    if not (_NAME.fullmatch(name) and len(kind) <= LONGEST_TYPE and _TYPE.fullmatch(kind)):
        return False
    if kind.startswith("Binary"):
        return bool(value.get("BinaryValue"))
    string = value.get("StringValue", "")
    return _TEXT.fullmatch(string) is not None and (kind.startswith("String") or _is_number(string))


def _is_number(text: str) -> bool:
    if not _NUMBER.fullmatch(text):
        return False
    number = Decimal(text)
    in_range = not number or SMALLEST_POWER <= number.adjusted() <= LARGEST_POWER
    return in_range and len(number.as_tuple().digits) <= MOST_DIGITS


def _attribute(kind: str, string: str | None, base64: str | None) -> "MessageAttributeValueTypeDef":
    if base64 is not None:
        return {"DataType": kind, "BinaryValue": b64decode(base64)}
    return {"DataType": kind, "StringValue": string or ""}
