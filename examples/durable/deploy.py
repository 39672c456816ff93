"""The CDK application: the tasks, and the durable function that waits for them."""

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_

from celeriac_cdk import Celeriac

app = cdk.App()
stage = app.node.try_get_context("stage") or "dev"
stack = cdk.Stack(app, f"shop-{stage}")
tasks = Celeriac(stack, "Tasks", source="shop_tasks", stage=stage)

# The bundle of the consumers has the library, the tasks and the graph. An execution goes on with the version that it
# began with, so versions are kept.
graph = lambda_.Function(
    stack,
    "Graph",
    runtime=lambda_.Runtime.PYTHON_3_13,
    architecture=lambda_.Architecture.ARM_64,
    handler="shop_tasks.graph.handler",
    code=tasks.code("arm64"),
    timeout=cdk.Duration.minutes(1),
    memory_size=512,
    durable_config=lambda_.DurableConfig(execution_timeout=cdk.Duration.days(14)),
    current_version_options=lambda_.VersionOptions(removal_policy=cdk.RemovalPolicy.RETAIN),
)

# Lambda asks for the right to the execution, whose ARN goes on behind that of a version of the function.
answers = iam.PolicyStatement(
    actions=["lambda:SendDurableExecutionCallbackSuccess", "lambda:SendDurableExecutionCallbackFailure"],
    resources=[f"{graph.function_arn}:*"],
)
for queue in (tasks.queue("lookups"), tasks.queue("mail")):
    queue.grant_enqueue(graph)
    queue.consumer.add_to_role_policy(answers)

cdk.CfnOutput(stack, "GraphVersion", value=graph.current_version.function_arn)
app.synth()
