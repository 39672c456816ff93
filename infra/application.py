"""What your tasks need beside Celeriac: a bucket, a secret, a setting, a permission. A team edits this file first."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from constructs import Construct, Node

from infra import samples  # sample
from infra.config import StageConfig


class ApplicationState(Construct):
    """What the application stores beside its tables, which are those of functions/tasks/tables.py."""

    def __init__(self, scope: Construct, config: StageConfig, key: kms.IKey | None) -> None:
        """Build it, in the stack that outlives the functions."""
        super().__init__(scope, "Application")
        samples.webhook_secret(self, config, key)  # sample


@dataclass(frozen=True, slots=True)
class Application:
    """What the functions that run the application's tasks are given."""

    environment: Mapping[str, str]
    permissions: Sequence[iam.PolicyStatement]
    wildcards: Mapping[str, str]
    """Resources among them that hold a wildcard, and why: synth fails for one that nobody has given a reason for."""


def application(node: Node, config: StageConfig) -> Application:
    """Return the environment and permissions of the tasks; raise ConfigError for context values that can't work."""
    environment: dict[str, str] = {}
    permissions: list[iam.PolicyStatement] = []
    wildcards: dict[str, str] = {}
    environment |= samples.environment(node, config)  # sample
    permissions += samples.permissions(node, config)  # sample
    wildcards |= samples.WILDCARDS  # sample
    return Application(environment, permissions, wildcards)
