"""Compare what is deployed with what a synth has written, in words.

`python -m celeriac_local.plan [arguments of cdk]` prints a line for each thing that a deploy would lose, strand or fail
at. It says nothing of a stack that isn't deployed, and nothing if AWS doesn't answer: it warns, and stops nothing.
"""

import json
import os
import sys
from argparse import ArgumentParser
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from celeriac_local.changes import Template, warnings
from celeriac_local.folders import ROOT

_ONCE = Config(connect_timeout=3, read_timeout=10, retries={"total_max_attempts": 2})


def plan(assembly: Path, words: Sequence[str]) -> Iterator[str]:
    """The warnings for every stack of a synth.

    assembly: the folder that the synth has written. words: the arguments of cdk.
    """
    parser = ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--profile")
    session = boto3.Session(profile_name=parser.parse_known_args(words)[0].profile)
    for artifact in json.loads((assembly / "manifest.json").read_text())["artifacts"].values():
        if artifact["type"] != "aws:cloudformation:stack":
            continue
        region = artifact["environment"].rpartition("/")[2]
        region = session.region_name or "us-east-1" if region == "unknown-region" else region
        template = artifact["properties"]["templateFile"]
        name = artifact["properties"].get("stackName") or template.removesuffix(".template.json")
        before = _deployed(session, name, region)
        if before is not None:
            yield from warnings(before, json.loads((assembly / template).read_text()))


def _deployed(session: boto3.Session, name: str, region: str) -> Template | None:
    cloudformation = session.client("cloudformation", region_name=region, config=_ONCE)
    try:
        body: Any = cloudformation.get_template(StackName=name)["TemplateBody"]
    except ClientError as error:
        if error.response["Error"]["Code"] == "ValidationError":
            return None
        raise
    found: Template = body if isinstance(body, dict) else json.loads(body)
    return found


if __name__ == "__main__":
    os.environ.setdefault("AWS_DEFAULT_REGION", os.environ.get("AWS_REGION", "us-east-1"))
    try:
        said = list(plan(ROOT / "cdk.out", sys.argv[1:]))
    except (BotoCoreError, ClientError, OSError) as problem:
        sys.exit(f"celeriac: what is deployed could not be read ({problem}), so nothing is compared")
    for line in said:
        sys.stdout.write(f"WARNING: {line}\n")
    if not said:
        sys.stdout.write("Nothing is lost or replaced.\n")
