"""A task's result as its record stores it: JSON that fits into the record."""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from celeriac.model.errors import CeleriacError
from celeriac.model.values import to_json

# A DynamoDB item holds 400 KB. A larger result belongs into S3 or a table of the application.
RESULT_BYTES = 200_000


class Kept(NamedTuple):
    """The result of a success, as its record keeps it."""

    value: Any
    """JSON types."""
    why_not: str = ""
    """Why it isn't kept; then the value is None."""


def of_record(record: Mapping[str, Any]) -> Kept:
    """The result in a record of a success."""
    try:
        return Kept(msgspec.json.decode(record.get("data") or "null"), str(record.get("not_kept") or ""))
    except msgspec.DecodeError:
        return Kept(None, "what is stored of it can't be read")


class NotStorableError(CeleriacError, ValueError):
    """A result that a record can't store; the text says why."""


def storable(value: Any) -> Any:
    """`value` as JSON types. Raises NotStorableError."""
    try:
        plain = msgspec.to_builtins(value, str_keys=True, enc_hook=to_json)
        # Powertools writes ASCII, so a character outside of it takes six bytes.
        written = json.dumps(plain, allow_nan=False)
        msgspec.json.decode(written)  # a status reads it so
    except Exception as error:  # a model's own code may raise anything
        if "JSON compliant" in str(error):
            raise NotStorableError("it holds nan or infinity, which JSON has no form for") from error
        if isinstance(error, msgspec.DecodeError):
            raise NotStorableError("it holds half of a surrogate pair, which no text in JSON may") from error
        raise NotStorableError(f"it has no JSON form: {type(error).__name__}") from error
    if len(written) > RESULT_BYTES:
        raise NotStorableError(
            f"it is too large: {len(written):,} bytes of JSON, and a record keeps {RESULT_BYTES:,}; keep it in S3"
        )
    return plain
