"""Headers of a message: short texts that hooks send along, such as a trace's or a tenant's. They are no arguments.

They are part of the body, so they survive what a message goes through: retries, schedules, the outbox, a payload in S3,
dead letters and redrives. A body must fit into a message with all its headers, so there are few of them.
"""

import re
from collections.abc import Mapping
from typing import Any

import msgspec

MOST_BYTES = 8192
"""The most bytes that the names and values of a message's headers have together, in UTF-8."""
_NAME = re.compile(r"[!-~]{1,128}")
# JSON allows these in a text, SQS or UTF-8 doesn't.
_UNSENDABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


def problem(name: object, value: object) -> str | None:
    """Say why a header can't be sent; None if it can. The text never quotes the header's value."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        return "a header's name is a text of 1 to 128 visible ASCII characters"
    if not isinstance(value, str):
        return f"the header {name!r} is a {type(value).__name__}: write a text"
    if _UNSENDABLE.search(value):
        return f"the header {name!r} holds a character that SQS doesn't take"
    return None


def kept(found: Mapping[Any, Any]) -> dict[str, str]:
    """Return the headers that can be sent, in their order, as far as they fit: as plain texts.

    A text of a class of its own, such as Django's SafeString, has no JSON form.
    """
    headers: dict[str, str] = {}
    size = 0
    for name, value in found.items():
        if problem(name, value) is None:
            plain = str.__str__(value)
            size += len(name) + len(plain.encode())
            if size > MOST_BYTES:
                break
            headers[str.__str__(name)] = plain
    return headers


def read(raw: bytes | str) -> dict[str, str]:
    """Return the headers in JSON that anybody may have written. What can't be a header is left out."""
    try:
        found = msgspec.json.decode(raw)
    except (msgspec.MsgspecError, RecursionError, UnicodeEncodeError):
        return {}
    return kept(found) if isinstance(found, dict) else {}
