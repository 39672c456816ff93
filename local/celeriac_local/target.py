"""Check that a stage may be deployed where the caller's credentials lead. Nothing has been built by then."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from celeriac.model import names, settings
from celeriac.model.project import read
from celeriac.model.stages import Project, ProjectError
from celeriac_local.deployed import DEFAULT_REGION, ONCE, session_of, stacks

_TAG = "celeriac:application"


def problem(root: Path, stage: str, words: Sequence[str]) -> str | None:
    """Why the stage can't be deployed here; None if nothing speaks against it, or if AWS doesn't tell.

    root: the folder with celeriac.toml. words: the arguments of cdk.
    """
    try:
        project = read(root)
        names.prefix(stage)
    except (ProjectError, ValueError) as error:
        return str(error)
    wanted = project.stage(stage)
    try:
        session = session_of(words)
        region = session.region_name or DEFAULT_REGION
        account = session.client("sts", region_name=region, config=ONCE).get_caller_identity()["Account"]
        if wanted.account not in {None, account}:
            return (
                f"the stage {stage} belongs to the account {wanted.account} ({settings.FILE}), and the credentials are "
                f"for {account}: set AWS_PROFILE, or correct stages.{stage}.account"
            )
        return next(_foreign(session, project, stage, wanted.regions), None)
    except (BotoCoreError, ClientError):
        return None  # the CDK makes the same calls, and says what is wrong


def _foreign(session: boto3.Session, project: Project, stage: str, regions: Sequence[str]) -> Iterator[str]:
    """Say which stack of these names isn't the application's."""
    for found in stacks(session, stage, regions):
        owner = {tag["Key"]: tag["Value"] for tag in found.stack.get("Tags", [])}.get(_TAG)
        if owner != project.name:
            whose = f"belongs to the application {owner!r}" if owner else "wasn't made by Celeriac"
            yield (
                f"the stack {found.name} exists in {found.region} and {whose}: choose another name for the application "
                f"or the stage ({settings.FILE})"
            )
