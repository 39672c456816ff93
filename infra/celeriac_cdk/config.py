"""The settings of a stage, read from the CDK context.

`-c stage=NAME` picks the stage: `prod`, `local`, or any other name for a stage like `dev`. Further values:

| context | |
|---|---|
| `alarm_email=ADDRESS` | the address that gets the alarms |
| `runbook=URL` | the page that alarms link to: docs/runbook.md, where your team can read it |
| `kms=true` | all stored data is encrypted with a key of the stage, instead of keys of AWS |
| `canary=true` | a new release gets a tenth of the work for five minutes, and is rolled back if an invocation fails |
"""

from dataclasses import dataclass

import aws_cdk as cdk
from aws_cdk import aws_logs as logs
from constructs import Node

from celeriac.model import names, settings


class ConfigError(ValueError):
    """A context value can't be used. The message names the value and says what to write instead."""


@dataclass(frozen=True, slots=True)
class StageConfig:
    """The configuration of one stage."""

    stage: str
    keep_data: bool
    """Whether queues, tables, buckets and the key remain when their stack is deleted, which is also protected.

    No accepted message is lost then. But a resource that remains keeps its deterministic name: import or delete the
    resource before the stage declares the same name again.
    """
    log_retention: logs.RetentionDays
    local: bool = False
    """Whether the stage is deployed to the local cloud, which runs the functions on this machine."""
    alarm_email: str | None = None
    runbook: str = "docs/runbook.md"
    kms: bool = False
    canary: bool = False
    plain_botocore: bool = False
    """Whether botocore makes every call by itself, see docs/decisions/0032-the-wire.md."""

    @property
    def removal_policy(self) -> cdk.RemovalPolicy:
        """CloudFormation's policy for queues, tables, buckets and keys that are removed from the stack."""
        return cdk.RemovalPolicy.RETAIN if self.keep_data else cdk.RemovalPolicy.DESTROY


def read_config(node: Node) -> StageConfig:
    """Return the configuration from the app's context. Raises ConfigError for a value that can't be used."""
    try:
        stage = names.check_stage(context(node, "stage", "dev"))
    except ValueError as error:
        raise ConfigError(str(error)) from error
    alarm_email = context(node, "alarm_email", "") or None
    if alarm_email is not None and "@" not in alarm_email:
        raise ConfigError(
            f"alarm_email={alarm_email!r} is not an e-mail address: write -c alarm_email=name@example.org"
        )
    return StageConfig(
        stage,
        keep_data=settings.keeps_data(stage),
        log_retention={"prod": logs.RetentionDays.THREE_MONTHS, "local": logs.RetentionDays.ONE_DAY}.get(
            stage, logs.RetentionDays.TWO_WEEKS
        ),
        local=stage == "local",
        alarm_email=alarm_email,
        runbook=context(node, "runbook", "docs/runbook.md"),
        kms=switch(node, "kms"),
        canary=switch(node, "canary"),
        plain_botocore=switch(node, "plain_botocore"),
    )


def context(node: Node, key: str, default: str) -> str:
    """Return the text of a context value. Raises ConfigError if the value in cdk.json is no text."""
    value: object = node.try_get_context(key)
    if value is None:
        return default
    if not isinstance(value, str):
        raise ConfigError(f"the context value {key!r} is {value!r}, but it must be text: write -c {key}=...")
    return value


def switch(node: Node, key: str) -> bool:
    """Return whether a context value is on. The command line gives text; cdk.json may give a boolean."""
    match node.try_get_context(key):
        case None | False | "false":
            return False
        case True | "true":
            return True
        case value:
            raise ConfigError(f"{key}={value!r} is neither on nor off: write -c {key}=true, or leave it out")
