"""An S3 bucket: private, encrypted, reachable over TLS only."""

from collections.abc import Sequence
from typing import cast

import aws_cdk as cdk
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from constructs import Construct

from celeriac_cdk.config import StageConfig
from celeriac_cdk.nag import acknowledge


def private_bucket(
    scope: Construct,
    construct_id: str,
    *,
    name: str,
    config: StageConfig,
    encryption_key: kms.IKey | None,
    lifecycle_rules: Sequence[s3.LifecycleRule] | None = None,
) -> s3.Bucket:
    """Build a bucket. Unless the stage keeps its data, the bucket is emptied before it is deleted."""
    bucket = s3.Bucket(
        scope,
        construct_id,
        bucket_name=name,
        block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
        encryption=s3.BucketEncryption.S3_MANAGED if encryption_key is None else s3.BucketEncryption.KMS,
        encryption_key=encryption_key,
        bucket_key_enabled=None if encryption_key is None else True,
        enforce_ssl=True,
        lifecycle_rules=lifecycle_rules,
        removal_policy=config.removal_policy,
        # CloudFormation deletes only empty buckets, so a function of the CDK empties this one. On the local cloud that
        # function would hang, and it isn't needed, because the local cloud is deleted as a whole.
        auto_delete_objects=not config.keep_data and not config.local,
    )
    if not config.hosted:  # the application's own buckets may use the same function
        _let_no_log_stay(cdk.Stack.of(scope))
    acknowledge(bucket, "S1", "CloudTrail's data events record each access; a bucket of logs would need logs too")
    return bucket


def _let_no_log_stay(stack: cdk.Stack) -> None:
    """Remove the right to write logs from the CDK's function that empties buckets.

    Its log group belongs to no stack and would remain.
    """
    provider = stack.node.try_find_child("Custom::S3AutoDeleteObjectsCustomResourceProvider")
    if provider is not None:
        role = cast("cdk.CfnResource", provider.node.find_child("Role"))
        role.add_property_deletion_override("ManagedPolicyArns")
