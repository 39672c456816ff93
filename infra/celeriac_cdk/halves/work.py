"""The work of a stage: functions, mappings, schedules and alarms. It can be deleted and deployed at any time."""

import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from celeriac import Task
from celeriac.declare.declared_limits import limits_of
from celeriac.declare.events import declared_events
from celeriac.model import declared, names, settings
from celeriac.model.limits import Concurrent
from celeriac.model.queue import DEFAULT_RUNTIME, Queue, keep_history, problems_of_environment
from celeriac.model.stages import PROBES_OUTPUT
from celeriac.model.table import Table
from celeriac_cdk import flow_rights, permissions
from celeriac_cdk.application import Application
from celeriac_cdk.bundle.target import on_lambda
from celeriac_cdk.config import ConfigError, StageConfig
from celeriac_cdk.constructs.aws_events import AwsEvents
from celeriac_cdk.constructs.consumer import Consumer
from celeriac_cdk.constructs.crons import Crons
from celeriac_cdk.constructs.handler import Network, Runtime
from celeriac_cdk.constructs.key import encrypting
from celeriac_cdk.constructs.relay import Relay
from celeriac_cdk.constructs.sweeper import Sweeper
from celeriac_cdk.declarations import events
from celeriac_cdk.monitoring.alarms import Alarms
from celeriac_cdk.monitoring.breakers import watch_breakers
from celeriac_cdk.monitoring.dashboard import dashboard
from celeriac_cdk.monitoring.hooks import watch_hooks
from celeriac_cdk.monitoring.notice import Notice
from celeriac_cdk.monitoring.queries import queries
from celeriac_cdk.monitoring.times import in_words
from celeriac_cdk.monitoring.topics import Topics, pages, tickets
from celeriac_cdk.nag import acknowledge, acknowledge_wildcard
from celeriac_cdk.rights import given_to, moved_from, of_consumer, of_publishers

if TYPE_CHECKING:
    from celeriac_cdk.constructs.containers import Cluster, Containers

_PAYLOADS = "the name of a payload is known only when it is stored"
_THROTTLED = timedelta(hours=1)
"""What a queue should survive."""
_HOT_LIMIT = (
    "Tasks with limits wait some seconds more, unique and debounced ones are handed back; no attempt is charged. "
    "One limit and key takes 1,000 writes a second."
)
_SCHEDULES = "the name of a schedule is known only when it is created; the group is fixed"


