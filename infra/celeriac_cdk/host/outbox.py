"""The outbox of a stage, as objects of the CDK."""

from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_events as events
from aws_cdk import aws_lambda as lambda_

from celeriac.observe.metric_names import Metric
from celeriac_cdk.constructs.access import to_emit
from celeriac_cdk.halves.state import State
from celeriac_cdk.halves.work import Work
from celeriac_cdk.host.grants import Grantee, give
from celeriac_cdk.host.home import Home
from celeriac_cdk.monitoring.metrics import stage_metric


class OutboxOfStage:
    """The outbox: its table, its functions, its metrics, and the grant to those who emit events."""

    def __init__(self, state: State, work: Work, home: Home) -> None:
        self.table: dynamodb.Table = state.outbox
        self.relay: lambda_.Function = work.relay.function
        self.sweeper: lambda_.Function = work.sweeper.function
        self.bus: events.EventBus | None = state.bus
        """None unless the application declares `Outbox(bus=True)`."""
        self._home = home

    def grant_emit(self, grantee: Grantee) -> None:
        """Let a function or a service emit events in transactions: rights, and environment variables.

        The rights on the application's own tables are apart: `.table("orders").grant_write_data(...)`. Raises
        ConfigError if it works with another application.
        """
        home = self._home
        with home.named():
            give(grantee, home, to_emit(home.config.stage, home.key))

    def metric_unpublished_age(self) -> cloudwatch.Metric:
        """The age of the oldest row that isn't published, in seconds."""
        return self._of_stage(Metric.UNPUBLISHED_AGE)

    def metric_parked(self) -> cloudwatch.Metric:
        """Rows that can't be published."""
        return self._of_stage(Metric.PARKED_EVENTS)

    def _of_stage(self, metric: Metric) -> cloudwatch.Metric:
        with self._home.named():
            return stage_metric(metric, "Maximum", self._home.config.stage)
