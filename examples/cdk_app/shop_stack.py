"""The shop: its network, its topic for alarms, its API, and its task queue."""

from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sns as sns
from constructs import Construct

from celeriac_cdk import Celeriac


class ShopStack(cdk.Stack):
    """Everything of the shop, in one stack."""

    def __init__(self, scope: Construct, construct_id: str, *, stage: str, **settings: Any) -> None:
        """Build the shop for a stage."""
        super().__init__(scope, construct_id, **settings)
        vpc = ec2.Vpc(self, "Vpc", max_azs=2, nat_gateways=1)
        oncall = sns.Topic(self, "OnCall")
        self.tasks = Celeriac(self, "Tasks", source="src/shop_tasks", stage=stage, vpc=vpc, alarm_topic=oncall)

        # It sends a plain message: it has neither the library nor the tasks in its code. With both it may enqueue.
        self.api = lambda_.Function(
            self,
            "Api",
            runtime=lambda_.Runtime.PYTHON_3_13,
            handler="api.handler",
            code=lambda_.Code.from_asset("api"),
        )
        receipts = self.tasks.queue("receipts")
        receipts.grant_enqueue(self.api)
        receipts.grant_read_status(self.api)
        self.tasks.outbox.grant_emit(self.api)
        self.api.add_environment("QUEUE_URL", receipts.queue.queue_url)
        cdk.CfnOutput(self, "ApiFunction", value=self.api.function_name)
