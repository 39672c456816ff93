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

FAILURE_ATTRIBUTE = "Celeriac.Failure"
"""The failure, on dead letters whose body must stay unchanged."""
FIRST_SENT_AT = "Celeriac.FirstSentAt"
"""The first time of sending, on messages that this release can't read and sends again unchanged."""
FIRST_ID = "Celeriac.FirstId"
"""On a fresh copy of a message: SQS's id of the first message."""
DEATHS = "Celeriac.Deaths"
"""On a fresh copy of a message: how many workers died while they ran only this message."""
UNTOUCHED = "Celeriac.Untouched"
"""On a fresh copy of a message that waits for a limit: no worker had begun to run it, so none can have died of it."""
MORE = "Celeriac.MoreAttributes"
"""The attributes for which SQS has no room, as JSON: SQS takes ten attributes, and a sender may use all of them."""
OURS = frozenset({FAILURE_ATTRIBUTE, FIRST_SENT_AT, FIRST_ID, DEATHS, UNTOUCHED})
"""No sender's attribute has one of these names. The names of MORE's attributes are the sender's."""
OLD_FAILURE, OLD_FIRST_SENT_AT, OLD_MORE = "failure", "first_sent_at", "more_attributes"
"""The names in the first releases. A sender may use them too. So they are read only where those releases wrote them,
and in their form, to the character: docs/decisions/0028-names-of-attributes.md. `newer` below says that the body is of
a version that is newer than this release: only then was the old date written."""
# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-message-metadata.html
MOST = 10
LONGEST_TYPE = 256
# Patterns, compiled when they are first used: most messages have no attributes but ours, and a cold start has no time.
_DATE = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?\+00:00"
_TYPE = r"(String|Number|Binary)(\.[\w.-]+)?"
# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html
_TEXT = "[\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]+"
_NUMBER = r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?"
# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_MessageAttributeValue.html
MOST_DIGITS = 38
SMALLEST_POWER, LARGEST_POWER = -128, 126
_NAME = r"(?!(?i:aws|amazon)\.)(?!\.)(?!.*\.\.)[\w.-]{1,256}(?<!\.)"

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


def of_sender(found: Attributes, *, newer: bool = False) -> "dict[str, MessageAttributeValueTypeDef]":
    """Return the sender's attributes: without Celeriac's, and with the packed ones."""
    old = _of_old_releases(found, newer=newer)
    theirs = {name: value for name, value in found.items() if name not in old}
    # An old release took the attributes of this one for the sender's, and may have packed them. It never packed without
    # an attribute of its own beside.
    for more in (OLD_MORE, MORE) if old else (MORE,):
        if more in theirs and (inside := unpacked(theirs[more].get("StringValue", ""))):
            del theirs[more]
            theirs |= inside
    return {name: value for name, value in theirs.items() if name not in OURS}


def ours_in(found: Attributes) -> "dict[str, MessageAttributeValueTypeDef]":
    """Return Celeriac's attributes."""
    return {name: value for name, value in found.items() if name in OURS}


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
    return found


def text_in(found: Attributes, name: str) -> str:
    """Return the text of one of Celeriac's attributes; empty if it isn't there."""
    return found[name].get("StringValue", "") if name in found else ""


def failure_in(found: Attributes) -> Failure | None:
    """Return the failure that Celeriac noted, the last one if two releases noted one each; None if there is none."""
    old = _of_old_releases(found, newer=False)
    noted = [_failure(some[name]) for some, name in ((found, FAILURE_ATTRIBUTE), (old, OLD_FAILURE)) if name in some]
    return max((one for one in noted if one is not None), key=lambda one: _instant(one.last_at), default=None)


def first_sent_in(found: Attributes, *, newer: bool) -> datetime | None:
    """Return when the first copy of a message was sent; None if it isn't noted. Any sender may write this date."""
    old = _of_old_releases(found, newer=newer)
    noted = [_date(some[name]) for some, name in ((found, FIRST_SENT_AT), (old, OLD_FIRST_SENT_AT)) if name in some]
    return min((date for date in noted if date is not None), default=None)


def _of_old_releases(found: Attributes, *, newer: bool) -> "dict[str, MessageAttributeValueTypeDef]":
    """Return the attributes that an old release wrote."""
    old: dict[str, MessageAttributeValueTypeDef] = {}
    if OLD_FAILURE in found:
        failure = _failure(found[OLD_FAILURE])
        is_whole = failure is not None and failure.last_at is not None and failure.request_id
        if is_whole and msgspec.json.encode(failure).decode() == found[OLD_FAILURE].get("StringValue"):
            old[OLD_FAILURE] = found[OLD_FAILURE]
    if newer and OLD_FIRST_SENT_AT in found and _date(found[OLD_FIRST_SENT_AT]) is not None:
        old[OLD_FIRST_SENT_AT] = found[OLD_FIRST_SENT_AT]
    return old


def _failure(value: "MessageAttributeValueTypeDef") -> Failure | None:
    try:
        return msgspec.json.decode(value["StringValue"], type=Failure) if value["DataType"] == "String" else None
    except (KeyError, msgspec.MsgspecError, RecursionError, UnicodeEncodeError):
        return None


def _date(value: "MessageAttributeValueTypeDef") -> datetime | None:
    """Return a date exactly as Celeriac writes it: in UTC, to the second or the microsecond."""
    text = value.get("StringValue", "")
    if value["DataType"] != "String" or not re.fullmatch(_DATE, text, re.ASCII):
        return None
    try:
        return datetime.fromisoformat(text)
    except ValueError:  # the 30th of February
        return None


def _instant(date: datetime | None) -> datetime:
    return date if date is not None and date.tzinfo is not None else datetime.min.replace(tzinfo=UTC)


def _is_sendable(name: str, value: "MessageAttributeValueTypeDef") -> bool:
    kind = value["DataType"]
    if not (re.fullmatch(_NAME, name, re.ASCII) and len(kind) <= LONGEST_TYPE and re.fullmatch(_TYPE, kind, re.ASCII)):
        return False
    if kind.startswith("Binary"):
        return bool(value.get("BinaryValue"))
    string = value.get("StringValue", "")
    return re.fullmatch(_TEXT, string) is not None and (kind.startswith("String") or _is_number(string))


def _is_number(text: str) -> bool:
    if not re.fullmatch(_NUMBER, text, re.ASCII):
        return False
    number = Decimal(text)
    in_range = not number or SMALLEST_POWER <= number.adjusted() <= LARGEST_POWER
    return in_range and len(number.as_tuple().digits) <= MOST_DIGITS


def _attribute(kind: str, string: str | None, base64: str | None) -> "MessageAttributeValueTypeDef":
    if base64 is not None:
        return {"DataType": kind, "BinaryValue": b64decode(base64)}
    return {"DataType": kind, "StringValue": string or ""}
