"""The CDK application: the tasks, the bucket of the pictures, and that of their thumbnails."""

import aws_cdk as cdk
from aws_cdk import aws_s3 as s3

from celeriac_cdk import Celeriac

app = cdk.App()
stage = app.node.try_get_context("stage") or "dev"
stack = cdk.Stack(app, f"shop-{stage}")
tasks = Celeriac(stack, "Tasks", source="shop_tasks", stage=stage)

pictures = s3.Bucket(
    stack,
    "Pictures",
    bucket_name=f"shop-{stage}-pictures-{cdk.Aws.ACCOUNT_ID}",  # the pattern in shop_tasks/uploads.py finds it so
    block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
    enforce_ssl=True,
)
# S3 tells EventBridge of objects only if it is asked to. `event_bridge_enabled=True` does it too, with a function.
of_pictures = pictures.node.default_child
assert isinstance(of_pictures, s3.CfnBucket)  # noqa: S101 - for mypy
of_pictures.notification_configuration = s3.CfnBucket.NotificationConfigurationProperty(
    event_bridge_configuration=s3.CfnBucket.EventBridgeConfigurationProperty(event_bridge_enabled=True)
)
thumbnails = s3.Bucket(stack, "Thumbnails", block_public_access=s3.BlockPublicAccess.BLOCK_ALL, enforce_ssl=True)

# What the tasks of the queue may do and know. No other queue's tasks can.
consumer = tasks.queue("uploads").consumer
pictures.grant_read(consumer)
thumbnails.grant_put(consumer)
consumer.add_environment("PICTURES_BUCKET", pictures.bucket_name)
consumer.add_environment("THUMBNAILS_BUCKET", thumbnails.bucket_name)

cdk.CfnOutput(stack, "PicturesBucket", value=pictures.bucket_name)
cdk.CfnOutput(stack, "ThumbnailsBucket", value=thumbnails.bucket_name)
app.synth()
