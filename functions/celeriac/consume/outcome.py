"""How a run of a task can end: plain data, decided in run.py, carried out in settle.py."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from celeriac.leases.lease import Lease
from celeriac.model.failure import Failure
from celeriac.model.message import Message


@dataclass(frozen=True, slots=True)
class Succeeded:
    """It ran; it is done."""

    name = "succeeded"
    attempt: int


@dataclass(frozen=True, slots=True)
class Skipped:
    """Nothing ran, and nothing needs to: a copy of what has succeeded, was tried or is dead, or S3's test event."""

    why: str
    """duplicate, poison or test_event."""

    @property
    def name(self) -> str:
        """What it counts as."""
        return self.why


@dataclass(frozen=True, slots=True)
class Retried:
    """An attempt has failed. `successor` is to run after `delay`."""

    name = "retried"
    successor: Message
    delay: timedelta
    error: str
    """The type of what made it fail."""
    lease: Lease | None = None
    failure: Failure | None = None
    charged: bool = True
    """Whether it counts as an attempt."""


@dataclass(frozen=True, slots=True)
class Dead:
    """It is a dead letter. `message` is None where the body couldn't be read: it then goes as it came."""

    name = "dead"
    message: Message | None
    failure: Failure
    lease: Lease | None = None


@dataclass(frozen=True, slots=True)
class Postponed:
    """This release can't run it: it is to come again after `delay`, uncharged; byte for byte if `message` is None."""

    name = "postponed"
    message: Message | None
    delay: timedelta
    why: str


@dataclass(frozen=True, slots=True)
class HandedBack:
    """It didn't run, and no attempt is charged: SQS delivers it again, at `until` if given."""

    name = "handed_back"
    why: str
    until: datetime | None = None
    message: Message | None = None


@dataclass(frozen=True, slots=True)
class RunAlone:
    """Its last worker died at work: it is to run alone, after everything else."""

    name = "suspected"


type Outcome = Succeeded | Skipped | Retried | Dead | Postponed | HandedBack | RunAlone
