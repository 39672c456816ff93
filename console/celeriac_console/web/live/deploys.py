"""When the stage's stacks were deployed last, and how that ended."""

from dataclasses import dataclass
from datetime import datetime

from celeriac.aws.client import error_code
from celeriac.model import names
from celeriac.model.settings import stage
from celeriac_console.stage.clients import client

STACKS = ("state", "work")
WELL = frozenset({"CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS"})
MISSING = "not deployed"


@dataclass(frozen=True, slots=True)
class Stack:
    """A stack of the stage."""

    name: str
    status: str
    """CloudFormation's word, or `MISSING`."""
    updated_at: datetime | None
    """When its last update, or else its creation, began."""

    @property
    def is_well(self) -> bool:
        """Whether the last deploy ended well."""
        return self.status in WELL

    @property
    def is_at_work(self) -> bool:
        """Whether a deploy goes on."""
        return self.status.endswith("_IN_PROGRESS") and not self.is_well


def read() -> tuple[Stack, ...]:
    """The stage's stacks, a call for each. None if there is neither: then it is in a stack of the application's own."""
    found = tuple(_stack(names.part(stage(), part)) for part in STACKS)
    return found if any(each.status != MISSING for each in found) else ()


def last(stacks: tuple[Stack, ...]) -> datetime | None:
    """When the newest deploy began."""
    return max((stack.updated_at for stack in stacks if stack.updated_at is not None), default=None)


def _stack(name: str) -> Stack:
    formation = client("cloudformation")
    try:
        found = formation.describe_stacks(StackName=name)["Stacks"][0]
    except formation.exceptions.ClientError as error:
        if error_code(error) != "ValidationError":
            raise
        return Stack(name, MISSING, None)
    return Stack(name, found["StackStatus"], found.get("LastUpdatedTime", found["CreationTime"]))
