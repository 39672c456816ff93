"""The alarms of a stage: each tells the topic of pages or that of tickets when it begins, and again when it ends.

Missing data counts as healthy, so an idle queue raises no alarm. The sweeper's metric is the exception: the sweeper
writes it at each run, and its absence raises an alarm. A stage that is ephemeral has no alarms.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_sns as sns
from constructs import Construct

from celeriac.model import names
from celeriac.model.queue import MAX_RETENTION
from celeriac_cdk.config import StageConfig
from celeriac_cdk.monitoring.metrics import FIVE_MINUTES, measure
from celeriac_cdk.monitoring.notice import Notice
from celeriac_cdk.monitoring.times import in_words


@dataclass(frozen=True)
class Alarms:
    """Builds the alarms of a stage, and collects them for the dashboard."""

    config: StageConfig
    pages: sns.ITopic
    tickets: sns.ITopic
    raised: list[cloudwatch.Alarm] = field(default_factory=list)

    def when(
        self,
        scope: Construct,
        construct_id: str,
        *,
        name: str,
        metric: cloudwatch.IMetric,
        reaches: float,
        notice: Notice,
        times: tuple[int, int] = (1, 1),
        page: bool = True,
    ) -> None:
        """Build an alarm that is raised while `metric` is at least `reaches`.

        times: in how many periods of how many.
        page: whether it needs somebody now; otherwise it is a ticket.
        """
        if self.config.watched:
            alarm = self._build(
                scope, construct_id, name=name, metric=metric, reaches=reaches, notice=notice, times=times
            )
            self._tell(alarm, page=page)

    def for_release(
        self,
        scope: Construct,
        construct_id: str,
        *,
        name: str,
        metric: cloudwatch.IMetric,
        reaches: float,
        notice: Notice,
        times: tuple[int, int] = (1, 1),
    ) -> cloudwatch.Alarm:
        """Build an alarm that CodeDeploy watches during a release. It tells nobody: CodeDeploy acts on it.

        times: in how many periods of how many `metric` is at least `reaches`.
        """
        return self._build(scope, construct_id, name=name, metric=metric, reaches=reaches, notice=notice, times=times)

    def when_silent(
        self, scope: Construct, construct_id: str, *, name: str, metric: cloudwatch.Metric, notice: Notice
    ) -> cloudwatch.Alarm | None:
        """Build a page that is raised when `metric` had no data for a quarter of an hour. None if nothing is watched.

        A throttle of Lambda that lasts for minutes is nothing to get up for.
        """
        if not self.config.watched:
            return None
        alarm = cloudwatch.Alarm(
            scope,
            construct_id,
            alarm_name=names.part(self.config.stage, name),
            alarm_description=notice.text(self.config.settings.runbook),
            metric=metric.with_(period=cdk.Duration.minutes(5)),
            threshold=1,
            evaluation_periods=3,
            comparison_operator=cloudwatch.ComparisonOperator.LESS_THAN_THRESHOLD,
            treat_missing_data=cloudwatch.TreatMissingData.BREACHING,
        )
        self._tell(alarm, page=True)
        return alarm

    def when_letters(self, scope: Construct, *, queue: str, notice: Notice, page: bool = True) -> None:
        """Build an alarm for messages in a dead-letter queue.

        queue: its physical name.

        The alarm watches the number of messages in the queue, because the metric of sent messages doesn't count
        messages that SQS moves itself. The letter of a smoke test is there for seconds, so one minute isn't enough. Who
        reads the letters hides them, so a minute without any doesn't end the alarm.
        """
        self.when(
            scope,
            "DeadLetterAlarm",
            name=self._name(queue),
            metric=measure("AWS/SQS", "ApproximateNumberOfMessagesVisible", "Maximum", QueueName=queue),
            reaches=1,
            times=(2, 5),
            notice=notice,
            page=page,
        )

    def before_letters_are_deleted(
        self,
        scope: Construct,
        *,
        queue: str,
        do: str,
        kept: timedelta = MAX_RETENTION,
        aged_before: timedelta = timedelta(),
    ) -> None:
        """Build a page for the time before SQS deletes the oldest message of a dead-letter queue.

        queue: its physical name.
        aged_before: the longest time that a message may have waited in its task queue. If SQS itself moves the message,
            this time counts towards the retention, but the metric of the age doesn't include it.
        """
        left = kept - aged_before
        self.when(
            scope,
            "DeadLetterAgeAlarm",
            name=f"{self._name(queue)}-age",
            metric=measure("AWS/SQS", "ApproximateAgeOfOldestMessage", "Maximum", period=FIVE_MINUTES, QueueName=queue),
            reaches=int((left * 3 / 4).total_seconds()),
            notice=Notice(
                f"SQS will delete the oldest letter of {queue} soon, within {in_words(left / 4)}.",
                "Then its work is never done.",
                do,
                "that letter is gone",
                "old-dead-letters",
            ),
        )

    def when_it_fails(
        self,
        scope: Construct,
        *,
        function: str,
        means: str,
        times: tuple[int, timedelta] = (3, FIVE_MINUTES),
        page: bool = True,
    ) -> None:
        """Build an alarm for invocations that fail again and again. A single crash is retried, and raises none.

        function: its physical name.
        times: in how many periods in a row there must be a failed invocation, and how long a period is.
        """
        number, period = times
        self.when(
            scope,
            "ErrorAlarm",
            name=f"{self._name(function)}-errors",
            metric=measure("AWS/Lambda", "Errors", "Sum", period=period, FunctionName=function),
            reaches=1,
            times=(number, number),
            page=page,
            notice=Notice(
                f"For {in_words(number * period)} invocations of {function} have crashed or timed out.",
                f"A failed task doesn't cause this. {means} Most likely a release can't be imported, or the memory is "
                "too small.",
                f"Type `celeriac --stage {self.config.stage} tail --since 30m`: it shows each death.",
                f"no invocation fails for {in_words(period)}",
                "failing-functions",
            ),
        )

    def when_throttled(
        self, scope: Construct, *, table: str, means: str, index: str | None = None, kinds: Sequence[str] = ("Write",)
    ) -> None:
        """Build tickets for throttled writes, or reads, of a table, or of its index.

        table: its physical name. means: what becomes of the tasks, a sentence.
        """
        what = table if index is None else f"{table}'s index {index}"
        dimensions = {"TableName": table} | ({} if index is None else {"GlobalSecondaryIndexName": index})
        name = f"{self._name(table)}{f'-{index}' if index is not None else ''}"
        for kind in kinds:
            self.when(
                scope,
                f"{name}{kind}ThrottleAlarm",
                # No alarm of a queue ends like this, so a table and a queue may have one name.
                name=f"{name}-table-{kind.lower()}s",
                metric=measure("AWS/DynamoDB", f"{kind}ThrottleEvents", "Sum", period=FIVE_MINUTES).with_(
                    dimensions_map=dimensions
                ),
                reaches=1,
                times=(2, 2),
                page=False,
                notice=Notice(
                    f"For ten minutes DynamoDB has refused some {kind.lower()}s of {what}.",
                    f"{means} Possible causes: traffic that more than doubled in half an hour, one hot key, or the "
                    "account's quota for tables.",
                    f"Type `celeriac --stage {self.config.stage} queues`: pause a queue if its backlog can wait.",
                    "nothing is refused for five minutes",
                    "throttled-tables",
                ),
            )

    def _name(self, physical: str) -> str:
        return physical.removeprefix(names.start(self.config.stage))

    def _build(
        self,
        scope: Construct,
        construct_id: str,
        *,
        name: str,
        metric: cloudwatch.IMetric,
        reaches: float,
        notice: Notice,
        times: tuple[int, int],
    ) -> cloudwatch.Alarm:
        most, periods = times
        return cloudwatch.Alarm(
            scope,
            construct_id,
            alarm_name=names.part(self.config.stage, name),
            alarm_description=notice.text(self.config.settings.runbook),
            metric=metric,
            threshold=reaches,
            evaluation_periods=periods,
            datapoints_to_alarm=most,
            comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
            treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
        )

    def _tell(self, alarm: cloudwatch.Alarm, *, page: bool) -> None:
        action = actions.SnsAction(self.pages if page else self.tickets)
        alarm.add_alarm_action(action)
        alarm.add_ok_action(action)
        self.raised.append(alarm)
