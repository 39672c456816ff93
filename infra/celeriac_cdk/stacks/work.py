"""The stateless stack: functions, mappings, schedules and alarms. It can be destroyed and deployed at any time."""

from collections.abc import Callable, Sequence
from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from celeriac import Task
from celeriac.model import names
from celeriac.model.queue import Queue
from celeriac.model.table import Table
from celeriac_cdk.application import Application
from celeriac_cdk.config import StageConfig, stack_id
from celeriac_cdk.halves.work import Work


class WorkStack(cdk.Stack):
    """`<application>-<stage>--work`: a consumer for each queue, relay and sweeper, recurring tasks, and the alarms."""

    def __init__(
        self,
        scope: Construct,
        config: StageConfig,
        *,
        queues: Sequence[Queue],
        tables: Sequence[Table],
        tasks: Sequence[Task[..., Any, Any]],
        application: Application,
        code: Callable[[str, str], lambda_.Code],
        outbox_stream_arn: str,
        key_arn: str | None,
        region: str | None = None,
    ) -> None:
        """Build the functions from `code`, which gives the bundle for an architecture.

        The two ARNs come from the other stack: no name determines them.
        """
        super().__init__(
            scope,
            stack_id(config, "work", region),
            stack_name=names.part(config.stage, "work"),
            env=config.environment(region),
            tags=config.tags,
            description=f"Celeriac, {config.application} {config.stage}: consumers, relay and alarms",
            suppress_template_indentation=True,  # a template has at most 1 MB
        )
        # The key is imported by its ARN, so that this stack doesn't change the key's policy in the other stack.
        self.key = kms.Key.from_key_arn(self, "Key", key_arn) if key_arn is not None else None
        self.work = Work(
            self,
            "Default",
            config,
            queues=queues,
            tables=tables,
            tasks=tasks,
            application=application,
            code=code,
            outbox_stream_arn=outbox_stream_arn,
            key=self.key,
            region=region,
        )
