"""The construct `Celeriac`: a task queue in anyone's CDK application."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sns as sns
from constructs import Construct
from msgspec.structs import replace

from celeriac.model import names, settings
from celeriac.model.on_path import put_on_path
from celeriac.model.project import read
from celeriac.model.queue import DEFAULT_RUNTIME, Queue
from celeriac.model.stages import QueueNumbers, StageSettings
from celeriac_cdk.bundle.source import Source
from celeriac_cdk.config import ConfigError, StageConfig, switch
from celeriac_cdk.constructs.code import codes
from celeriac_cdk.constructs.handler import Network
from celeriac_cdk.declarations.load import declarations
from celeriac_cdk.declarations.numbers import with_numbers
from celeriac_cdk.declarations.source import check_import, check_neighbours, find_source
from celeriac_cdk.halves.page import operators_page
from celeriac_cdk.halves.state import State
from celeriac_cdk.halves.work import Work, warn_of_silence
from celeriac_cdk.host.grants import belongs_to
from celeriac_cdk.host.home import Home, check_once, only
from celeriac_cdk.host.outbox import OutboxOfStage
from celeriac_cdk.host.queue import QueueOfStage
from celeriac_cdk.host.undo import Undo
from celeriac_cdk.monitoring.topics import Topics
from celeriac_cdk.user_errors import USER_ERRORS

if TYPE_CHECKING:
    from celeriac_cdk.page.settings import Web


class Celeriac(Construct):
    """A stage of a task queue: queues, workers, outbox, alarms. It goes into any stack, any number of times.

    Example:
        tasks = Celeriac(self, "Tasks", source="src/shop_tasks", stage="prod", vpc=vpc, alarm_topic=topic)
        tasks.queue("payments").grant_enqueue(api_function)

    docs/howto/construct.md tells the rest.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        source: str | Path,
        stage: str,
        name: str | None = None,
        project: str | Path | None = None,
        settings: StageSettings | None = None,
        queues: Mapping[str, QueueNumbers] | None = None,
        vpc: ec2.IVpc | None = None,
        vpc_subnets: ec2.SubnetSelection | None = None,
        security_groups: Sequence[ec2.ISecurityGroup] = (),
        alarm_topic: sns.ITopic | None = None,
        ticket_topic: sns.ITopic | None = None,
        state_scope: Construct | None = None,
        web: "Web | None" = None,
    ) -> None:
        """Build the stage.

        source: the folder of the package with the tasks, relative to the folder in which cdk runs.
        stage: its name, 1-17 of a-z, 0-9 and single hyphens.
        name: the application's name, 1-20 of a-z and 0-9. None: the one in celeriac.toml.
        project: the folder with the lock file. None: that of celeriac.toml, or the nearest Python project above source.
        settings: what the stage has otherwise than by default. None: what celeriac.toml says of it.
        queues: the stage's own numbers for some queues, by their names; they replace those of the settings.
        vpc, vpc_subnets, security_groups: the network of the queues with `vpc=True`. Without security groups one is
            made, which may reach everything.
        alarm_topic, ticket_topic: who hears of alarms now, and in the morning. The latter is by default the former.
        state_scope: where the queues and tables are built, such as a stack that is protected. None: here.
        web: the operators' page for people without AWS credentials. None, and in the local cloud: there is none.

        Raises ConfigError for arguments that can't be used or don't fit together, and DeclarationError for tasks and
        queues that can't be deployed. The message says what to do. An instance that raises leaves nothing in the app.
        """
        super().__init__(scope, construct_id)
        undo = Undo(self, state_scope, f"{construct_id}State")
        try:
            found = find_source(source, project)
            config = _config(
                self, found, stage, name, given=settings, queues=queues or {}, with_topic=alarm_topic is not None
            )
            _check_place(self, state_scope)
            check_once(self, config)
            put_on_path(found.root)
            topics = Topics(alarm_topic, ticket_topic)
            with only(config.application, found.package.name):
                check_import(found)
                declared, tables, tasks = declarations()
                check_neighbours(found)
                declared = with_numbers(declared, config)
                kept_in = state_scope or self
                self.state = State(
                    kept_in,
                    "State" if kept_in is self else f"{construct_id}State",
                    config,
                    queues=declared,
                    tables=tables,
                    tasks=tasks,
                    topics=topics,
                )
                self.key: kms.IKey | None = self.state.key
                """The stage's key; None if keys of AWS encrypt its data."""
                account, region = cdk.Stack.of(self).account, cdk.Stack.of(self).region
                self.work = Work(
                    self,
                    "Work",
                    config,
                    queues=declared,
                    tables=tables,
                    tasks=tasks,
                    code=codes(self.node, found, config),
                    outbox_stream_arn=self.state.outbox_stream_arn,
                    # Imported by its ARN, so that the functions don't change the key's policy.
                    key=kms.Key.from_key_arn(self, "Key", self.key.key_arn) if self.key is not None else None,
                    topics=topics,
                    network=self._network(declared, vpc, vpc_subnets, security_groups, is_used=web is not None),
                    region=None if cdk.Token.is_unresolved(region) else region,
                )
            self._order()
            warn_of_silence(self, config, topics)
            for each in {self, self.state}:
                for tag, value in config.tags.items():
                    cdk.Tags.of(each).add(tag, value)
            self._source = found
            self._home = Home(config, found.package.name, tasks, self.key, account, region)
            self._queues = {queue.name: self._queue(queue) for queue in declared}
            with self._home.named():
                self.page = operators_page(self.work, web, found, context=self, vpc=vpc, key=self.key)
            """The operators' page; None if none was asked for."""
            self.outbox = OutboxOfStage(self.state, self.work, self._home)
            for function in (
                self.outbox.relay,
                self.outbox.sweeper,
                *(each.process for each in self._queues.values()),
            ):
                belongs_to(function, self._home)
        except USER_ERRORS as error:
            undo()
            # The message says it all; the frames of the CDK and of this package would only hide it.
            raise error.with_traceback(None) from None
        except Exception:
            undo()
            raise

    def queue(self, name: str) -> QueueOfStage:
        """Return a queue by its name. Raises ConfigError for one that isn't declared."""
        return _one(self._queues, "queue", name, self._home.package)

    @property
    def queues(self) -> Mapping[str, QueueOfStage]:
        """Every queue, by its name."""
        return self._queues

    def table(self, name: str) -> dynamodb.Table:
        """Return a table that the application declares, by its name. Raises ConfigError for one that isn't declared."""
        return _one(self.state.tables, "table", name, self._home.package)

    def code(self, architecture: Literal["arm64", "x86_64"] = "arm64", runtime: str = DEFAULT_RUNTIME) -> lambda_.Code:
        """Return the bundle of the consumers, for a function of yours that imports the tasks and enqueues them."""
        return codes(self.node, self._source, self._home.config)(architecture, runtime)

    @property
    def records(self) -> dynamodb.Table:
        """The table with the records of tasks that run, and of those that have."""
        return self.state.records

    @property
    def flow(self) -> dynamodb.Table:
        """The table with what limits, unique tasks and debounced tasks hold: docs/reference/flow-table.md."""
        return self.state.flow

    @property
    def payloads(self) -> s3.Bucket:
        """The bucket for arguments that SQS can't carry."""
        return self.state.payloads

    @property
    def dashboard(self) -> cloudwatch.Dashboard | None:
        """None in an ephemeral stage."""
        return self.work.dashboard

    @property
    def alarms(self) -> Sequence[cloudwatch.Alarm]:
        """All alarms that tell somebody; none in an ephemeral stage."""
        return tuple(self.work.alarms.raised)

    @property
    def environment(self) -> Mapping[str, str]:
        """The variables of a process that sends to the stage, for one that a grant can't set them for."""
        return self._home.environment

    def metric_dead_letters(self, queue: str) -> cloudwatch.Metric:
        """Dead letters of a queue that nobody has redriven or discarded. Raises ConfigError for an unknown queue."""
        return self.queue(queue).metric_dead_letters()

    def _queue(self, queue: Queue) -> QueueOfStage:
        consumer = self.work.consumers[queue.name]
        alarms = [alarm for alarm in self.work.alarms.raised if alarm.node.scope is consumer]
        return QueueOfStage(queue, self.state.queues[queue.name], consumer, self._home, alarms=alarms)

    def _network(
        self,
        queues: Sequence[Queue],
        vpc: ec2.IVpc | None,
        subnets: ec2.SubnetSelection | None,
        groups: Sequence[ec2.ISecurityGroup],
        *,
        is_used: bool,
    ) -> Network | None:
        if vpc is None:
            if subnets is not None or groups:
                raise ConfigError(f"{self.node.path}: vpc_subnets and security_groups need vpc=")
            return None
        if not any(queue.is_in_vpc for queue in queues):
            if not is_used:  # the page runs in it
                cdk.Annotations.of(self).add_warning_v2(
                    "celeriac:vpc",
                    "vpc is given, and no consumer runs in it: write vpc=True in the Queue(...) of those that need it",
                )
            return None
        made = groups or [ec2.SecurityGroup(self, "SecurityGroup", vpc=vpc, description="Celeriac: consumers")]
        return Network(vpc, subnets, made)

    def _order(self) -> None:
        """Let the work begin when all of the state is there: its functions find queues, logs and roles by their names.

        In one stack each resource of the work would have to name each one of the state. So an empty resource stands
        between them: it waits for the state, and the work waits for it.
        """
        here, there = cdk.Stack.of(self), cdk.Stack.of(self.state)
        if here is there:
            between = cdk.CfnWaitConditionHandle(self, "StateIsThere")
            between.node.add_dependency(self.state)
            self.work.node.add_dependency(between)
        elif here.nested or there.nested:
            self.work.node.add_dependency(self.state)
        else:
            here.add_stack_dependency(there)


