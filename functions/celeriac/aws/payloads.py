"""Payloads that SQS can't or shouldn't carry. They are stored in the stage's bucket, and its lifecycle deletes them."""

from hashlib import sha256

from celeriac.aws.client import client
from celeriac.aws.sqs import account
from celeriac.model import names, settings
from celeriac.model.errors import CeleriacError

# The bucket's lifecycle keeps payloads as long as a message in a queue can point to them. Payloads of messages that
# wait in a schedule are kept a year longer.
SHORT, LONG = "args/", "scheduled/"
BODIES = "bodies/"


class PayloadGoneError(CeleriacError, LookupError):
    """The stored payload isn't there any more. Retrying can't help."""


def bucket(queue_name: str) -> str:
    """Return the stage's payload bucket, in the account that owns the queue `queue_name`."""
    region = client("sqs").meta.region_name
    return names.payload_bucket(settings.stage(), account(queue_name), region)


def store(queue_name: str, content: bytes, *, long: bool = False) -> str:
    """Write arguments and return their key, a hash of them. Senders may use one id twice, so the key isn't the id."""
    key = f"{LONG if long else SHORT}{sha256(content).hexdigest()}"
    client("s3").put_object(Bucket=bucket(queue_name), Key=key, Body=content)
    return key


def store_body(queue_name: str, name: str, content: bytes) -> str:
    """Write a whole body, or all attributes of a message, and return the key."""
    key = f"{BODIES}{name}"
    client("s3").put_object(Bucket=bucket(queue_name), Key=key, Body=content)
    return key


def kept(queue_name: str, key: str) -> str:
    """Make sure that stored arguments outlive a schedule, and return their key. Raises PayloadGoneError."""
    if key.startswith(LONG):
        return key
    return store(queue_name, load(queue_name, key), long=True)


def load(queue_name: str, key: str) -> bytes:
    """Read stored arguments or a stored body. Raises PayloadGoneError."""
    s3 = client("s3")
    try:
        return s3.get_object(Bucket=bucket(queue_name), Key=key)["Body"].read()
    except s3.exceptions.NoSuchKey as error:
        raise PayloadGoneError(f"its payload, stored as {key}, is gone from the payload bucket") from error
