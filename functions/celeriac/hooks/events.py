"""What hooks are told: one event for each kind of hook.

Events hold arguments and keys, because hooks are the team's own code. Celeriac logs none of it.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from msgspec import Struct, field

from celeriac.model.headers import problem


class BeforeEnqueue(Struct, frozen=True, kw_only=True):
    """A message that is made, and not sent yet. It isn't sent if the call to AWS or the transaction fails."""

    headers: dict[str, str]
    """The headers that the message will have. Add yours here; names and values are texts, 8 KiB in all.

    A worker's hooks get them in each attempt, also in one after a delay, a retry or a redrive."""
    id: str
    """The message's id; the event's id for an event of the outbox."""
    task: str = ""
    """The task's name; empty for an event."""
    event: str = ""
    """The event's type, if a transaction emits it: each subscriber's message gets the headers."""
    queue: str = ""
    """The queue's logical name; empty for an event."""
    key: str = ""
    """The idempotency key, `<task>:<value>`; empty for an event. It may name a person."""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    """The task's arguments by name, or the event's data, as the caller passed them. The message is already made of
    them: nothing that a hook does here changes it."""
    delay: timedelta = timedelta()
    """How long the message waits before its first attempt."""
    group: str | None = None


class AroundTask(Struct, frozen=True, kw_only=True):
    """An attempt that is about to run."""

    task: str
    queue: str
    """The queue's logical name."""
    id: str
    """The message's id."""
    key: str
    """The idempotency key, `<task>:<value>`. It may name a person."""
    attempt: int
    """From 1."""
    arguments: Mapping[str, Any]
    """The arguments with which the task is called."""
    headers: Mapping[str, str]
    """The message's headers."""
    group: str | None = None
    enqueued_at: datetime | None = None
    receives: int = 1
    """How often SQS has delivered the message."""
    notes: dict[str, Any] = field(default_factory=dict)
    """For what a hook wants to find again in `after_outcome` of this attempt. Use your own name as the key."""
    carried: dict[str, str] = field(default_factory=dict)
    """The headers that `carry` has added."""

    def carry(self, name: str, value: str) -> None:
        """Add a header to the message that follows this attempt: its retry, or its dead letter.

        On a FIFO queue a retry is the same message again, so it has the headers that it had. Raises ValueError for what
        can't be a header.
        """
        if (why := problem(name, value)) is not None:
            raise ValueError(why)
        self.carried[name] = value


class AfterOutcome(Struct, frozen=True, kw_only=True):
    """What became of a message that was delivered: its outcome is sent and recorded."""

    outcome: str
    """As in the log: `succeeded`, `retried`, `continued` (it goes on in another invocation), `dead`, `duplicate`,
    `dead_copy`, `missed`, `cancelled`, `expired` (it hadn't started in time), `test_event`, `handed_back` (SQS delivers
    it again, no attempt was charged), `postponed` (this release can't run it yet), `gathered` (a message of a debounced
    task, of which the last one runs) or `superseded` (newer arguments have come, so it didn't run)."""
    task: str
    """The task's name; empty if no task of this release has the name in the message."""
    queue: str
    id: str
    """The message's id; SQS's id if the body can't be read."""
    key: str
    """The idempotency key; empty if it isn't known."""
    attempt: int
    """The attempt that ended; 0 if none was reached."""
    duration: timedelta
    """From claim to settlement, without waits for a turn."""
    has_run: bool
    """Whether the task's function was called."""
    headers: Mapping[str, str]
    delay: timedelta | None = None
    """How long the next attempt waits, if there is one and its time is known."""
    reason: str = ""
    """Why a dead letter is one, see docs/reference/messages.md. Why a message was handed back or postponed."""
    error: BaseException | None = None
    """What the task raised in this attempt, or its timeout. Don't keep it: it holds the task's variables."""
    error_type: str = ""
    """The error's class; set for dead letters that never ran, too."""
    notes: dict[str, Any] = field(default_factory=dict)
    """What `around_task` of this attempt has noted; empty if it didn't run."""


class OnDeadLetter(Struct, frozen=True, kw_only=True):
    """A dead letter that has been sent. Messages that SQS moves by itself, and redrives, are not told of."""

    reason: str
    """See docs/reference/messages.md."""
    task: str
    """The task's name; empty if no task of this release has the name in the message."""
    queue: str
    """The logical name of the queue from which the message came."""
    id: str
    key: str
    attempts: int
    """How many runs were charged as attempts."""
    headers: Mapping[str, str]
    error_type: str = ""
    error: BaseException | None = None
    """What the task raised in its last attempt; None if the message didn't run."""
    notes: dict[str, Any] = field(default_factory=dict)
