"""Whose credentials, and which account, region and stage the page works on."""

from dataclasses import dataclass
from pathlib import Path

from celeriac.model import project, settings
from celeriac.model.stages import LOCAL
from celeriac_console.stage.clients import client


@dataclass(frozen=True, slots=True)
class Identity:
    """What stands in the frame of each screen."""

    application: str
    stage: str
    account: str
    region: str
    who: str
    """The ARN of the credentials."""
    keeps: bool
    """Whether the stage's data is kept when its stacks are deleted, as in production."""

    @property
    def is_local(self) -> bool:
        """Whether it is the local cloud."""
        return self.stage == LOCAL


def identify() -> Identity:
    """Ask AWS whose the credentials are. Raises AWS's errors."""
    sts = client("sts")
    caller, stage = sts.get_caller_identity(), settings.stage()
    return Identity(
        settings.application(),
        stage,
        caller["Account"],
        sts.meta.region_name,
        caller["Arn"],
        project.read(Path.cwd()).stage(stage).keeps,
    )
