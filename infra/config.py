"""What differs between stages, read from the CDK context.

`-c stage=NAME` picks the stage, `-c alarm_email=ADDRESS` subscribes somebody to its alarms.
"""

from dataclasses import dataclass

import aws_cdk as cdk
from aws_cdk import aws_logs as logs
from constructs import Node

from celeriac import names


class ConfigError(ValueError):
    """A context value can't be used; the message says which and what to write instead."""


@dataclass(frozen=True, slots=True)
class StageConfig:
    """The configuration of one stage."""

    stage: str
    removal_policy: cdk.RemovalPolicy
    """What becomes of queues, tables and the bucket when they leave the stack.

    Under RETAIN nothing that was accepted is lost, but a resource left behind keeps its deterministic
    name: import it, or delete it, before the stage declares the same name again.
    """
    log_retention: logs.RetentionDays
    local: bool = False
    """Deployed to the local cloud, which runs the functions on this very machine."""
    alarm_email: str | None = None

    @property
    def keep_data(self) -> bool:
        """Whether the stage guards what it stores against a careless `destroy`."""
        return self.removal_policy is cdk.RemovalPolicy.RETAIN


def read_config(node: Node) -> StageConfig:
    """Return the configuration that the app's context asks for; raise ConfigError for a value that can't work.

    `prod` keeps its data, `local` runs on this machine, every other name is a stage like `dev`.
    """
    try:
        stage = names.check_stage(context(node, "stage", "dev"))
    except ValueError as error:
        raise ConfigError(str(error)) from error
    alarm_email = context(node, "alarm_email", "") or None
    if alarm_email is not None and "@" not in alarm_email:
        raise ConfigError(
            f"alarm_email={alarm_email!r} is not an e-mail address: write -c alarm_email=name@example.org"
        )
    match stage:
        case "prod":
            return StageConfig(stage, cdk.RemovalPolicy.RETAIN, logs.RetentionDays.THREE_MONTHS, False, alarm_email)
        case "local":
            return StageConfig(stage, cdk.RemovalPolicy.DESTROY, logs.RetentionDays.ONE_DAY, True, alarm_email)
        case _:
            return StageConfig(stage, cdk.RemovalPolicy.DESTROY, logs.RetentionDays.TWO_WEEKS, False, alarm_email)


def context(node: Node, key: str, default: str) -> str:
    """Return the text of a context value; raise ConfigError when cdk.json holds something else under its name."""
    value: object = node.try_get_context(key)
    if value is None:
        return default
    if not isinstance(value, str):
        raise ConfigError(f"the context value {key!r} is {value!r}, it must be text: write -c {key}=...")
    return value
