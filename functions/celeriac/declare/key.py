"""The idempotency key of one message, and how the message carries it.

The producer makes the key, and every consumer takes it from the message: two releases may read one value differently,
and a default may be another one in each process. A message that was written by hand carries no key. The consumer then
makes it, and its successors carry it.
"""

from hashlib import sha256

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from celeriac.declare.signature import KeyText
from celeriac.model.message import MOST_KEY, Message

_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])


class Key(Struct, frozen=True):
    """The idempotency key of one message."""

    task: str
    value: str
    source: str = ""
    """A hash of the value, as it was sent, that the key was made of."""
    is_chosen: bool = False
    """Whether the sender gave the key beside the arguments."""
    former: str | None = None
    """The key under which a release without a canonical form would have recorded the same work; None if it is equal."""
    is_of_message: bool = False
    """Whether the key is the message's id."""

    @property
    def full(self) -> str:
        """The key as records and providers have it: `<task>:<value>`."""
        return f"{self.task}:{self.value}"

    def carried_by(self, message: Message) -> Message:
        """The message with its key. A key that is too long, or that the message has anyway, isn't carried."""
        if not self.source or len(self.value) > MOST_KEY:
            return message
        return replace(message, key=self.value, key_source=self.source)


def source_of(raw: bytes | msgspec.Raw, parameter: str) -> str:
    """A hash of the value that arguments have for a parameter, as it was sent."""
    return sha256(bytes(_fields.decode(raw).get(parameter, b""))).hexdigest()[:16]


def key_of_value(task: str, own: KeyText, source: str, message: Message) -> Key:
    """The key of a message whose task has a key parameter.

    own: the text of the parameter's value, as this release reads it. source: the hash of the value. If it is another
    one than in the message, the arguments were edited after the key was made, so the key is made anew.
    """
    former = f"{task}:{own.former}" if own.former not in ("", own.text) else None
    if message.key is not None and message.key_source == source:
        is_own = message.key == own.text
        return Key(task, message.key, source, former=former if is_own else None, is_of_message=not own.text)
    return Key(task, own.text or message.id, source, former=former, is_of_message=not own.text)
