"""The CDK application: the tasks, the table that they read, and the bucket that they write to."""

import aws_cdk as cdk
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_s3 as s3

from celeriac_cdk import Celeriac

app = cdk.App()
stage = app.node.try_get_context("stage") or "dev"
stack = cdk.Stack(app, f"shop-{stage}")
tasks = Celeriac(stack, "Tasks", source="shop_tasks", stage=stage)

orders = dynamodb.Table(
    stack,
    "Orders",
    partition_key=dynamodb.Attribute(name="day", type=dynamodb.AttributeType.STRING),
    sort_key=dynamodb.Attribute(name="number", type=dynamodb.AttributeType.STRING),
    billing_mode=dynamodb.BillingMode.PAY_PER_REQUEST,
)
bucket = s3.Bucket(
    stack,
    "Reports",
    block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
    enforce_ssl=True,
    # Parts cost money until their upload is completed or aborted, and no list of objects shows them. A report that lies
    # in the dead-letter queue for longer than this starts from its first row when it is redriven.
    lifecycle_rules=[s3.LifecycleRule(abort_incomplete_multipart_upload_after=cdk.Duration.days(14))],
)

# What the tasks of the queue may do and know. No other queue's tasks can.
consumer = tasks.queue("reports").consumer
orders.grant(consumer, "dynamodb:Query")
bucket.grant_read(consumer)
bucket.grant_put(consumer)
consumer.add_environment("ORDERS_TABLE", orders.table_name)
consumer.add_environment("REPORTS_BUCKET", bucket.bucket_name)

cdk.CfnOutput(stack, "OrdersTable", value=orders.table_name)
cdk.CfnOutput(stack, "ReportsBucket", value=bucket.bucket_name)
app.synth()
