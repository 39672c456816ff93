"""The stateless stack: functions, mappings, schedules and alarms. It can be destroyed and deployed at any time."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from celeriac import Task
from celeriac.declare.events import declared_events
from celeriac.model import declared, names
from celeriac.model.queue import Queue, problems_of_environment
from celeriac.model.stages import PROBES_OUTPUT
from celeriac.model.table import Table
from celeriac_cdk import permissions
from celeriac_cdk.application import Application
from celeriac_cdk.config import ConfigError, StageConfig, stack_id
from celeriac_cdk.constructs.consumer import Consumer
from celeriac_cdk.constructs.crons import Crons
from celeriac_cdk.constructs.handler import Runtime
from celeriac_cdk.constructs.key import encrypting
from celeriac_cdk.constructs.relay import Relay
from celeriac_cdk.constructs.sweeper import Sweeper
from celeriac_cdk.declarations import events
from celeriac_cdk.monitoring.alarms import Alarms
from celeriac_cdk.monitoring.dashboard import dashboard
from celeriac_cdk.monitoring.notice import Notice
from celeriac_cdk.monitoring.queries import queries
from celeriac_cdk.monitoring.times import in_words
from celeriac_cdk.monitoring.topics import pages, tickets
from celeriac_cdk.nag import acknowledge, acknowledge_wildcard
from celeriac_cdk.rights import given_to, moved_from, of_consumer, of_publishers

_PAYLOADS = "the name of a payload is known only when it is stored"
_THROTTLED = timedelta(hours=1)
"""What a queue should survive."""
_SCHEDULES = "the name of a schedule is known only when it is created; the group is fixed"


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
        code: Callable[[str], lambda_.Code],
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
        key = kms.Key.from_key_arn(self, "Key", key_arn) if key_arn is not None else None
        application.check([queue.name for queue in queues], [table.name for table in tables])
        runtime = Runtime(config, code, key)
        alarms = Alarms(config, pages(self, config), tickets(self, config))
        given = {queue.name: given_to(queue, tasks, application) for queue in queues}
        for queue in queues:
            for problem in problems_of_environment({**given[queue.name].environment, **queue.environment}):
                raise ConfigError(f"the queue {queue.name!r}, with what infra/application.py gives it: {problem}")
            self._warn_of_few_receives(queue)
            self._warn_of_shared_rights(queue, moved_from(queue, tasks), application)
        consumers = [
            Consumer(
                self,
                f"Consumer-{queue.name}",
                queue=queue,
                runtime=runtime,
                permissions=of_consumer(queue, given[queue.name], queues, tasks, config.stage),
                environment=given[queue.name].environment,
                alarms=alarms,
            )
            for queue in queues
        ]
        for queue, consumer in zip(queues, consumers, strict=True):
            for resource in permissions.payload_objects(config.stage, queue.name):
                acknowledge_wildcard(consumer, resource, _PAYLOADS)
            acknowledge_wildcard(consumer, permissions.schedules(config.stage, queue.name), _SCHEDULES)
            for resource, reason in given[queue.name].wildcards.items():
                acknowledge_wildcard(consumer, resource, reason)
        publish = of_publishers(queues, config.stage)
        relay = Relay(
            self,
            "Relay",
            stream_arn=config.outbox_stream(region) or outbox_stream_arn,
            runtime=runtime,
            permissions=publish,
            alarms=alarms,
        )
        sweeper = Sweeper(self, "Sweeper", runtime=runtime, permissions=publish, alarms=alarms)
        Crons(self, "Crons", tasks=tasks, stage=config.stage, key=encrypting(key, config))
        self._watch_tables(tables, alarms)
        self._watch_schedules_and_bus(alarms)
        cdk.CfnOutput(self, PROBES_OUTPUT, value="1", description="celeriac smoke knows them")
        self._acknowledge(config.stage)
        self._warn_of_unused(application.unused(tables))
        self._warn_of_events(tasks)
        if config.watched:
            dashboard(self, queues, alarms)
        if not config.local:  # the local cloud's CloudFormation has no saved queries
            queries(self, [*(each.function for each in consumers), relay.function, sweeper.function], config.stage)

    def _watch_tables(self, tables: Sequence[Table], alarms: Alarms) -> None:
        """Watch the tables. Few read the stage's own tables, so a throttle there is one of writes."""
        stage = alarms.config.stage
        outbox = names.outbox_table(stage)
        ours = "Tasks are handed back and run later, and no attempt is charged."
        for table in (names.idempotency_table(stage), outbox):
            alarms.when_throttled(self, table=table, means=ours)
        alarms.when_throttled(self, table=outbox, index=names.outbox_index(), means=ours)
        theirs = "Tasks that get this error fail, and are tried again as their policy says."
        for own in tables:
            alarms.when_throttled(self, table=own.physical_name(stage), kinds=("Read", "Write"), means=theirs)

    def _watch_schedules_and_bus(self, alarms: Alarms) -> None:
        stage = alarms.config.stage
        unsent, schedules = names.schedule_dead_letters(stage), Construct(self, "Schedules")
        alarms.when_letters(
            schedules,
            queue=unsent,
            notice=Notice(
                "EventBridge Scheduler could not send tasks, delayed or recurring ones, to their queues.",
                f"The messages are in {unsent}. The attributes of each say why it could not be sent.",
                f"Type `celeriac --stage {stage} doctor`, and deploy. Then send each body to the queue of its task.",
                "no message is left",
                "delayed-tasks-that-couldnt-be-sent",
            ),
        )
        alarms.before_letters_are_deleted(
            schedules, queue=unsent, do="Send each body to the queue of its task, and delete the messages."
        )
        if declared.outbox().bus:
            alarms.when_letters(
                Construct(self, "Bus"),
                queue=names.bus_dead_letters(stage),
                notice=Notice(
                    "The bus could not send events on.",
                    "It could not use the stage's key. The outbox keeps the events.",
                    f"Give the key back, then type `celeriac --stage {stage} outbox replay --type TYPE --since 1d`.",
                    "no message is left",
                    "events-that-the-bus-couldnt-send-on",
                ),
            )

    def _warn_of_unused(self, tables: Sequence[Table]) -> None:
        for table in tables:
            cdk.Annotations.of(self).add_warning_v2(
                f"celeriac:table-{table.name}",
                f"no task may use the table {table.name!r}: add to application() in infra/application.py, for the "
                f'queue of such a task, application.queue("{next(iter(declared.queues()), "NAME")}").table(...)',
            )

    def _warn_of_events(self, tasks: Sequence[Task[..., Any, Any]]) -> None:
        literal = events.emitted(events.sources())
        for warning in events.warnings(tasks, declared_events(tasks), literal, has_bus=declared.outbox().bus):
            cdk.Annotations.of(self).add_warning_v2(f"celeriac:{warning.id}", warning.text)

    def _warn_of_few_receives(self, queue: Queue) -> None:
        if queue.max_receives is not None and queue.survives < _THROTTLED:
            cdk.Annotations.of(self).add_warning_v2(
                f"celeriac:receives-{queue.name}",
                f"the queue {queue.name}: if Lambda throttles its consumer for longer than {in_words(queue.survives)}, "
                "SQS moves its messages to the dead-letter queue, because max_receives is "
                f"{queue.max_receives}: leave it out",
            )

    def _warn_of_shared_rights(self, queue: Queue, others: Sequence[str], application: Application) -> None:
        for other in others:
            shared = application.of(other)
            if shared.statements or shared.tables or shared.environment:
                cdk.Annotations.of(self).add_warning_v2(
                    f"celeriac:moved-{other}-{queue.name}",
                    f"every task of the queue {queue.name!r} has the rights and variables of the queue {other!r}, "
                    f"because tasks that have moved there may still run from {queue.name!r}: take it out of their "
                    "former_queues as soon as it holds none of their messages",
                )

    def _acknowledge(self, stage: str) -> None:
        acknowledge(self, "L1", "tests run on Python 3.13, which Lambda supports until 2029")
        wildcards = {
            **dict.fromkeys(permissions.payload_objects(stage), _PAYLOADS),
            permissions.schedules(stage): _SCHEDULES,
            permissions.scheduler_roles(stage): "each of these roles sends to a queue of the stage, and nothing else",
            "*": "X-Ray's segments, network interfaces, and the lists of queues and schedules have no resource to name",
            permissions.queues(stage): "the sweeper counts messages also in queues that were removed from the stage",
        }
        for resource, reason in wildcards.items():
            acknowledge_wildcard(self, resource, reason)
