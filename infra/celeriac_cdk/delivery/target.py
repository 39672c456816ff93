"""The stages of a delivery, and where each of them is."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import aws_cdk as cdk

from celeriac.model import names, settings
from celeriac.model.stages import Project, ProjectError
from celeriac_cdk.config import ConfigError

PREVIEW = "pr-*"
"""The pattern of the stages of pull requests."""
_ONE_OF_THEM = "pr-0"


@dataclass(frozen=True, slots=True)
class Target:
    """A stage, or the stages of pull requests, with the regions that they are deployed to."""

    name: str
    """The stage, and the environment on GitHub whose jobs deploy it."""
    stage: str
    """The stage, or one of those of pull requests: what names are made of."""
    is_preview: bool
    regions: tuple[str, ...]
    """As an ARN holds them; the region of the delivery stack for a stage that doesn't name any."""
    account: str | None
    has_key: bool

    @property
    def start(self) -> str:
        """How the names of the stage's stacks begin, as a pattern."""
        return self.in_names(names.start(self.stage))

    @property
    def branch(self) -> str | None:
        """The only branch from which it is deployed; None for pull requests, which are branches of their own."""
        return None if self.is_preview else "main"

    def in_names(self, text: str) -> str:
        """Put the pattern of the stages of pull requests into a text with the names of one of them."""
        if not self.is_preview:
            return text
        return text.replace(names.prefix(_ONE_OF_THEM), names.prefix(_ONE_OF_THEM).removesuffix("0") + "*")


def targets(project: Project, wanted: str) -> list[Target]:
    """Return what `wanted` lists, such as `dev,prod,pr-*`.

    Raises ProjectError or ConfigError for a stage that can't be delivered, and for stages of several accounts.
    """
    found = [_target(project, name.strip()) for name in wanted.split(",")]
    accounts = {each.account: each.name for each in found if each.account is not None}
    if len(accounts) > 1:
        where = ", ".join(f"{name} in {account}" for account, name in accounts.items())
        raise ProjectError(
            f"the stages are in several accounts ({where}): deploy the delivery stack to each account, with its own "
            "stages"
        )
    return found


def account_of(found: Iterable[Target]) -> str | None:
    """The account that celeriac.toml names for these stages, if it names one."""
    return next((each.account for each in found if each.account is not None), None)


def _target(project: Project, name: str) -> Target:
    is_preview = name == PREVIEW
    stage = _ONE_OF_THEM if is_preview else name
    try:
        settings.check_stage(stage)
        names.prefix(stage)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    if stage == "local":
        raise ConfigError("the stage 'local' is the local cloud: name stages on AWS, such as dev,prod")
    found = project.stage(stage)
    if is_preview and found.keeps:
        raise ProjectError(
            f"the stages of pull requests would keep their data when they are deleted: write ephemeral = true under "
            f'[stages."{PREVIEW}"] in {settings.FILE}'
        )
    regions: Sequence[str] = found.regions or (cdk.Aws.REGION,)
    return Target(
        "preview" if is_preview else name, stage, is_preview, tuple(regions), found.account, found.kms is not False
    )
