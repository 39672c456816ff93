"""Payloads that SQS can't carry, or shouldn't: they wait in the stage's bucket, and its lifecycle removes them."""

from hashlib import sha256

from celeriac.aws.client import client
from celeriac.aws.sqs import account
from celeriac.model import names, settings
from celeriac.model.errors import CeleriacError

# The bucket's lifecycle keeps what messages of the queues point to; and, for what waits in a schedule, a year longer.
SHORT, LONG = "args/", "scheduled/"
BODIES = "bodies/"


class PayloadGoneError(CeleriacError, LookupError):
    """The stored payload isn't there any more; retrying can't help."""


def bucket(queue_name: str) -> str:
    """The bucket of the stage that owns the queue `queue_name`."""
    region = client("sqs").meta.region_name
    return names.payload_bucket(settings.stage(), account(queue_name), region)


def store(queue_name: str, content: bytes, *, long: bool = False) -> str:
    """Write arguments and return their key, a hash of them: an id is the sender's, and may be given twice."""
    key = f"{LONG if long else SHORT}{sha256(content).hexdigest()}"
    client("s3").put_object(Bucket=bucket(queue_name), Key=key, Body=content)
    return key


def store_body(queue_name: str, name: str, content: bytes) -> str:
    """Write a whole body and return its key."""
    key = f"{BODIES}{name}"
    client("s3").put_object(Bucket=bucket(queue_name), Key=key, Body=content)
    return key


def kept(queue_name: str, key: str) -> str:
    """Put stored arguments where they outlive a schedule; return their key there. Raises PayloadGoneError."""
    if key.startswith(LONG):
        return key
    return store(queue_name, load(queue_name, key), long=True)


def load(queue_name: str, key: str) -> bytes:
    """Read what was stored. Raises PayloadGoneError."""
    s3 = client("s3")
    try:
        return s3.get_object(Bucket=bucket(queue_name), Key=key)["Body"].read()
    except s3.exceptions.NoSuchKey as error:
        raise PayloadGoneError(f"its payload, stored as {key}, is gone from the payload bucket") from error
