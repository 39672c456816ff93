"""Payloads that SQS can't or shouldn't carry. They are stored in the stage's bucket, and its lifecycle deletes them.

What lies in the bucket isn't believed: its size is looked at before it is read, and its content is compared with the
hash in its key.
"""

from datetime import UTC, date, datetime

from celeriac.aws import refusals
from celeriac.aws.client import client, error_code
from celeriac.aws.sqs import account
from celeriac.model import names, settings
from celeriac.model.names import queue_of
from celeriac.model.payload import ARGS, BODIES, SCHEDULED, Key, PayloadError, key_of, read_key

_CONFLICTS = 3


class PayloadGoneError(PayloadError, LookupError):
    """The stored payload isn't there any more. Retrying can't help."""


def bucket(queue_name: str) -> str:
    """Return the stage's payload bucket, in the account that owns the queue `queue_name`."""
    region = client("sqs").meta.region_name
    return names.payload_bucket(settings.stage(), account(queue_name), region)


def store(queue_name: str, content: bytes, *, long: bool = False) -> str:
    """Write arguments and return their key. Raises PayloadError if they are too large.

    long: they will wait in a schedule or in the outbox.
    """
    return _put_new(queue_name, key_of(SCHEDULED if long else ARGS, queue_of(queue_name), content, _today()), content)


def store_body(queue_name: str, content: bytes) -> str:
    """Write a whole body, or all attributes of a message, and return the key."""
    return _put_new(queue_name, key_of(BODIES, queue_of(queue_name), content, _today()), content)


def load(queue_name: str, key: str) -> bytes:
    """Read stored arguments.

    Raises PayloadGoneError, and PayloadError if the key isn't one of arguments, or if what lies there isn't what was
    stored.
    """
    return _load(queue_name, read_key(key, {ARGS, SCHEDULED}, queue_of(queue_name)))


def load_body(queue_name: str, key: str) -> bytes:
    """Read a stored body, or stored attributes. Raises what `load` raises."""
    return _load(queue_name, read_key(key, {BODIES}, queue_of(queue_name)))


def renewed(queue_name: str, key: str, *, long: bool = False) -> str:
    """The key of the same arguments for a message that is sent now: `key` itself, or that of a copy that lives longer.

    A payload that can't be read keeps its key: whoever gets the message ends it, with the reason. So does one that only
    the queue's own consumer may read: a step of a chain is sent by the consumer of the step before.

    long: the message will wait in a schedule or in the outbox.
    """
    try:
        if read_key(key, {ARGS, SCHEDULED}, queue_of(queue_name)).is_fresh(_today(), scheduled=long):
            return key
        return store(queue_name, load(queue_name, key), long=long)
    except PayloadError:
        return key
    except client("s3").exceptions.ClientError as error:
        if error_code(error) == "AccessDenied":
            return key
        raise


def renew(queue_name: str, key: str) -> None:
    """Store a payload again under its own key, for a message that must stay as it is, byte for byte."""
    try:
        found = read_key(key, {ARGS, SCHEDULED, BODIES}, queue_of(queue_name))
        if not found.is_fresh(_today()):
            client("s3").put_object(Bucket=bucket(queue_name), Key=key, Body=_load(queue_name, found))
    except PayloadError:
        return


def _load(queue_name: str, key: Key) -> bytes:
    s3 = client("s3")
    try:
        found = s3.get_object(Bucket=bucket(queue_name), Key=key.text)
    except s3.exceptions.NoSuchKey as error:
        raise PayloadGoneError(f"its payload, stored as {key.text}, is gone from the payload bucket") from error
    problem = key.problem_of_size(found["ContentLength"])
    if problem:
        found["Body"].close()  # nothing of it has been read
    else:
        content = found["Body"].read()
        problem = key.problem_of(content)
        if not problem:
            return content
    raise PayloadError(f"its payload isn't what was stored as {key.text}: {problem}")


def _put_new(queue_name: str, key: Key, content: bytes) -> str:
    """Write an object that doesn't exist yet. An object of that key was stored today, with the same content."""
    s3, where = client("s3"), bucket(queue_name)
    for attempt in range(1, _CONFLICTS + 1):
        try:
            s3.put_object(Bucket=where, Key=key.text, Body=content, IfNoneMatch="*")
        except s3.exceptions.ClientError as error:
            match error_code(error):
                case "PreconditionFailed":
                    break
                # Another program writes it at the same moment: S3 asks for another try.
                case "ConditionalRequestConflict" if attempt < _CONFLICTS:
                    refusals.wait(attempt)
                case _:
                    raise
        else:
            break
    return key.text


def _today() -> date:
    return datetime.now(UTC).date()
