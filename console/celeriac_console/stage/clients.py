"""The AWS clients that only an operator needs."""

from functools import cache
from typing import TYPE_CHECKING, Any, Literal, overload

from celeriac.aws import client as clients

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_cloudwatch import CloudWatchClient
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_logs import CloudWatchLogsClient
    from mypy_boto3_sts import STSClient


@overload
def client(service: Literal["cloudformation"]) -> "CloudFormationClient": ...
@overload
def client(service: Literal["cloudwatch"]) -> "CloudWatchClient": ...
@overload
def client(service: Literal["lambda"]) -> "LambdaClient": ...
@overload
def client(service: Literal["logs"]) -> "CloudWatchLogsClient": ...
@overload
def client(service: Literal["application-autoscaling", "ecs", "service-quotas"]) -> Any: ...
@overload
def client(service: Literal["sts"]) -> "STSClient": ...
def client(service: Any) -> Any:
    """The client of `service`, with the same configuration as the runtime's clients."""
    with clients.one_at_a_time:
        return _client(service)


_client = cache(clients.make)


def forget() -> None:
    """Forget all clients, also the runtime's: boto3 doesn't read again what another program wrote as credentials."""
    clients.forget()
    _client.cache_clear()
