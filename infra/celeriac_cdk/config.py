"""The settings of a stage: from celeriac.toml, and from the CDK context, which overrides it for a try.

`-c stage=NAME` picks the stage: any name for a stage like `dev`; `local` is the local cloud. Further values:

| context | |
|---|---|
| `ephemeral=true` | the stage's data is deleted with its stacks, and it has no alarms and no dashboard |
| `alarm_email=ADDRESS` | the address that gets the alarms; several with commas between them |
| `outbox_stream=ARN` | the stream of an outbox table that was restored |
| `runbook=URL` | the page that alarms link to: docs/runbook.md, where your team can read it |
| `kms=true` | all stored data is encrypted with a key of the stage; in a stage that runs, `kms=prepare` comes first |
| `canary=true` | a new release gets a tenth of the work for five minutes, and is rolled back if an invocation fails |
"""

from collections.abc import Callable
from dataclasses import dataclass

import aws_cdk as cdk
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from constructs import Construct, Node
from msgspec.structs import replace

from celeriac.model import names
from celeriac.model.stages import LOCAL, Project, StageSettings


class ConfigError(ValueError):
    """A context value can't be used. The message names the value and says what to write instead."""


@dataclass(frozen=True, slots=True)
class StageConfig:
    """The configuration of one stage."""

    application: str
    stage: str
    settings: StageSettings
    """What celeriac.toml and the context say."""
    on_local_cloud: bool = False
    """Whether a stage of another name than `local` is deployed to the local cloud, for a try."""
    plain_botocore: bool = False
    """Whether botocore makes every call by itself, see docs/decisions/0032-the-wire.md."""
    hosted: bool = False
    """Whether the stage is part of another application's stacks, as the construct `Celeriac`."""

    @property
    def keep_data(self) -> bool:
        """Whether queues, tables, buckets and the key remain when their stack is deleted, which is also protected.

        No accepted message is lost then. But a resource that remains keeps its deterministic name: import or delete
        the resource before the stage declares the same name again.
        """
        return self.settings.keeps

    @property
    def local(self) -> bool:
        """Whether the stage is deployed to the local cloud, which runs the functions on this machine."""
        return self.stage == LOCAL or self.on_local_cloud

    @property
    def has_key(self) -> bool:
        """Whether the stage has a key, and all roles the right to use it."""
        return self.settings.kms is not False

    @property
    def encrypts(self) -> bool:
        """Whether the stage's key encrypts what is stored."""
        return self.settings.kms is True

    def reserved(self, number: int) -> int | None:
        """The concurrent executions that are kept for a function of Celeriac's own; None if the stage keeps none."""
        return number if self.settings.reserve else None

    @property
    def watched(self) -> bool:
        """Whether the stage has alarms and a dashboard."""
        return not self.settings.ephemeral

    @property
    def canary(self) -> bool:
        """Whether a new release gets a tenth of the work at first."""
        return self.settings.canary and not self.local  # the local cloud has no CodeDeploy

    @property
    def log_retention(self) -> logs.RetentionDays:
        """How long the logs of the functions are kept."""
        if self.local:
            return logs.RetentionDays.ONE_DAY
        if self.settings.ephemeral:
            return logs.RetentionDays.THREE_DAYS
        return logs.RetentionDays.THREE_MONTHS if self.keep_data else logs.RetentionDays.TWO_WEEKS

    @property
    def removal_policy(self) -> cdk.RemovalPolicy:
        """CloudFormation's policy for queues, tables, buckets and keys that are removed from the stack.

        What the creation of a kept stack has made is deleted if that creation fails, so that it can be tried again.
        """
        return cdk.RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE if self.keep_data else cdk.RemovalPolicy.DESTROY

    @property
    def tags(self) -> dict[str, str]:
        """The tags of the stacks, which CloudFormation gives to their resources too."""
        return {"celeriac:application": self.application, "celeriac:stage": self.stage}

    def outbox_stream(self, region: str | None) -> str | None:
        """The stream of an outbox that was restored; None if the stacks made it, or if it is in another region."""
        stream = self.settings.outbox_stream
        return stream if stream is None or region in {None, stream.split(":")[3]} else None

    def environment(self, region: str | None) -> cdk.Environment | None:
        """The account and the region that a stack is pinned to; None for those of the caller."""
        account = self.settings.account
        return cdk.Environment(account=account, region=region) if account or region else None


type BuildState = Callable[[Construct, StageConfig, kms.IKey | None], Construct]
"""The class `ApplicationState`: it builds the application's storage beside its tables."""


def read_config(node: Node, project: Project) -> StageConfig:
    """Return the configuration from celeriac.toml and the context. Raises ConfigError for a value it can't use."""
    stage = context(node, "stage", "dev")
    try:
        names.prefix(stage)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    found = project.stage(stage)
    if node.try_get_context("ephemeral") is not None:
        found = replace(found, ephemeral=switch(node, "ephemeral"), keep=None)
    if node.try_get_context("kms") is not None:
        found = replace(found, kms="prepare" if node.try_get_context("kms") == "prepare" else switch(node, "kms"))
    if node.try_get_context("canary") is not None:
        found = replace(found, canary=switch(node, "canary"))
    if addresses := context(node, "alarm_email", ""):
        emails = tuple(address.strip() for address in addresses.split(","))
        found = replace(found, alarm_emails=emails, alarm_topic=None)
    for name in ("runbook", "outbox_stream"):
        if value := context(node, name, ""):
            found = replace(found, **{name: value})
    for key, problem in found.problems():
        raise ConfigError(f"the stage {stage!r}: {key} {problem}")
    return StageConfig(project.name, stage, found, switch(node, "local_cloud"), switch(node, "plain_botocore"))


def stack_id(config: StageConfig, part: str, region: str | None) -> str:
    """The id of a stack in the app. Stacks of one stage in several regions have one name, and an id each."""
    name = names.part(config.stage, part)
    return name if len(config.settings.regions) < 2 else f"{name}-{region}"  # noqa: PLR2004 - several


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
