"""The relay: it reads the outbox's stream, and publishes the events and tasks of transactions."""

from collections.abc import Iterable

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_lambda_event_sources as sources
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from celeriac.model import names
from celeriac.model.stages import RELAY_RESERVE
from celeriac_cdk.constructs.handler import Runtime, Size, build_handler
from celeriac_cdk.constructs.release import release
from celeriac_cdk.declarations.fan_out import RELAY_BATCH, RELAY_TIMEOUT
from celeriac_cdk.monitoring.alarms import Alarms
from celeriac_cdk.permissions import find_events, mark_events, note_held_aggregates, queue_arn, read_stream


class Relay(Construct):
    """The relay's function, its stream mapping, and its alarm.

    By default a stream mapping retries a bad record until the record expires, so all records behind it wait for a day.
    Here a bad record is isolated, retried ten times, and reported. The row itself stays in the outbox. While Lambda
    throttles the relay, only the age of a record counts, and no try:
    https://docs.aws.amazon.com/lambda/latest/dg/services-dynamodb-errors.html
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        stream_arn: str,
        runtime: Runtime,
        permissions: Iterable[iam.PolicyStatement],
        alarms: Alarms,
    ) -> None:
        """Build the relay of the outbox with the stream `stream_arn`. `permissions` are the rights to publish."""
        super().__init__(scope, construct_id)
        stage = runtime.config.stage
        dead_letters = names.relay_dead_letters(stage)
        function = self.function = build_handler(
            self,
            name=names.relay_function(stage),
            handler="celeriac.entry.relay.handler",
            timeout=RELAY_TIMEOUT,
            runtime=runtime,
            size=Size(reserved=runtime.config.reserved(RELAY_RESERVE)),
            permissions=[
                read_stream(stream_arn),
                *find_events(names.outbox_table(stage), names.outbox_index()),
                mark_events(names.outbox_table(stage)),
                note_held_aggregates(names.idempotency_table(stage)),
                *permissions,
            ],
        )
        inserted = lambda_.FilterCriteria.filter({"eventName": lambda_.FilterRule.is_equal("INSERT")})
        lambda_.EventSourceMapping(
            self,
            "Mapping",
            target=release(self, function, name="relay", alarms=alarms),
            event_source_arn=stream_arn,
            # LATEST would skip rows that are written while the mapping starts.
            starting_position=lambda_.StartingPosition.TRIM_HORIZON,
            # The stream also has records of rows that the relay marks and of rows that expire. The filter drops them.
            filters=[inserted],
            batch_size=RELAY_BATCH,
            bisect_batch_on_error=True,
            retry_attempts=10,
            max_record_age=cdk.Duration.hours(12),  # as long as consumers survive it
            report_batch_item_failures=True,
            on_failure=sources.SqsDlq(sqs.Queue.from_queue_arn(self, "DeadLetters", queue_arn(dead_letters))),
        )
        alarms.when_it_fails(
            self,
            function=names.relay_function(stage),
            # The sweeper publishes what the relay leaves. What it can't publish either raises an alarm of its own.
            page=False,
            means="Events and tasks of transactions are late: the sweeper publishes them, up to two minutes later.",
        )
