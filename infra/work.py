"""The stateless stack: the functions and what feeds and watches them. It may be destroyed and deployed at will."""

from collections.abc import Sequence
from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from celeriac import Task, names, registry
from celeriac.queue import Queue
from infra import permissions
from infra.alarms import alarm_topic, dead_letter_alarm
from infra.application import Application
from infra.config import StageConfig
from infra.consumer import Consumer
from infra.crons import Crons
from infra.handler import Runtime
from infra.relay import Relay
from infra.sweeper import Sweeper


class Work(cdk.Stack):
    """`celeriac-<stage>-work`: a consumer for each queue, relay and sweeper, recurring tasks, and the alarms."""

    def __init__(
        self,
        scope: Construct,
        config: StageConfig,
        *,
        queues: Sequence[Queue],
        tasks: Sequence[Task[..., Any, Any]],
        application: Application,
        code: lambda_.Code,
        outbox_stream_arn: str,
    ) -> None:
        """Build the functions from `code`. The stream's ARN holds a time, so it alone comes from the other stack."""
        super().__init__(
            scope,
            f"{names.prefix(config.stage)}-work",
            description=f"Celeriac {config.stage}: consumers, relay and alarms",
        )
        runtime = Runtime(config, code, application.environment)
        topic = alarm_topic(self, config)
        enqueue = [
            permissions.send(_all_queues(queues, config.stage)),
            *permissions.store_payloads(config.stage),
            *permissions.schedule(config.stage),
        ]
        run_tasks = [
            *enqueue,
            permissions.read_and_write_items([names.idempotency_table(config.stage)]),
            permissions.append_events(names.outbox_table(config.stage)),
            *application.permissions,
        ]
        for queue in queues:
            Consumer(self, queue, runtime=runtime, permissions=run_tasks, alarms=topic)
        publish = [*enqueue, *([permissions.put_events(names.bus(config.stage))] if registry.outbox().bus else [])]
        Relay(self, stream_arn=outbox_stream_arn, runtime=runtime, permissions=publish, alarms=topic)
        Sweeper(self, runtime=runtime, permissions=publish, alarms=topic)
        Crons(self, tasks, config.stage)
        dead_letter_alarm(
            self,
            "ScheduleDeadLetterAlarm",
            queue=names.schedule_dead_letters(config.stage),
            advice=(
                "Scheduler could not send delayed tasks to their queues. They wait whole in "
                f"{names.schedule_dead_letters(config.stage)}, with the error in their attributes: send each body to "
                "the queue it was meant for."
            ),
            topic=topic,
        )


def _all_queues(queues: Sequence[Queue], stage: str) -> list[str]:
    """Any task may enqueue any other, and dead-letters its own."""
    return [name for queue in queues for name in (queue.physical_name(stage), queue.dead_letter_name(stage))]
