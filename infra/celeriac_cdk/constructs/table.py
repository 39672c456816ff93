"""A DynamoDB table with on-demand capacity. It can be restored to any second of the last 35 days."""

from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_kms as kms
from constructs import Construct

from celeriac_cdk.config import StageConfig


def string_key_table(
    scope: Construct,
    construct_id: str,
    *,
    name: str,
    key: str,
    config: StageConfig,
    encryption_key: kms.IKey | None,
    sort_key: str | None = None,
    expiry: str | None = None,
    stream: dynamodb.StreamViewType | None = None,
) -> dynamodb.Table:
    """Build a table whose keys are strings. `expiry` names the attribute with the time when an item expires.

    It is a `Table` and not a `TableV2`. A `TableV2` becomes a GlobalTable in CloudFormation, and moto and the local
    cloud have no GlobalTable.
    """
    string = dynamodb.AttributeType.STRING
    return dynamodb.Table(
        scope,
        construct_id,
        table_name=name,
        partition_key=dynamodb.Attribute(name=key, type=string),
        sort_key=None if sort_key is None else dynamodb.Attribute(name=sort_key, type=string),
        time_to_live_attribute=expiry,
        stream=stream,
        encryption_key=encryption_key,
        billing_mode=dynamodb.BillingMode.PAY_PER_REQUEST,
        point_in_time_recovery_specification=dynamodb.PointInTimeRecoverySpecification(
            point_in_time_recovery_enabled=True
        ),
        removal_policy=config.removal_policy,
    )
