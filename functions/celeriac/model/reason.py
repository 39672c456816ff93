"""Why a message becomes a dead letter, or is dead without one."""

from enum import StrEnum
from typing import Self


class Reason(StrEnum):
    """A reason, as it stands in a dead letter. `meaning` says what happened, `cure` what to do about it.

    A dead letter of a newer release may name another one: it is then a plain text.
    """

    meaning: str
    cure: str

    def __new__(cls, value: str, meaning: str, cure: str) -> Self:
        """Make one; its docstring is meaning and cure."""
        made = str.__new__(cls, value)
        made._value_ = value
        made.meaning, made.cure = meaning, cure
        made.__doc__ = f"{meaning}: {cure}"
        return made

    EXHAUSTED = "exhausted", "its attempts are used up", "repair the system that the task calls, redrive"
    EXPIRED = "expired", "its time limit for attempts has passed", "repair the system that the task calls, redrive"
    REJECTED = (
        "rejected",
        "the task raised `Reject`, or an error that its policy rejects",
        "a person decides: discard, or change and redrive",
    )
    MALFORMED = (
        "malformed",
        "its body or arguments can't be read",
        "mend the sender; redrive with `--set` or `--edit`",
    )
    WORKER_LOST = (
        "worker lost",
        "three workers died while they ran nothing else: memory, most likely",
        "mend the task, redrive",
    )
    INTERRUPTED = (
        "interrupted",
        "an `at_most_once` task was cut off; it may have done its work",
        "find out whether it has, then redrive or discard",
    )
    UNKNOWN_TASK = "unknown task", "no release that knows the task came in time", "deploy it and redrive, or discard"
    WRONG_QUEUE = (
        "wrong queue",
        "it came from a queue that its task doesn't run from, and no release in which it does came in time",
        "discard it if its sender had no right; else redrive `--to` the task's queue, or declare `former_queues`",
    )
    NEWER_VERSION = (
        "newer version",
        "no release that reads the message's version came in time",
        "deploy the newer release, redrive",
    )
    KEY_MISMATCH = (
        "key mismatch",
        'its key was used before, with other arguments; the task has `on_mismatch="dead_letter"`',
        "discard it; or, if it is other work, `celeriac forget` its key and redrive",
    )
    QUARANTINED = "quarantined", "an operator holds it back", "`celeriac quarantine lift`, redrive"
    UNSETTLED = (
        "unsettled",
        "AWS could not be reached, up to the message's last receive",
        "see its logs, redrive",
    )
    RECEIVED_TOO_OFTEN = (
        "received too often",
        "SQS gave up on it: a consumer that fails as a whole, or dies before it knows the task",
        "see its consumer's logs, redrive",
    )
    WAITED_TOO_LONG = (
        "waited too long",
        "it waited for a limit for 14 days",
        "raise the limit with `celeriac limits set`, or in its declaration; redrive",
    )
    THROTTLED = (
        "throttled",
        "an `at_most_once` task was throttled by its provider, and may not run again",
        "redrive when the provider takes it",
    )
    KEY_DEAD = (
        "key dead",
        "another message of its key is a dead letter; it is `at_most_once`, and a batch or a chain waits for this one",
        "redrive the other one, or `celeriac forget` the key; then redrive this one",
    )
    CHAIN_LOST = (
        "chain lost",
        "it has succeeded, and the next step of its chain isn't stored any more",
        "it isn't run again; enqueue what was to follow yourself, then discard",
    )
    RESULT_LOST = (
        "result lost",
        "it has succeeded, and its result, which the next step of its chain takes, couldn't be kept",
        "let the task return less, or a key of S3; enqueue what was to follow yourself, then discard",
    )
    CANCELLED = (
        "cancelled",
        "somebody cancelled it; it has no dead letter",
        "if it is to run after all: `celeriac rerun`, or enqueue it again",
    )
