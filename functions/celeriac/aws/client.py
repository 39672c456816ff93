"""The AWS clients: one for each service in a process, made when it is first used, and made anew after a fork."""

import sys
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, overload

from celeriac.model.forks import Lock, after_fork, after_fork_in_child
from celeriac.model.queue import MAX_TASKS_AT_ONCE

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
    """Return the boto3 client of `service`. Its time limits fit a task's: boto3's 60 s exceed most queues' timeouts."""
    with _one_at_a_time:
        return _client(service)


def make(service: Any) -> Any:
    """Make a new client, see `client`."""
    # Imported here because importing boto3 takes 100 ms, and a producer may never need it.
    import boto3  # noqa: PLC0415
    from botocore.config import Config  # noqa: PLC0415

    is_session_ours = boto3.DEFAULT_SESSION is None
    made: Any = boto3.client(
        service,
        config=Config(
            connect_timeout=2,
            read_timeout=10,
            retries={"mode": "standard", "total_max_attempts": 4},
            max_pool_connections=MOST_CONNECTIONS,
            # AWS validates too, and botocore's own validation of all arguments takes a tenth of the consumer's CPU.
            parameter_validation=False,
        ),
    )
    if is_session_ours:
        _our_sessions.append(boto3.DEFAULT_SESSION)
    return made


_client = cache(make)
# Making a client takes longer than anything else here, and several threads may ask for the first one at once.
_one_at_a_time = Lock()
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


after_fork(_forget_clients)
after_fork_in_child(_forget_session)


def error_code(error: Exception) -> str:
    """Return the code of an AWS error, such as `ConditionalCheckFailedException`; empty for any other error."""
    response = getattr(error, "response", None)
    return str(response.get("Error", {}).get("Code", "")) if isinstance(response, dict) else ""
