"""What a deploy needs beforehand, of the stacks that are there."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from celeriac.model import settings
from celeriac.model.project import read
from celeriac.model.stages import KMS_OUTPUT, StageSettings
from celeriac_local.deployed import Deployed, session_of, stacks

_FAILED = {"ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "REVIEW_IN_PROGRESS"}
"""The creation failed, or has not begun: the stack holds nothing."""


def key_at_once(root: Path, stage: str, words: Sequence[str]) -> str | None:
    """Why the deploy would turn the key on before its users have the right, or off before its last use; or None.

    root: the folder with celeriac.toml. words: the arguments of cdk.
    """
    settings_ = read(root).stage(stage)
    wanted = _wanted_key(settings_, words)
    for found in stacks(session_of(words), stage, settings_.regions):
        if found.part != "state" or found.stack["StackStatus"] in _FAILED:
            continue  # nothing is encrypted there, or waits to be
        outputs = {each["OutputKey"]: each["OutputValue"] for each in found.stack.get("Outputs", [])}
        if {outputs.get(KMS_OUTPUT, "off"), wanted} == {"on", "off"}:
            return (
                f"the key of the stage {stage} can't be turned {wanted} in one deploy, because messages would meet "
                f'roles without a right to the key: write kms = "prepare" under stages.{stage} in {settings.FILE}, '
                f"deploy, {'then kms = true' if wanted == 'on' else 'wait for the longest retention, then kms = false'}"
            )
    return None


def unprotect(root: Path, stage: str, words: Sequence[str]) -> Iterator[str]:
    """Take the protection from deletion off every stack whose creation failed, and say so.

    The CDK deletes such a stack before it makes it again, and that of a kept stage is protected from its first moment.
    It holds nothing: what the failed creation had made is deleted already.
    """
    for found in stacks(session_of(words), stage, read(root).stage(stage).regions):
        if _is_protected_in_vain(found):
            found.client.update_termination_protection(StackName=found.name, EnableTerminationProtection=False)
            yield f"The creation of {found.name} in {found.region} was rolled back: it is made again."


def _is_protected_in_vain(found: Deployed) -> bool:
    return found.stack["StackStatus"] in _FAILED and bool(found.stack.get("EnableTerminationProtection"))


def _wanted_key(wanted: StageSettings, words: Sequence[str]) -> str:
    """What the deploy wants of the stage's key: `on`, `prepared` or `off`."""
    given = [word.partition("=")[2] for word in words if re.fullmatch(r"(-c|--context=)?kms=\w+", word)]
    value = {"true": True, "false": False, "prepare": "prepare"}.get(given[-1]) if given else wanted.kms
    return "on" if value is True else "prepared" if value == "prepare" else "off"
