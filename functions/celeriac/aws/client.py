"""The AWS clients of a process: made at their first use, and again after a fork.

A service has one client in most processes. A worker whose time is short has further ones, which give up sooner.
"""

import os
import platform
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, overload

from celeriac.model import given, notice
from celeriac.model.errors import NotConfiguredError
from celeriac.model.forks import Lock, after_fork, after_fork_in_child
from celeriac.model.queue import MAX_TASKS_AT_ONCE
from celeriac.model.version import VERSION

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodbstreams import DynamoDBStreamsClient
    from mypy_boto3_events import EventBridgeClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_scheduler import EventBridgeSchedulerClient
    from mypy_boto3_sqs import SQSClient

# The most open connections that a client keeps. Beyond it, boto3 opens a connection for each call and throws it away.
# They are opened when they are needed: a process has as many as it makes calls at once. Half of the most tasks at once
# leaves room in Lambda's 1,024 file descriptors, while AWS is slow, for SQS, DynamoDB and the tasks' own connections:
# https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
MOST_CONNECTIONS = MAX_TASKS_AT_ONCE // 2


class Patience(NamedTuple):
    """How long a call may take."""

    connect: int
    """Seconds for a connection."""
    read: int
    """Seconds without a byte of the answer."""
    attempts: int
    """Tries, the first one included."""

    @property
    def longest(self) -> int:
        """Seconds of the longest call without an answer. boto3 waits up to 1, 2, 4 s between its tries."""
        waits = (1 << (self.attempts - 1)) - 1
        return self.attempts * (self.connect + self.read) + waits


# The first one is that of callers without a deadline. The second one fits into two thirds of the default queue timeout.
# Two tries, because one may meet a passing error of AWS. Not more, because a try that is given up may still be carried
# out, and the next one sends the message again.
PATIENCE = (Patience(2, 10, 4), Patience(2, 6, 2), Patience(1, 3, 2), Patience(1, 1, 2), Patience(1, 1, 1))
_LONGEST = [(patience.longest, patience) for patience in PATIENCE]
SERVER_ERROR = 500
# The services that every task calls, see `wire`.
WIRED = frozenset({"dynamodb", "sqs"})
# botocore replaces the same characters, because others may end a part of the header, or the header itself.
_UNUSUAL = re.compile(r"[^a-zA-Z0-9!$%&'*+.^_`|~/#,-]")
# The share of the time that is left which one call may take. The rest is for what follows from its failure.
SHARE = 2 / 3
_deadline: float | None = None


@contextmanager
def calls_end_by(deadline: datetime) -> Iterator[None]:
    """In the block, each call ends well before `deadline`, if need be with an error, so that the worker can react.

    A process runs one invocation at a time, so all of its threads have this deadline.
    """
    global _deadline  # noqa: PLW0603 - see above
    before, _deadline = _deadline, deadline.timestamp()
    try:
        yield
    finally:
        _deadline = before


def _patience() -> Patience:
    if _deadline is None:
        return PATIENCE[0]
    deadline = _deadline if notice.ends_at is None else min(_deadline, notice.ends_at.timestamp())
    may_take = (deadline - time.time()) * SHARE
    for longest, patience in _LONGEST:
        if longest <= may_take:
            return patience
    return PATIENCE[-1]


@overload
def client(service: Literal["dynamodb"]) -> "DynamoDBClient": ...
@overload
def client(service: Literal["dynamodbstreams"]) -> "DynamoDBStreamsClient": ...
@overload
def client(service: Literal["events"]) -> "EventBridgeClient": ...
@overload
def client(service: Literal["s3"]) -> "S3Client": ...
@overload
def client(service: Literal["scheduler"]) -> "EventBridgeSchedulerClient": ...
@overload
def client(service: Literal["sqs"]) -> "SQSClient": ...
def client(service: Any) -> Any:
    """Return a boto3 client of `service` that gives up in time, see `calls_end_by`: boto3's 60 s are often too long.

    Raises NotConfiguredError without a region or credentials.
    """
    with one_at_a_time:
        return _client(service, _patience())


def patient_client(service: Literal["sqs"], seconds: int) -> "SQSClient":
    """Return a client whose calls take `seconds` longer than those of `client` in a process without a deadline.

    Raises NotConfiguredError without a region or credentials.
    """
    patience = PATIENCE[0]._replace(read=PATIENCE[0].read + seconds)
    with one_at_a_time:
        found: SQSClient = _client(service, patience)
        return found


