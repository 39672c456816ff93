"""Hashes of the arguments with which a key was used: they tell a copy from another task with the same key."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from celeriac.model.canonical import FORM


class ArgumentHashes(NamedTuple):
    """Two hashes of the same arguments. Two messages have other arguments only if both differ.

    A retry after a deploy was sent with the same values, though a new parameter's default makes it arrive with others.
    A message of another program may spell the same values in another way, and arrives with the same values.
    """

    sent: str
    """Of the values in the message."""
    arrived: str
    """Of the values that the task gets, defaults included."""

    def differ_from(self, other: "ArgumentHashes") -> bool:
        """Whether these are hashes of other arguments."""
        return self.sent != other.sent and self.arrived != other.arrived


def attributes(hashes: ArgumentHashes | None, token: str) -> dict[str, Any]:
    """The attributes of a record. The token says which claim they are of: a release that doesn't know them keeps them
    in a FIFO message's record.
    """
    stored = f"{token} {hashes.sent} {hashes.arrived}" if hashes is not None else ""
    return {"form": {"N": str(FORM)}, "argument_hashes": {"S": stored}}


def of_record(record: Mapping[str, Any]) -> ArgumentHashes | None:
    """The hashes in a record; None if it has none of its claim and of this form."""
    token, *hashes = str(record.get("argument_hashes", "")).split(" ")
    if record.get("form") != str(FORM) or token != record.get("token") or len(hashes) != len(ArgumentHashes._fields):
        return None
    return ArgumentHashes(*hashes)
