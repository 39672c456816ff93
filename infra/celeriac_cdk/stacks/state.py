"""The stateful stack: queues, tables and buckets that hold accepted messages and their records."""

from collections.abc import Sequence
from typing import Any

import aws_cdk as cdk
from constructs import Construct

from celeriac import Task
from celeriac.model import names
from celeriac.model.queue import Queue
from celeriac.model.table import Table
from celeriac_cdk.config import BuildState, StageConfig, stack_id
from celeriac_cdk.halves.state import State


class StateStack(cdk.Stack):
    """`<application>-<stage>--state`: deploy it before the functions, destroy it after them."""

    def __init__(
        self,
        scope: Construct,
        config: StageConfig,
        *,
        queues: Sequence[Queue],
        tables: Sequence[Table],
        tasks: Sequence[Task[..., Any, Any]],
        application: BuildState,
        region: str | None = None,
    ) -> None:
        """Build the queues, tables and bucket of the stage, and the constructs of `application`.

        tasks: they tell which producers need more than to send.
        """
        super().__init__(
            scope,
            stack_id(config, "state", region),
            stack_name=names.part(config.stage, "state"),
            env=config.environment(region),
            tags=config.tags,
            description=f"Celeriac, {config.application} {config.stage}: queues, tables, payloads and logs",
            termination_protection=config.keep_data,
            suppress_template_indentation=True,  # a template has at most 1 MB
        )
        self.state = State(self, "Default", config, queues=queues, tables=tables, tasks=tasks, application=application)
        # The export stays when the other stack no longer imports it: CloudFormation would delete it first, and refuse.
        self.export_value(self.state.outbox_stream_arn)
