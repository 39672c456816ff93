"""The AWS clients: one for each service in a process, made when it is first used."""

from functools import cache
from threading import Lock
from typing import TYPE_CHECKING, Any, Literal, overload

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodbstreams import DynamoDBStreamsClient
    from mypy_boto3_events import EventBridgeClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_scheduler import EventBridgeSchedulerClient
    from mypy_boto3_sqs import SQSClient


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

    return boto3.client(
        service,
        config=Config(
            connect_timeout=2,
            read_timeout=10,
            retries={"mode": "standard", "total_max_attempts": 4},
            # AWS validates too, and botocore's own validation of all arguments takes a tenth of the consumer's CPU.
            parameter_validation=False,
        ),
    )


_client = cache(make)
# Making a client takes longer than anything else here, and several threads may ask for the first one at once.
_one_at_a_time = Lock()


def error_code(error: Exception) -> str:
    """Return the code of an AWS error, such as `ConditionalCheckFailedException`; empty for any other error."""
    response = getattr(error, "response", None)
    return str(response.get("Error", {}).get("Code", "")) if isinstance(response, dict) else ""