class Work(Construct):
    """What runs: a consumer for each queue, relay and sweeper, recurring tasks; and the alarms, dashboard and queries.

    Its id is `Default` in a stack of Celeriac's own, and the CDK leaves such an id out of logical ids.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        config: StageConfig,
        *,
        queues: Sequence[Queue],
        tables: Sequence[Table],
        tasks: Sequence[Task[..., Any, Any]],
        code: Callable[[str, str], lambda_.Code],
        outbox_stream_arn: str,
        key: kms.IKey | None,
        application: Application | None = None,
        topics: Topics | None = None,
        network: Network | None = None,
        region: str | None = None,
    ) -> None:
        """Build the functions from `code`, which gives the bundle for an architecture and a runtime.

        The stream and the key come from the state: no name determines them.
        application: what infra/application.py gives to each queue. None if the rights are given to the consumers later.
        topics: those that the alarms go to, if not the stage's own.
        network: the VPC of the queues with vpc=True, if not that of celeriac.toml.
        """
        super().__init__(scope, construct_id)
        self.config = config
        asked, application = application is not None, application or Application(config)
        application.check([queue.name for queue in queues], [table.name for table in tables])
        self.architecture, self.python = architecture, python = _usual(queues)
        runtime = Runtime(config, code, key, network, architecture, python)
        alarms = self.alarms = Alarms(config, pages(self, config, topics), tickets(self, config, topics))
        given = {queue.name: given_to(queue, tasks, application) for queue in queues}
        for queue in queues:
            for problem in problems_of_environment({**given[queue.name].environment, **queue.environment}):
                raise ConfigError(f"the queue {queue.name!r}, with what infra/application.py gives it: {problem}")
            self._warn_of_few_receives(queue)
            self._warn_of_another_python(queue, config)
            self._warn_of_shared_rights(queue, moved_from(queue, tasks), application)
        build = self._builder(runtime, alarms)
        consumers = [
            build(
                queue,
                of_consumer(queue, given[queue.name], queues, tasks, config.stage),
                given[queue.name].environment,
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
        self.consumers = dict(zip(given, consumers, strict=True))
        relay = self.relay = Relay(
            self,
            "Relay",
            stream_arn=config.outbox_stream(region) or outbox_stream_arn,
            runtime=runtime,
            permissions=publish,
            alarms=alarms,
        )
        sweeper = self.sweeper = Sweeper(
            self,
            "Sweeper",
            runtime=runtime,
            permissions=[*publish, *flow_rights.of_sweeper(tasks, config.stage)],
            alarms=alarms,
        )
        self.crons = Crons(self, "Crons", tasks=tasks, stage=config.stage, key=encrypting(key, config))
        AwsEvents(self, "AwsEvents", tasks=tasks, alarms=alarms)
        self._watch_tables(tables, alarms, keeps_history=keep_history(queues))
        if flow_rights.is_used(tasks):
            alarms.when_throttled(self, table=names.flow_table(config.stage), means=_HOT_LIMIT)
        watch_breakers(self, alarms, tasks)
        self._watch_schedules_and_bus(alarms)
        watch_hooks(self, alarms)
        cdk.CfnOutput(self, PROBES_OUTPUT, value="1", description="celeriac smoke knows them")
        self._acknowledge(config.stage)
        if asked:
            self._warn_of_unused(application.unused(tables))
        self._warn_of_events(tasks)
        self._tell_of_single_places(tasks)
        self.dashboard = dashboard(self, queues, limits_of(tasks), alarms) if config.watched else None
        if not config.local:  # the local cloud's CloudFormation has no saved queries
            logs = [*(each.log_group for each in consumers), relay.function.log_group, sweeper.function.log_group]
            queries(self, logs, config.stage)

    def _builder(
        self, runtime: Runtime, alarms: Alarms
    ) -> "Callable[[Queue, Sequence[iam.PolicyStatement], Mapping[str, str]], Consumer | Containers]":
        """What builds the consumer of a queue of its rights and variables."""

        @cache
        def cluster() -> "Cluster":
            from celeriac_cdk.constructs.containers import Cluster  # noqa: PLC0415 - aws_ecs takes a second, for few

            return Cluster(self, "Workers", stage=runtime.config.stage)

        def build(
            queue: Queue, rights: Sequence[iam.PolicyStatement], variables: Mapping[str, str]
        ) -> "Consumer | Containers":
            id_ = f"Consumer-{queue.name}"
            if not queue.is_on_fargate:
                return Consumer(
                    self, id_, queue=queue, runtime=runtime, permissions=rights, environment=variables, alarms=alarms
                )
            from celeriac_cdk.constructs.containers import Containers  # noqa: PLC0415 - as above

            return Containers(
                self,
                id_,
                queue=queue,
                cluster=cluster(),
                runtime=runtime,
                permissions=rights,
                environment=variables,
                alarms=alarms,
            )

        return build

    def _watch_tables(self, tables: Sequence[Table], alarms: Alarms, *, keeps_history: bool) -> None:
        """Watch the tables. Few read the stage's own tables, so a throttle there is one of writes."""
        stage = alarms.config.stage
        outbox, records = names.outbox_table(stage), names.idempotency_table(stage)
        ours = "Tasks are handed back and run later, and no attempt is charged."
        for table in (records, outbox):
            alarms.when_throttled(self, table=table, means=ours)
        alarms.when_throttled(self, table=outbox, index=names.outbox_index(), means=ours)
        if keeps_history:
            alarms.when_throttled(self, table=records, index=names.runs_index(), means=ours)
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

    def _tell_of_single_places(self, tasks: Sequence[Task[..., Any, Any]]) -> None:
        for limit in limits_of(tasks):
            if isinstance(limit, Concurrent) and limit.places == 1:
                cdk.Annotations.of(self).add_info(
                    f"the limit {limit.name!r} has one place: its tasks run one at a time, in no certain order. The "
                    "groups of a FIFO queue do that too, in order, and cost no write: options(group=...)"
                )

    def _warn_of_events(self, tasks: Sequence[Task[..., Any, Any]]) -> None:
        literal = events.emitted(events.sources())
        for warning in events.warnings(tasks, declared_events(tasks), literal, has_bus=declared.outbox().bus):
            cdk.Annotations.of(self).add_warning_v2(f"celeriac:{warning.id}", warning.text)

    def _warn_of_few_receives(self, queue: Queue) -> None:
        if queue.max_receives is not None and queue.survives < _THROTTLED:
            fails = "its containers hand messages back" if queue.is_on_fargate else "Lambda throttles its consumer"
            cdk.Annotations.of(self).add_warning_v2(
                f"celeriac:receives-{queue.name}",
                f"the queue {queue.name}: if {fails} for longer than {in_words(queue.survives)}, "
                "SQS moves its messages to the dead-letter queue, because max_receives is "
                f"{queue.max_receives}: leave it out",
            )

    def _warn_of_another_python(self, queue: Queue, config: StageConfig) -> None:
        if not config.local and not on_lambda(queue.architecture, queue.runtime).has_our_byte_code:
            here = f"{sys.version_info[0]}.{sys.version_info[1]}"
            cdk.Annotations.of(self).add_warning_v2(
                f"celeriac:runtime-{queue.name}",
                f"the queue {queue.name} runs on {queue.runtime}, and this synth on Python {here}: the bundle has no "
                "byte code, so each cold start compiles it and takes about twice as long. Synthesize with the same "
                "version of Python",
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


def _usual(queues: Sequence[Queue]) -> tuple[str, str]:
    """Architecture and runtime of relay and sweeper: they load the tasks too, so they run where most consumers do."""
    found = Counter((queue.architecture, queue.runtime) for queue in queues)
    if not found:
        return "arm64", DEFAULT_RUNTIME
    return max(found, key=lambda each: (found[each], each[1], each[0] == "arm64"))


def warn_of_silence(scope: Construct, config: StageConfig, topics: Topics | None = None) -> None:
    """Warn if nobody receives the alarms of a stage."""
    given = config.settings.alarm_emails or config.settings.alarm_topic or (topics is not None and topics.pages)
    if config.watched and not config.local and not given:
        cure = "give alarm_topic= to Celeriac" if config.hosted else "write -c alarm_email=name@example.org"
        cdk.Annotations.of(scope).add_warning_v2(
            "celeriac:alarms",
            f"nobody receives the alarms of the stage {config.stage}: {cure}, set alarm_emails in {settings.FILE}, or "
            f"subscribe to the topic {names.part(config.stage, 'alarms')}",
        )
