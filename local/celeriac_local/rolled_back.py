"""Let a creation that was rolled back be tried again.

`python -m celeriac_local.rolled_back STAGE [arguments of cdk]` takes the protection from deletion off stacks of the
stage whose creation failed. The CDK deletes such a stack before it makes it again, and that of a kept stage is
protected from its first moment. It holds nothing: what the failed creation had made is deleted already.
"""

import os
import sys
from argparse import ArgumentParser
from collections.abc import Iterator, Sequence
from pathlib import Path

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from celeriac.model import names
from celeriac.model.project import read
from celeriac_local.folders import ROOT

_FAILED = {"ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "REVIEW_IN_PROGRESS"}
_ONCE = Config(connect_timeout=3, read_timeout=10, retries={"total_max_attempts": 2})


def unprotect(root: Path, stage: str, words: Sequence[str]) -> Iterator[str]:
    """Take the protection off every stack whose creation failed, and say so."""
    parser = ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--profile")
    session = boto3.Session(profile_name=parser.parse_known_args(words)[0].profile)
    for region in read(root).stage(stage).regions or (session.region_name or "us-east-1",):
        cloudformation = session.client("cloudformation", region_name=region, config=_ONCE)
        for name in (names.part(stage, "state"), names.part(stage, "work")):
            try:
                (stack,) = cloudformation.describe_stacks(StackName=name)["Stacks"]
            except ClientError as error:
                if error.response["Error"]["Code"] == "ValidationError":
                    continue  # there is none
                raise
            if stack["StackStatus"] in _FAILED and stack.get("EnableTerminationProtection"):
                cloudformation.update_termination_protection(StackName=name, EnableTerminationProtection=False)
                yield f"The creation of {name} in {region} was rolled back: it is made again."


if __name__ == "__main__":
    os.environ.setdefault("AWS_DEFAULT_REGION", os.environ.get("AWS_REGION", "us-east-1"))
    try:
        for line in unprotect(ROOT, sys.argv[1], sys.argv[2:]):
            sys.stdout.write(f"{line}\n")
    except (BotoCoreError, ClientError) as problem:
        sys.exit(f"celeriac: {problem}")
