"""What a message says of the batch or the chain that it is part of. It never names what follows it.

Callbacks and later steps are stored in items that only somebody with the right to send to their own queue could write.
So who may send to one queue can start nothing on another one.
"""

from typing import Annotated

from msgspec import Meta, Struct

from celeriac.model.errors import CeleriacError

MOST_ID = 800
"""The most characters of a batch's id."""
MOST_EPOCH = 64
MOST_MEMBERS = 1_000_000
"""The most messages of a batch."""
MOST_STEPS = 26
"""The most steps of a chain: BatchWriteItem takes 25 items, and the first step needs none."""


class BatchError(CeleriacError, RuntimeError):
    """A batch can't be filled or sealed; the text says why. Its callbacks are not called."""


class OfBatch(Struct, frozen=True, omit_defaults=True):
    """The batch that a message is a member of, or whose callback it is."""

    id: Annotated[str, Meta(min_length=1, max_length=MOST_ID)]
    """`<queue of the callbacks>#<name>`."""
    epoch: Annotated[str, Meta(min_length=1, max_length=MOST_EPOCH)]
    """Random: who doesn't know it can report no member."""
    index: Annotated[int, Meta(ge=0, lt=MOST_MEMBERS)] | None = None
    """The member's number, from 0 on. None in a callback."""


class OfChain(Struct, frozen=True, omit_defaults=True):
    """The place of a message in a chain."""

    id: Annotated[str, Meta(min_length=1, max_length=64)]
    """Random: who doesn't know it can start no step."""
    at: Annotated[int, Meta(ge=0, lt=MOST_STEPS)] = 0
    """The step's number, from 0 on."""
    queue: Annotated[str, Meta(max_length=64)] = ""
    """The queue of the next step, whose item is stored under it. Empty for the last step."""
    takes: bool = False
    """Whether the next step takes the result of this one. Then the result must be kept."""


class Result:
    """The type of `RESULT`."""

    def __repr__(self) -> str:
        """As it is written."""
        return "RESULT"


THE_RESULT = Result()
"""What `celeriac.RESULT` is: the result of the step before, as an argument of a chain's step."""
