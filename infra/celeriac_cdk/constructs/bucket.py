"""The S3 bucket that every stage uses: private, encrypted, reachable over TLS only."""

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
    """Build a bucket, which is emptied when it is deleted, except in a stage that keeps its data."""
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
        # CloudFormation deletes no bucket that holds something. On the local cloud, which goes as a whole, the
        # function that empties it would hang.
        auto_delete_objects=not config.keep_data and not config.local,
    )
    _let_no_log_stay(cdk.Stack.of(scope))
    acknowledge(bucket, "S1", "CloudTrail's data events tell who read what; a bucket of logs would need its own")
    return bucket


def _let_no_log_stay(stack: cdk.Stack) -> None:
    """CDK's function that empties buckets would leave a log group behind, which no stack knows."""
    provider = stack.node.try_find_child("Custom::S3AutoDeleteObjectsCustomResourceProvider")
    if provider is not None:
        role = cast("cdk.CfnResource", provider.node.find_child("Role"))
        role.add_property_deletion_override("ManagedPolicyArns")
