"""A queue of a stage, with all that belongs to it, as objects of the CDK."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_sqs as sqs
from constructs import IConstruct

from celeriac.model import names
from celeriac.model.queue import Queue
from celeriac.observe.metric_names import Metric
from celeriac_cdk import permissions
from celeriac_cdk.config import ConfigError
from celeriac_cdk.constructs.access import to_produce
from celeriac_cdk.constructs.consumer import Consumer
from celeriac_cdk.constructs.key import use_key
from celeriac_cdk.constructs.task_queue import TaskQueue
from celeriac_cdk.host.grants import Grantee, give
from celeriac_cdk.host.home import Home
from celeriac_cdk.monitoring.metrics import measure
from celeriac_cdk.rights import to_cancel, to_read_status

if TYPE_CHECKING:
    from celeriac_cdk.constructs.containers import Containers


class QueueOfStage:
    """A queue: its resources, its metrics, and grants to those who use it."""

    def __init__(
        self,
        declared: Queue,
        built: TaskQueue,
        consumer: "Consumer | Containers",
        home: Home,
        *,
        alarms: list[cloudwatch.Alarm],
    ) -> None:
        self.declared = declared
        """The declaration, with the stage's own numbers."""
        self.queue: sqs.Queue = built.source
        self.dead_letter_queue: sqs.Queue = built.dead_letters
        self.role: iam.Role = consumer.role
        """That of the tasks. What they may do is given to it."""
        self.alias: lambda_.Alias | None = consumer.alias if isinstance(consumer, Consumer) else None
        """What the mapping invokes in a stage with a canary; None otherwise, and on Fargate."""
        self.log_group: logs.ILogGroup = consumer.log_group
        self.alarms = alarms
        """Those of this queue; empty in an ephemeral stage."""
        self._consumer, self._home = consumer, home

    @property
    def consumer(self) -> lambda_.Function:
        """The function that runs the tasks. Raises ConfigError for a queue on Fargate."""
        return self._of_lambda().function

    @property
    def mapping(self) -> lambda_.EventSourceMapping:
        """What polls the queue. Raises ConfigError for a queue on Fargate."""
        return self._of_lambda().mapping

    @property
    def process(self) -> IConstruct:
        """What runs the tasks: the function, or the task definition of ECS. A grant takes both."""
        return self._consumer.function if isinstance(self._consumer, Consumer) else self._consumer.task_definition

    def _of_lambda(self) -> Consumer:
        if not isinstance(self._consumer, Consumer):
            raise ConfigError(
                f'the queue {self.declared.name!r} has runner="fargate" and no function: use its .role, its .process '
                "or its .log_group"
            )
        return self._consumer

    def grant_enqueue(self, grantee: Grantee) -> None:
        """Let a function or a service enqueue tasks of the queue: rights, and environment variables.

        It may not read anything but the records of unique tasks. Raises ConfigError if it works with another
        application.
        """
        home = self._home
        with home.named():
            stage = home.config.stage
            give(grantee, home, to_produce(self.declared, home.tasks, stage, home.key))

    def grant_read_status(self, grantee: Grantee) -> None:
        """Let a function or a service ask for the status and the results of the queue's tasks: rights, and environment.

        Raises ConfigError if it works with another application.
        """
        home = self._home
        with home.named():
            stage = home.config.stage
            statements = to_read_status([self.declared.name], home.tasks, stage)
            statements += use_key(home.key, through=("dynamodb",))
            give(grantee, home, statements)

    def grant_cancel(self, grantee: Grantee) -> None:
        """Let a function or a service cancel the queue's tasks: rights, and environment.

        It may write the records of these tasks, and IAM can't bound what it writes there: give it only to code that
        you would trust to run them. Raises ConfigError if it works with another application.
        """
        home = self._home
        with home.named():
            statements = to_cancel([self.declared.name], home.tasks, home.config.stage)
            statements += use_key(home.key, through=("dynamodb",))
            give(grantee, home, statements)

    def use_tables(self, *tables: str) -> None:
        """Let the queue's tasks read and write single items of tables that the application declares, by their names.

        They may then be part of a transaction. Raises ConfigError for a table that isn't declared.
        """
        from celeriac.model import declared  # noqa: PLC0415 - the name of a parameter above

        with self._home.named():
            known = declared.tables()
            for table in tables:
                if table not in known:
                    there = f"there are {', '.join(sorted(known))}" if known else "it declares none"
                    raise ConfigError(f"{declared.file('tables')} declares no table {table!r}; {there}")
            physical = [names.table(self._home.config.stage, table) for table in tables]
        for statement in permissions.read_and_write_items(physical):
            self.role.add_to_policy(statement)

    def metric_waiting(self) -> cloudwatch.Metric:
        """Messages that wait for a worker."""
        return self._of_sqs("ApproximateNumberOfMessagesVisible", lambda queue, stage: queue.physical_name(stage))

    def metric_age(self) -> cloudwatch.Metric:
        """The age of the oldest message that waits, in seconds."""
        return self._of_sqs("ApproximateAgeOfOldestMessage", lambda queue, stage: queue.physical_name(stage))

    def metric_dead_letters(self) -> cloudwatch.Metric:
        """Dead letters that nobody has redriven or discarded."""
        return self._of_sqs("ApproximateNumberOfMessagesVisible", lambda queue, stage: queue.dead_letter_name(stage))

    def metric(self, metric: Metric | str, statistic: str = "Sum") -> cloudwatch.Metric:
        """A metric that the consumer writes, such as `Succeeded`, `Retried`, `DeadLettered` or `Duration`.

        Raises ValueError for a name that isn't one of them; docs/explanation/architecture.md has the list.
        """
        with self._home.named():
            return measure(
                names.METRICS,
                Metric(metric),
                statistic,
                service="tasks",
                stage=names.prefix(self._home.config.stage),
                queue=self.declared.name,
            )

    def _of_sqs(self, metric: str, name: Callable[[Any, str], str]) -> cloudwatch.Metric:
        with self._home.named():
            return measure("AWS/SQS", metric, "Maximum", QueueName=name(self.declared, self._home.config.stage))
