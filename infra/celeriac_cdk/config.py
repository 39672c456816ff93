"""The settings of a stage, read from the CDK context.

`-c stage=NAME` picks the stage: `prod`, `local`, or any other name for a stage like `dev`. Further values:

| context | |
|---|---|
| `alarm_email=ADDRESS` | who is told of alarms |
| `runbook=URL` | where alarms link to: this repository's docs/runbook.md as your team reads it |
| `kms=true` | everything at rest is encrypted with a key of the stage's own, instead of AWS's |
| `canary=true` | a new release takes a tenth of the work for five minutes, and is rolled back when consumers fail |
"""

from dataclasses import dataclass

import aws_cdk as cdk
from aws_cdk import aws_logs as logs
from constructs import Node

from celeriac.model import names, settings


class ConfigError(ValueError):
    """A context value can't be used; the message says which and what to write instead."""


@dataclass(frozen=True, slots=True)
class StageConfig:
    """The configuration of one stage."""

    stage: str
    keep_data: bool
    """Whether queues, tables, bucket and key outlive their stack, guarded against a careless `destroy`.

    Nothing that was accepted is lost then, but a resource left behind keeps its deterministic name: import it, or
    delete it, before the stage declares the same name again.
    """
    log_retention: logs.RetentionDays
    local: bool = False
    """Deployed to the local cloud, which runs the functions on this very machine."""
    alarm_email: str | None = None
    runbook: str = "docs/runbook.md"
    kms: bool = False
    canary: bool = False

    @property
    def removal_policy(self) -> cdk.RemovalPolicy:
        """What CloudFormation does with queues, tables, buckets and keys that leave the stack."""
        return cdk.RemovalPolicy.RETAIN if self.keep_data else cdk.RemovalPolicy.DESTROY


def read_config(node: Node) -> StageConfig:
    """Return the configuration that the app's context asks for; raise ConfigError for a value that can't work."""
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
    )


def context(node: Node, key: str, default: str) -> str:
    """Return the text of a context value; raise ConfigError when cdk.json holds something else under its name."""
    value: object = node.try_get_context(key)
    if value is None:
        return default
    if not isinstance(value, str):
        raise ConfigError(f"the context value {key!r} is {value!r}, it must be text: write -c {key}=...")
    return value


def switch(node: Node, key: str) -> bool:
    """Return whether a context value is on, be it text of the command line or a boolean of cdk.json."""
    match node.try_get_context(key):
        case None | False | "false":
            return False
        case True | "true":
            return True
        case value:
            raise ConfigError(f"{key}={value!r} is neither on nor off: write -c {key}=true, or leave it out")
