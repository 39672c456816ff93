"""The properties of a dead letter that commands show and filter by."""

from datetime import datetime
from typing import Any

from celeriac.dead_letters.dead_letter import DeadLetter
from celeriac.model.failure import fingerprint
from celeriac.model.reason import Reason
from celeriac_console.dlq.queue_reader import Taken

TOO_OFTEN = Reason.RECEIVED_TOO_OFTEN
"""The reason of letters that SQS itself moved to the dead-letter queue."""


def died_at(letter: DeadLetter) -> datetime:
    """The time of the letter's last failure. If no time is noted, the time when its message was sent."""
    failure = letter.failure
    return failure.last_at if failure is not None and failure.last_at is not None else letter.sent_at


def is_death_known(letter: DeadLetter) -> bool:
    """Whether a time of its last failure is noted. SQS doesn't say when it moved a letter."""
    return letter.failure is not None and letter.failure.last_at is not None


def attempts_of(letter: DeadLetter) -> int:
    """The number of attempts that were charged to the letter."""
    return letter.failure.attempts if letter.failure is not None else 0


def kind_of(letter: DeadLetter) -> str:
    """The fingerprint of the letter's failure: letters of one kind have the same failure.

    The letters of one task that SQS itself moved are one kind.
    """
    failure = letter.failure
    if failure is None or failure.reason == TOO_OFTEN:  # an import adds such a failure to a letter that had none
        return f"sqs:{letter.task}"
    return fingerprint(letter.task, failure)


def reason_of(letter: DeadLetter) -> str:
    """The reason for the dead letter, in a few words."""
    return letter.failure.reason if letter.failure is not None else TOO_OFTEN


def as_json(taken: Taken) -> dict[str, Any]:
    """A letter as JSON, for scripts and files."""
    letter, failure = taken.letter, taken.letter.failure
    return {
        "id": letter.id,
        "message_id": taken.message_id,
        "task": letter.task,
        "args": letter.args,
        "reason": reason_of(letter),
        "error": failure.type if failure else "",
        "message": failure.message if failure else "",
        "traceback": failure.traceback if failure else "",
        "attempts": attempts_of(letter),
        "kind": kind_of(letter),
        "died_at": died_at(letter).isoformat(),
        "function": failure.function if failure else "",
        "request_id": failure.request_id if failure else "",
        "missing": letter.missing,
    }
