"""The regions of a stage, a line each: `python -m celeriac_local.regions STAGE`."""

import sys

import boto3

from celeriac.model.project import read
from celeriac.model.stages import ProjectError
from celeriac_local.deployed import DEFAULT_REGION
from celeriac_local.folders import root


def regions(stage: str) -> tuple[str, ...]:
    """Those that celeriac.toml names for the stage, or else that of the caller. Raises ProjectError."""
    return read(root()).stage(stage).regions or (boto3.Session().region_name or DEFAULT_REGION,)


if __name__ == "__main__":
    try:
        sys.stdout.write("".join(f"{region}\n" for region in regions(sys.argv[1])))
    except ProjectError as error:
        sys.exit(f"celeriac: {error}")
