"""The log groups of all functions of a stage. They are in the stateful stack: logs outlive the code that wrote them."""

from collections.abc import Sequence
from datetime import timedelta
from typing import cast

from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from constructs import Construct

from celeriac.model import names
from celeriac.model.queue import Queue
from celeriac_cdk.config import StageConfig


def log_name(function: str) -> str:
    """Return the name of the log group of the function with this name."""
    return f"/aws/lambda/{function}"


class FunctionLogs(Construct):
    """A log group for each function."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        queues: Sequence[Queue],
        config: StageConfig,
        key: kms.IKey | None,
    ) -> None:
        """Build the logs of the consumers of `queues`, of the relay and of the sweeper."""
        super().__init__(scope, construct_id)
        stage = config.stage
        for queue in queues:
            self._build(f"Consumer-{queue.name}", queue.function_name(stage), config, key, queue.log_retention)
        self._build("Relay", names.relay_function(stage), config, key)
        self._build("Sweeper", names.sweeper_function(stage), config, key)

    def _build(
        self, id_: str, function: str, config: StageConfig, key: kms.IKey | None, retention: timedelta | None = None
    ) -> None:
        log = logs.LogGroup(
            self,
            id_,
            log_group_name=log_name(function),
            retention=config.log_retention,
            encryption_key=key,
            removal_policy=config.removal_policy,
        )
        if retention is not None:  # the CDK names some numbers of days, and CloudWatch takes more
            cast("logs.CfnLogGroup", log.node.default_child).retention_in_days = retention.days
