"""A CDK application with a stack, a VPC and an API of its own, which takes Celeriac in."""

import aws_cdk as cdk

from shop_stack import ShopStack

app = cdk.App()
ShopStack(app, "Shop", stage=app.node.try_get_context("stage") or "dev")
app.synth()
