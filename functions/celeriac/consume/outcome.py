"""How a run of a task can end: plain data, decided in run.py, carried out in settle.py."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from celeriac.leases.lease import Lease
from celeriac.model.failure import Failure
from celeriac.model.message import Message


@dataclass(frozen=True, slots=True)
class Succeeded:
    """The task ran and is done."""

    name = "succeeded"
    attempt: int


@dataclass(frozen=True, slots=True)
class Skipped:
    """Nothing had to run: S3's test event, a missed firing, or a copy of a message that ran or is dead."""

    why: str
    """duplicate, poison, test_event or missed."""

    @property
    def name(self) -> str:
        """The outcome's name in the log."""
        return self.why


@dataclass(frozen=True, slots=True)
class Retried:
    """An attempt has failed. `successor` is to run after `delay`."""

    name = "retried"
    successor: Message
    delay: timedelta
    error: str
    """The type of the error."""
    lease: Lease | None = None
    failure: Failure | None = None
    charged: bool = True
    """Whether the run counts as an attempt."""


@dataclass(frozen=True, slots=True)
class Dead:
    """The message is a dead letter. `message` is None if the body couldn't be read: it is then sent unchanged."""

    name = "dead"
    message: Message | None
    failure: Failure
    lease: Lease | None = None


@dataclass(frozen=True, slots=True)
class Postponed:
    """This release can't run the message. It is sent again, uncharged, to be delivered after `delay`.

    If `message` is None, the body is sent byte for byte.
    """

    name = "postponed"
    message: Message | None
    delay: timedelta
    why: str


@dataclass(frozen=True, slots=True)
class HandedBack:
    """No attempt is charged: SQS delivers the message again, at `until` if given."""

    name = "handed_back"
    why: str
    until: datetime | None = None
    message: Message | None = None


@dataclass(frozen=True, slots=True)
class RunAlone:
    """No outcome yet: the message's last worker died, and it is to run alone, after the rest of the batch."""

    deaths_alone: int = 0
    """How many workers died while they ran only this message."""


type Outcome = Succeeded | Skipped | Retried | Dead | Postponed | HandedBack
