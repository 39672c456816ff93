"""The stacks of a stage, as they are deployed."""

from argparse import ArgumentParser
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from celeriac.model import names

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_cloudformation.type_defs import StackTypeDef

# The CDK makes the same calls a moment later, and has more patience.
ONCE = Config(connect_timeout=3, read_timeout=10, retries={"total_max_attempts": 2})
DEFAULT_REGION = "us-east-1"


class Deployed(NamedTuple):
    """A stack that exists."""

    name: str
    part: str
    """`state` or `work`."""
    region: str
    stack: "StackTypeDef"
    client: "CloudFormationClient"


def session_of(words: Sequence[str]) -> boto3.Session:
    """The session of the credentials that the CDK would use. words: its arguments."""
    parser = ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--profile")
    return boto3.Session(profile_name=parser.parse_known_args(words)[0].profile)


def stacks(session: boto3.Session, stage: str, regions: Sequence[str]) -> Iterator[Deployed]:
    """The stage's stacks that exist in these regions, or without any in that of the session. Raises AWS's errors."""
    for region in regions or (session.region_name or DEFAULT_REGION,):
        client = session.client("cloudformation", region_name=region, config=ONCE)
        for part in ("state", "work"):
            name = names.part(stage, part)
            try:
                (stack,) = client.describe_stacks(StackName=name)["Stacks"]
            except ClientError as error:
                if error.response["Error"]["Code"] == "ValidationError":
                    continue  # there is none
                raise
            yield Deployed(name, part, region, stack, client)
