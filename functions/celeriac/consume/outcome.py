"""How a run of a task can end: plain data, decided in run.py, carried out in settle.py."""

from datetime import datetime, timedelta

from msgspec import Struct

from celeriac.leases.lease import Lease
from celeriac.model.failure import Failure
from celeriac.model.message import Message


class Succeeded(Struct, frozen=True):
    """The task ran and is done."""

    name = "succeeded"
    attempt: int


class Skipped(Struct, frozen=True):
    """Nothing had to run: S3's test event, a missed firing, or a copy of a message that ran or is dead."""

    why: str
    """duplicate, dead_copy, test_event, missed, expired (it hadn't started in time), superseded (newer arguments have
    come), or tick (its burst is over)."""

    @property
    def name(self) -> str:
        """The outcome's name in the log."""
        return self.why


class Retried(Struct, frozen=True):
    """An attempt has failed, or goes on in another run. `successor` is to run after `delay`."""

    successor: Message
    delay: timedelta
    error: str
    """The type of the error."""
    lease: Lease | None = None
    failure: Failure | None = None
    charged: bool = True
    """Whether the run counts as an attempt."""
    continues: bool = False
    """Whether the run has ended at a checkpoint, because its time was almost over."""

    @property
    def name(self) -> str:
        """The outcome's name in the log."""
        return "continued" if self.continues else "retried"


class Dead(Struct, frozen=True):
    """The message is a dead letter. `message` is None if the body couldn't be read: it is then sent unchanged."""

    name = "dead"
    message: Message | None
    failure: Failure
    lease: Lease | None = None


class Postponed(Struct, frozen=True):
    """This release can't run the message. It is sent again, uncharged, to be delivered after `delay`.

    If `message` is None, the body is sent byte for byte.
    """

    name = "postponed"
    message: Message | None
    delay: timedelta
    why: str


class Waiting(Struct, frozen=True):
    """The task's limit has no room yet. The message is sent again, uncharged, to be delivered after `delay`."""

    name = "waiting"
    message: Message
    delay: timedelta
    limit: str
    """The name of the limit, or what else it waits for."""


class Gathered(Struct, frozen=True):
    """A message of a debounced task stands in its item, or a newer one does. Or its burst isn't over yet.

    `tick` is sent before the message is acknowledged, to be delivered after `delay`.
    """

    tick: Message | None = None
    delay: timedelta = timedelta()
    is_tick: bool = False
    """Whether the message is itself a tick."""

    @property
    def name(self) -> str:
        """The outcome's name in the log."""
        return "tick" if self.is_tick else "gathered"


class HandedBack(Struct, frozen=True):
    """No attempt is charged: SQS delivers the message again, at `until` if given."""

    name = "handed_back"
    why: str
    until: datetime | None = None
    message: Message | None = None
    is_denied: bool = False
    """Whether AWS refused a call because this release lacks a right."""


class RunAlone(Struct, frozen=True):
    """No outcome yet: the message's last worker died, and it is to run alone, after the rest of the batch."""

    deaths_alone: int = 0
    """How many workers died while they ran only this message."""


type Outcome = Succeeded | Skipped | Retried | Dead | Postponed | Waiting | Gathered | HandedBack
