"""`-c kms=true`: one key for all data that the stage stores, and the rights to use the key.

Without `kms` the data is encrypted too, with keys of AWS. A key of the stage can be audited, disabled and shared across
accounts. It costs a dollar a month and a fee for each use.
"""

from collections.abc import Sequence

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from constructs import Construct

from celeriac.model import names
from celeriac_cdk.config import StageConfig
from celeriac_cdk.permissions import arn

# A caller of SQS, DynamoDB, S3, Scheduler or Secrets Manager needs these rights for items, messages and objects:
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/encryption.usagenotes.html
USE = ("kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey", "kms:ReEncryptFrom", "kms:ReEncryptTo")
# The services that functions and their tasks use with the key.
_ALL = ("dynamodb", "lambda", "s3", "scheduler", "secretsmanager", "sqs")


def stage_key(scope: Construct, config: StageConfig) -> kms.Key | None:
    """Build the stage's key, if `kms` is on. `use_key` lets roles use the key, and its policy lets services use it."""
    if not config.has_key:
        return None
    key = kms.Key(
        scope,
        "Key",
        alias=f"alias/{names.prefix(config.stage)}",
        description=f"Celeriac {config.stage}: messages, records, events, payloads, logs and alarms",
        enable_key_rotation=True,
        removal_policy=config.removal_policy,
        pending_window=cdk.Duration.days(7) if not config.keep_data else None,
    )
    account = {"StringEquals": {"aws:SourceAccount": cdk.Aws.ACCOUNT_ID}}
    # CloudWatch publishes alarms to the topic. EventBridge's rules send to queues, and its bus is encrypted too.
    for service in ("cloudwatch", "events"):
        _let(key, f"{service}.amazonaws.com", ["kms:Decrypt", "kms:DescribeKey", "kms:GenerateDataKey*"], account)
    for owner in sorted({each for accounts in config.settings.producers.values() for each in accounts}):
        key.add_to_resource_policy(
            iam.PolicyStatement(
                principals=[iam.AccountPrincipal(owner)],
                actions=["kms:Decrypt", "kms:GenerateDataKey"],
                resources=["*"],
                conditions={
                    "StringEquals": {
                        "kms:ViaService": [f"{service}.{cdk.Aws.REGION}.amazonaws.com" for service in ("s3", "sqs")]
                    }
                },
            )
        )
    logs = arn("logs", "log-group:/aws/lambda/")
    _let(
        key,
        f"logs.{cdk.Aws.REGION}.amazonaws.com",
        ["kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey*", "kms:ReEncrypt*"],
        {"ArnLike": {"kms:EncryptionContext:aws:logs:arn": f"{logs}{names.start(config.stage)}*"}},
    )
    return key


def encrypting(key: kms.IKey | None, config: StageConfig) -> kms.IKey | None:
    """Return the key for what is stored; None while it is only prepared, or if there is none."""
    return key if config.encrypts else None


def use_key(key: kms.IKey | None, *, through: Sequence[str] = _ALL) -> list[iam.PolicyStatement]:
    """Return the right to use the stage's key through these services only. Without a key the list is empty."""
    if key is None:
        return []
    services = [f"{service}.{cdk.Aws.REGION}.amazonaws.com" for service in through]
    return [
        iam.PolicyStatement(
            actions=list(USE), resources=[key.key_arn], conditions={"StringEquals": {"kms:ViaService": services}}
        )
    ]


def _let(key: kms.Key, service: str, actions: Sequence[str], conditions: dict[str, dict[str, str]]) -> None:
    key.add_to_resource_policy(
        iam.PolicyStatement(
            principals=[iam.ServicePrincipal(service)], actions=list(actions), resources=["*"], conditions=conditions
        )
    )
