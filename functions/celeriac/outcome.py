"""How a run of a task can end: plain data, decided in `celeriac.run`, carried out in `celeriac.settle`."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from celeriac.failure import Failure
from celeriac.message import Message


@dataclass(frozen=True, slots=True)
class Succeeded:
    """It ran; it is done."""

    name = "succeeded"


@dataclass(frozen=True, slots=True)
class Duplicate:
    """It had succeeded before; nothing ran."""

    name = "duplicate"


@dataclass(frozen=True, slots=True)
class Retried:
    """It is to run again after `delay`, as `successor`."""

    name = "retried"
    successor: Message
    delay: timedelta
    error: str
    """The type of what made it fail."""


@dataclass(frozen=True, slots=True)
class Dead:
    """It is a dead letter. `message` is None where the body couldn't be read: it then goes as it came."""

    name = "dead"
    message: Message | None
    failure: Failure


@dataclass(frozen=True, slots=True)
class HandedBack:
    """It didn't run, and no attempt is charged: SQS delivers it again, at `until` if given."""

    name = "handed_back"
    why: str
    until: datetime | None = None


type Outcome = Succeeded | Duplicate | Retried | Dead | HandedBack
