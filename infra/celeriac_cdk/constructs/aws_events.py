"""Events of AWS that call tasks: rules on the default bus, and the queue for what they could not send.

A rule may send to one queue only: the queue's policy names the rules of its tasks.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from aws_cdk import aws_events as events
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from celeriac import Task
from celeriac.model import aws_event, names
from celeriac_cdk.config import StageConfig
from celeriac_cdk.constructs.task_queue import TaskQueue, sqs_queue
from celeriac_cdk.monitoring.alarms import Alarms
from celeriac_cdk.monitoring.notice import Notice
from celeriac_cdk.nag import acknowledge
from celeriac_cdk.permissions import arn, queue_arn


class AwsEvents(Construct):
    """A rule for each task with `on_aws`, and the alarms on events that a rule could not send."""

    def __init__(
        self, scope: Construct, construct_id: str, *, tasks: Sequence[Task[..., Any, Any]], alarms: Alarms
    ) -> None:
        """Build the rules. They find the queues by name, which `receive` has built."""
        super().__init__(scope, construct_id)
        stage = alarms.config.stage
        for task in tasks:
            if task.on_aws is not None:
                self._rule(task, task.on_aws, stage)
        if is_used(tasks):
            self._watch(alarms)

    def _rule(self, task: Task[..., Any, Any], event: aws_event.AwsEvent, stage: str) -> None:
        transformer = aws_event.transformer(task.name, event)
        name = names.aws_event_rule(stage, task.name)
        # The id is the rule's name without the stage: a task's name may have characters that an id can't have.
        events.CfnRule(
            self,
            f"Rule-{name.removeprefix(names.start(stage))}",
            name=name,
            description=f"Celeriac {stage}: calls {task.name}"[:512],
            event_pattern=dict(event.pattern),
            state="ENABLED",
            targets=[
                events.CfnRule.TargetProperty(
                    id="queue",
                    arn=queue_arn(task.queue.physical_name(stage)),
                    input_transformer=events.CfnRule.InputTransformerProperty(
                        input_paths_map=transformer.paths, input_template=transformer.template
                    ),
                    dead_letter_config=events.CfnRule.DeadLetterConfigProperty(
                        arn=queue_arn(names.aws_event_dead_letters(stage))
                    ),
                )
            ],
        )

    def _watch(self, alarms: Alarms) -> None:
        stage = alarms.config.stage
        unsent = names.aws_event_dead_letters(stage)
        alarms.when_letters(
            self,
            queue=unsent,
            notice=Notice(
                "EventBridge could not send events of AWS to the queues of their tasks.",
                f"The events are in {unsent}. The attributes of each say which rule it is, and why it wasn't sent.",
                f"Type `celeriac --stage {stage} doctor`, and deploy. Then `celeriac send` the task of each event.",
                "no message is left",
                "aws-events-that-couldnt-be-sent",
            ),
        )
        alarms.before_letters_are_deleted(
            self, queue=unsent, do="Send the task of each event, and delete the messages."
        )


def receive(
    scope: Construct,
    queues: Mapping[str, TaskQueue],
    tasks: Sequence[Task[..., Any, Any]],
    config: StageConfig,
    key: kms.IKey | None,
) -> None:
    """Let the rules of the tasks send to the queues, and build the queue for what they can't send.

    A task's rule may send to its former queues too: until the work is deployed, it still does. Builds nothing if no
    task has `on_aws`.
    """
    called = [task for task in tasks if task.on_aws is not None]
    for name, queue in queues.items():
        if rules := [_rule_arn(task, config.stage) for task in called if name in {one.name for one in task.all_queues}]:
            _let_send(queue.source, {"ArnEquals": {"aws:SourceArn": rules}})
    if is_used(tasks):
        name = names.aws_event_dead_letters(config.stage)
        unsent = sqs_queue(scope, "AwsEventDeadLetters", name=name, config=config, key=key)
        acknowledge(unsent, "SQS3", "this queue is the dead-letter queue of the rules for events of AWS")
        _let_send(unsent, {"ArnLike": {"aws:SourceArn": arn("events", f"rule/{names.start(config.stage)}on-*")}})


def is_used(tasks: Sequence[Task[..., Any, Any]]) -> bool:
    """Whether events of AWS call a task."""
    return any(task.on_aws is not None for task in tasks)


def _rule_arn(task: Task[..., Any, Any], stage: str) -> str:
    return arn("events", f"rule/{names.aws_event_rule(stage, task.name)}")


def _let_send(queue: sqs.Queue, condition: Mapping[str, Mapping[str, Any]]) -> None:
    queue.add_to_resource_policy(
        iam.PolicyStatement(
            principals=[iam.ServicePrincipal("events.amazonaws.com")],
            actions=["sqs:SendMessage"],
            resources=[queue.queue_arn],
            conditions=condition,
        )
    )
