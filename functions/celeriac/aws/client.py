"""The AWS clients, one of each in a process, made when first used."""

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
    """The boto3 client of `service`, with time limits that fit a task's: boto3's own 60 s outlast most queues."""
    with _one_at_a_time:
        return _client(service)


def make(service: Any) -> Any:
    """A new client, see `client`."""
    # Imported here because boto3 costs a producer 100 ms that it may never need.
    import boto3  # noqa: PLC0415
    from botocore.config import Config  # noqa: PLC0415

    return boto3.client(
        service,
        config=Config(
            connect_timeout=2,
            read_timeout=10,
            retries={"mode": "standard", "total_max_attempts": 4},
            # AWS validates too: botocore's own look at every argument is a tenth of the consumer's CPU.
            parameter_validation=False,
        ),
    )


_client = cache(make)
# Making a client takes longer than anything else here, and several threads may want the first one at once.
_one_at_a_time = Lock()


def error_code(error: Exception) -> str:
    """The code in an AWS error's answer, such as `ConditionalCheckFailedException`; empty for any other error."""
    response = getattr(error, "response", None)
    return str(response.get("Error", {}).get("Code", "")) if isinstance(response, dict) else ""
