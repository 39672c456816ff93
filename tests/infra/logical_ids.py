"""The logical ids of a stage's resources. CloudFormation replaces a resource whose id changes, and one that is kept
keeps its name, so the replacement fails. `python -m tests.infra.logical_ids` writes them to the file.
"""

import json
from pathlib import Path

from celeriac.model.stages import Project, StageSettings
from tests.infra.conftest import assembly, librarys_stage

FILE = Path(__file__).with_suffix(".json")
_DIGITS_OF_A_VERSION = 32
_STAGE = StageSettings(alarm_emails=("ops@example.org",), producers={"mail": ("123456789012",)}, reserve=True)


def ids() -> dict[str, dict[str, str]]:
    """The type of each resource by its logical id, for some stages: all that a stage can have is in one of them."""
    project = Project("celeriac", {"prod": _STAGE, "pr-7": StageSettings(ephemeral=True)})
    made = {
        "kept, with key and canary": assembly(project, stage="prod", kms="true", canary="true"),
        "short-lived": assembly(project, stage="pr-7"),
        "of tests/application": librarys_stage(),
    }
    return {
        f"{what}: {stack.stack_name}": dict(
            sorted((_stable(name, each["Type"]), each["Type"]) for name, each in stack.template["Resources"].items())
        )
        for what, cloud in made.items()
        for stack in cloud.stacks
    }


def _stable(name: str, kind: str) -> str:
    """An id without the hash of the function's properties: a version has a new id whenever they change."""
    return name[:-_DIGITS_OF_A_VERSION] if kind == "AWS::Lambda::Version" else name


if __name__ == "__main__":
    FILE.write_text(json.dumps(ids(), indent=1) + "\n")
