"""The CDK application that deploys the tasks: their queues, workers and tables."""

import aws_cdk as cdk

from celeriac_cdk import Celeriac

app = cdk.App()
stage = app.node.try_get_context("stage") or "dev"
stack = cdk.Stack(app, f"shop-{stage}")
tasks = Celeriac(stack, "Tasks", source="shop_tasks", stage=stage)
app.synth()
