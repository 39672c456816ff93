"""Check that a stage may be deployed where the caller's credentials lead. Nothing has been built by then.

`python -m celeriac_local.target STAGE [arguments of cdk]` prints one sentence and exits with 1 if celeriac.toml can't
be used, if it names another account than that of the credentials, or if a stack of that name isn't this application's.
"""

import os
import sys
from argparse import ArgumentParser
from collections.abc import Iterator, Sequence
from pathlib import Path

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from celeriac.model import names, settings
from celeriac.model.project import read
from celeriac.model.stages import Project, ProjectError
from celeriac_local.folders import ROOT

_ONCE = Config(connect_timeout=3, read_timeout=10, retries={"total_max_attempts": 2})
_TAG = "celeriac:application"
_PARTS = ("state", "work")


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
    parser = ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--profile")
    try:
        session = boto3.Session(profile_name=parser.parse_known_args(words)[0].profile)
        region = session.region_name or "us-east-1"
        account = session.client("sts", region_name=region, config=_ONCE).get_caller_identity()["Account"]
        if wanted.account not in {None, account}:
            return (
                f"the stage {stage} belongs to the account {wanted.account} ({settings.FILE}), and the credentials are "
                f"for {account}: set AWS_PROFILE, or correct stages.{stage}.account"
            )
        return next(_foreign(session, project, stage, wanted.regions or (region,)), None)
    except (BotoCoreError, ClientError):
        return None  # the CDK makes the same calls, and says what is wrong


def _foreign(session: boto3.Session, project: Project, stage: str, regions: Sequence[str]) -> Iterator[str]:
    """Say which stack of these names isn't the application's."""
    for region in regions:
        cloudformation = session.client("cloudformation", region_name=region, config=_ONCE)
        for part in _PARTS:
            name = names.part(stage, part)
            try:
                (stack,) = cloudformation.describe_stacks(StackName=name)["Stacks"]
            except ClientError as error:
                if error.response["Error"]["Code"] == "ValidationError":
                    continue  # there is none
                raise
            owner = {tag["Key"]: tag["Value"] for tag in stack.get("Tags", [])}.get(_TAG)
            if owner != project.name:
                whose = f"belongs to the application {owner!r}" if owner else "wasn't made by Celeriac"
                yield (
                    f"the stack {name} exists in {region} and {whose}: choose another name for the application or the "
                    f"stage ({settings.FILE})"
                )


if __name__ == "__main__":
    os.environ.setdefault("AWS_DEFAULT_REGION", os.environ.get("AWS_REGION", "us-east-1"))
    reason = problem(ROOT, sys.argv[1], sys.argv[2:])
    if reason is not None:
        sys.exit(f"celeriac: {reason}. Nothing was built or deployed.")