def make(service: Any, patience: Patience = PATIENCE[0]) -> Any:
    """Make a new client, see `client`."""
    # Imported here because importing boto3 takes 100 ms, and a producer may never need it.
    from botocore.config import Config  # noqa: PLC0415

    with given.used() as configured, _explained():
        session = configured.session or _default_session()
        made: Any = session.client(
            service,
            region_name=configured.region or _region(session),
            config=Config(
                user_agent=user_agent(),
                connect_timeout=patience.connect,
                read_timeout=patience.read,
                retries={"mode": "standard", "total_max_attempts": patience.attempts},
                max_pool_connections=MOST_CONNECTIONS,
                # AWS validates too, and botocore's own validation of all arguments takes a tenth of the consumer's CPU.
                parameter_validation=False,
            ),
        )
        _check_credentials(session)
    if service in WIRED:
        from celeriac.aws import wire  # noqa: PLC0415 - see above

        wire.install(made, service, session)
    return made


def _default_session() -> Any:
    import boto3  # noqa: PLC0415 - see `make`

    if boto3.DEFAULT_SESSION is None:
        boto3.setup_default_session()
        _our_sessions.append(boto3.DEFAULT_SESSION)
    return boto3.DEFAULT_SESSION


def _region(session: Any) -> str | None:
    """The region of the session. boto3 itself doesn't read AWS_REGION, which AWS's other SDKs and Lambda know."""
    if any(session is ours for ours in _our_sessions) and not os.environ.get("AWS_DEFAULT_REGION"):
        return os.environ.get("AWS_REGION") or session.region_name
    return session.region_name or os.environ.get("AWS_REGION")


def _check_credentials(session: Any) -> None:
    from botocore.exceptions import NoCredentialsError  # noqa: PLC0415 - see `make`

    if session.get_credentials() is None:
        raise NoCredentialsError


@contextmanager
def _explained() -> Iterator[None]:
    """Raise NotConfiguredError, with the cures, for what botocore says of a missing region or missing credentials."""
    from botocore.exceptions import NoCredentialsError, NoRegionError, PartialCredentialsError  # noqa: PLC0415

    try:
        yield
    except NoRegionError as error:
        raise NotConfiguredError(
            "no AWS region is known: call celeriac.configure(region=...) at the start of this program, or set the "
            "variable AWS_REGION; in a test, use the fixture `sandbox`"
        ) from error
    except (NoCredentialsError, PartialCredentialsError) as error:
        raise NotConfiguredError(
            f"no AWS credentials are known ({str(error).rstrip('.')}): give this program a role or a profile, set "
            "AWS_PROFILE, or call celeriac.configure(session=...); in a test, use the fixture `sandbox`"
        ) from error


@cache
def user_agent() -> str:
    """What calls say of their caller, in AWS's own form: Celeriac, the libraries, and where they run.

    botocore makes its own text twice for each call, character by character: a third of the CPU of a call.
    """
    import boto3  # noqa: PLC0415 - see `make`

    parts = {
        "celeriac/": VERSION,
        "Boto3/": boto3.__version__,
        "ua/": "2.1",
        "os/": platform.system().lower(),
        "lang/python#": platform.python_version(),
        "exec-env/": os.environ.get("AWS_EXECUTION_ENV", ""),
        "app/": os.environ.get("AWS_SDK_UA_APP_ID", ""),
    }
    return " ".join(_UNUSUAL.sub("-", name + value) for name, value in parts.items() if value)


_client = cache(make)
one_at_a_time = Lock()
"""Held while a client is made. That takes longer than anything else here, several threads may ask for the first one at
once, and boto3's session isn't safe for threads."""
# boto3's default session, if it was made for a client of ours, so that it has no settings of the application.
_our_sessions: list[Any] = []


def _forget_clients() -> None:
    _client.cache_clear()


def _forget_session() -> None:
    """The session that refreshes credentials has a lock and connections too."""
    boto3: Any = sys.modules.get("boto3")
    if boto3 is not None and boto3.DEFAULT_SESSION in _our_sessions:
        boto3.DEFAULT_SESSION = None
    _our_sessions.clear()


def forget() -> None:
    """Forget all clients and the session: the next ones read the credentials from their files again."""
    with one_at_a_time:
        _forget_clients()
        _forget_session()


after_fork(_forget_clients)
after_fork_in_child(_forget_session)


def may_have_been_carried_out(error: Exception) -> bool:
    """Whether AWS may have carried out the call that ended with this error: no answer came, or AWS itself failed."""
    response = getattr(error, "response", None)
    if not isinstance(response, dict):
        return True
    return int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", SERVER_ERROR)) >= SERVER_ERROR


def error_code(error: Exception) -> str:
    """Return the code of an AWS error, such as `ConditionalCheckFailedException`; empty for any other error."""
    response = getattr(error, "response", None)
    return str(response.get("Error", {}).get("Code", "")) if isinstance(response, dict) else ""
