"""Long delays: the Scheduler group for waiting tasks, and the roles with which Scheduler sends them."""

from collections.abc import Sequence

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_scheduler as scheduler
from constructs import Construct

from celeriac.model import names
from celeriac.model.queue import Queue
from celeriac_cdk.config import StageConfig
from celeriac_cdk.constructs.key import encrypting, use_key
from celeriac_cdk.constructs.task_queue import sqs_queue
from celeriac_cdk.nag import acknowledge
from celeriac_cdk.permissions import send


class Schedules(Construct):
    """The schedule group for tasks with a delay of more than 15 minutes, the limit of SQS.

    A schedule is an accepted message. Without the group the message is gone. Without its queue's role Scheduler can
    send the message neither to its queue nor to the dead-letter queue. So all are in the stack of the queues.
    """

    def __init__(
        self, scope: Construct, construct_id: str, *, queues: Sequence[Queue], config: StageConfig, key: kms.IKey | None
    ) -> None:
        """Build the group, a role for each of `queues`, and the queue for messages that Scheduler can't send."""
        super().__init__(scope, construct_id)
        group = scheduler.CfnScheduleGroup(self, "Group", name=names.schedule_group(config.stage))
        group.apply_removal_policy(config.removal_policy)
        dead_letters = names.schedule_dead_letters(config.stage)
        unsent = sqs_queue(self, "DeadLetters", name=dead_letters, config=config, key=encrypting(key, config))
        acknowledge(unsent, "SQS3", "this queue is the dead-letter queue of the stage's schedules")
        for queue in queues:
            self._role(queue, config, key)

    def _role(self, queue: Queue, config: StageConfig, key: kms.IKey | None) -> None:
        """Build the role that sends to one queue. Whoever may pass it to a schedule may send to that queue only."""
        targets = [queue.physical_name(config.stage), names.schedule_dead_letters(config.stage)]
        role = iam.Role(
            self,
            f"Role-{queue.name}",
            role_name=names.scheduler_role(config.stage, queue.name, cdk.Aws.REGION),
            assumed_by=iam.ServicePrincipal(
                "scheduler.amazonaws.com",
                conditions={"StringEquals": {"aws:SourceAccount": cdk.Aws.ACCOUNT_ID}},
            ),
            # A policy beside the role would be deleted while the role is kept. Then what waits could not be sent.
            inline_policies={
                "Send": iam.PolicyDocument(statements=[send(targets), *use_key(key, through=("scheduler", "sqs"))])
            },
        )
        role.apply_removal_policy(config.removal_policy)
