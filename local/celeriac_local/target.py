"""Check that a stage may be deployed where the caller's credentials lead. Nothing has been built by then.

`python -m celeriac_local.target STAGE [arguments of cdk]` prints one sentence and exits with 1 if celeriac.toml can't
be used, if it names another account than that of the credentials, or if a stack of that name isn't this application's.
"""

import os
import re
import sys
from argparse import ArgumentParser
from collections.abc import Iterator, Sequence
from pathlib import Path

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from celeriac.model import names, settings
from celeriac.model.project import read
from celeriac.model.stages import KMS_OUTPUT, Project, ProjectError, StageSettings
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
        regions = wanted.regions or (region,)
        foreign = next(_foreign(session, project, stage, regions), None)
        return foreign or next(_key_at_once(session, stage, _wanted_key(wanted, words), regions), None)
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


def _wanted_key(wanted: StageSettings, words: Sequence[str]) -> str:
    """What the deploy wants of the stage's key: `on`, `prepared` or `off`."""
    given = [word.partition("=")[2] for word in words if re.fullmatch(r"(-c|--context=)?kms=\w+", word)]
    value = {"true": True, "false": False, "prepare": "prepare"}.get(given[-1]) if given else wanted.kms
    return "on" if value is True else "prepared" if value == "prepare" else "off"


def _key_at_once(session: boto3.Session, stage: str, wanted: str, regions: Sequence[str]) -> Iterator[str]:
    """Say where the key would be used before its users have the right, or taken from them before its last use."""
    for region in regions:
        cloudformation = session.client("cloudformation", region_name=region, config=_ONCE)
        try:
            (stack,) = cloudformation.describe_stacks(StackName=names.part(stage, "state"))["Stacks"]
        except ClientError as error:
            if error.response["Error"]["Code"] == "ValidationError":
                continue  # there is none, so nothing has to be prepared
            raise
        if stack["StackStatus"] in {"REVIEW_IN_PROGRESS", "ROLLBACK_COMPLETE", "DELETE_COMPLETE"}:
            continue
        found = {each["OutputKey"]: each["OutputValue"] for each in stack.get("Outputs", [])}.get(KMS_OUTPUT, "off")
        if {found, wanted} == {"on", "off"}:
            verb = "on" if wanted == "on" else "off"
            yield (
                f"the key of the stage {stage} can't be turned {verb} in one deploy, because messages would meet roles "
                f'without a right to the key: write kms = "prepare" under stages.{stage} in {settings.FILE}, deploy, '
                f"{'' if verb == 'on' else 'wait for the longest retention, '}then kms = {str(verb == 'on').lower()}"
            )


if __name__ == "__main__":
    os.environ.setdefault("AWS_DEFAULT_REGION", os.environ.get("AWS_REGION", "us-east-1"))
    reason = problem(ROOT, sys.argv[1], sys.argv[2:])
    if reason is not None:
        sys.exit(f"celeriac: {reason}. Nothing was built or deployed.")
