"""The shop: its network, its topic for alarms, its API, and its task queue."""

from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sns as sns
from constructs import Construct

from celeriac_cdk import Celeriac

_ADDRESSES = "10.0.0.0/16"


class ShopStack(cdk.Stack):
    """Everything of the shop, in one stack."""

    def __init__(self, scope: Construct, construct_id: str, *, stage: str, **settings: Any) -> None:
        """Build the shop for a stage."""
        super().__init__(scope, construct_id, **settings)
        vpc = self._network()
        oncall = sns.Topic(self, "OnCall")
        self.tasks = Celeriac(self, "Tasks", source="src/shop_tasks", stage=stage, vpc=vpc, alarm_topic=oncall)

        # The bundle of the consumers has the library and the tasks, so a function with it may enqueue.
        self.api = lambda_.Function(
            self,
            "Api",
            runtime=lambda_.Runtime.PYTHON_3_13,
            architecture=lambda_.Architecture.ARM_64,
            handler="shop_tasks.api.handler",
            code=self.tasks.code("arm64"),
            timeout=cdk.Duration.seconds(10),
            memory_size=512,
        )
        receipts = self.tasks.queue("receipts")
        receipts.grant_enqueue(self.api)
        receipts.grant_read_status(self.api)
        cdk.CfnOutput(self, "ApiFunction", value=self.api.function_name)

    def _network(self) -> ec2.Vpc:
        """A network without a way out: what runs in it reaches the services that Celeriac calls."""
        inside = ec2.SubnetConfiguration(name="Inside", subnet_type=ec2.SubnetType.PRIVATE_ISOLATED)
        addresses = ec2.IpAddresses.cidr(_ADDRESSES)
        vpc = ec2.Vpc(self, "Vpc", ip_addresses=addresses, max_azs=2, nat_gateways=0, subnet_configuration=[inside])
        vpc.add_gateway_endpoint("DynamoDb", service=ec2.GatewayVpcEndpointAwsService.DYNAMODB)
        vpc.add_gateway_endpoint("S3", service=ec2.GatewayVpcEndpointAwsService.S3)
        group = ec2.SecurityGroup(self, "Endpoints", vpc=vpc, allow_all_outbound=False)
        group.add_ingress_rule(ec2.Peer.ipv4(_ADDRESSES), ec2.Port.tcp(443))
        for name, service in (
            ("Sqs", ec2.InterfaceVpcEndpointAwsService.SQS),
            ("Scheduler", ec2.InterfaceVpcEndpointAwsService("scheduler")),
        ):
            vpc.add_interface_endpoint(name, service=service, security_groups=[group], open=False)
        return vpc