def _check_place(scope: Construct, state_scope: Construct | None) -> None:
    """Raise ConfigError for a state in another account or region: the work finds it by names, and there isn't any."""
    here, there = cdk.Stack.of(scope), cdk.Stack.of(state_scope or scope)
    if (here.account, here.region) != (there.account, there.region):
        raise ConfigError(
            f"{scope.node.path}: state_scope is in another account or region than the construct: give both stacks the "
            "same env="
        )


def _config(
    scope: Construct,
    source: Source,
    stage: str,
    name: str | None,
    *,
    given: StageSettings | None,
    queues: Mapping[str, QueueNumbers],
    with_topic: bool,
) -> StageConfig:
    has_file = settings.project_file(source.package) is not None
    if name is None and not has_file:
        raise ConfigError(
            f'{scope.node.path}: the application has no name: give name="shop", or write one in {settings.FILE} beside '
            "its lock file. It begins the name of every resource"
        )
    project = read(source.package) if has_file else None
    application = name or (project.name if project is not None else "")
    try:
        with settings.named(application):
            names.prefix(stage)
    except ValueError as error:
        raise ConfigError(f"{scope.node.path}: {error}") from error
    found = given or (project.stage(stage) if project is not None else StageSettings())
    found = replace(found, queues={**found.queues, **queues})
    if with_topic and not found.ephemeral and (found.alarm_emails or found.alarm_topic):
        raise ConfigError(
            f"{scope.node.path}: alarm_topic is given, and the settings of the stage have alarm_emails or an "
            "alarm_topic: keep one of them, and subscribe the addresses to the topic"
        )
    for key, problem in found.problems():
        raise ConfigError(f"{scope.node.path}: {key} {problem}")
    account = cdk.Stack.of(scope).account
    if found.account is not None and not cdk.Token.is_unresolved(account) and found.account != account:
        raise ConfigError(
            f"{scope.node.path}: {settings.FILE} gives the stage {stage!r} to the account {found.account}, and its "
            f"stack is for {account}: deploy it there, or correct the file"
        )
    local, plain = (switch(scope.node, key) for key in ("local_cloud", "plain_botocore"))
    return StageConfig(application, stage, found, local, plain, hosted=True)


def _one[T](known: Mapping[str, T], kind: str, name: str, package: str) -> T:
    if name not in known:
        there = f"there are {', '.join(sorted(known))}" if known else "it declares none"
        raise ConfigError(f"{package}/{kind}s.py declares no {kind} {name!r}; {there}")
    return known[name]
