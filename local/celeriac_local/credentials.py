"""Whether AWS takes the caller's credentials, asked before the CDK spends most of a minute on building what needs them.

`python -m celeriac_local.credentials [words of the cdk command]`: exit code 1, and what to do, where it doesn't.
"""

import os
import sys
from argparse import ArgumentParser
from collections.abc import Mapping, Sequence
from pathlib import Path

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, ConnectionError, HTTPClientError  # noqa: A004 - botocore's

from celeriac_local.folders import ROOT

CURE = "Sign in (aws sso login) or set AWS_PROFILE; see which they are: aws sts get-caller-identity"
REFUSED = frozenset(
    {
        "ExpiredToken",
        "ExpiredTokenException",
        "InvalidClientTokenId",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
    }
)


def problem(words: Sequence[str], environment: Mapping[str, str]) -> str | None:
    """Why AWS won't take them.

    None where it does; and where nothing is sure: another endpoint than AWS's is meant, a plugin of the CDK's finds
    credentials, or AWS is out of reach, of which the CDK tells.
    """
    if any(environment.get(name) for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_STS")) or _has_plugin(words):
        return None
    parser = ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--profile")
    try:
        session = boto3.Session(profile_name=parser.parse_known_args(words)[0].profile)
        if session.get_credentials() is None:
            return "there are none"
        # Who somebody is doesn't depend on the region; whether one is needed is for the CDK to say.
        region = session.region_name or "us-east-1"
        config = Config(connect_timeout=3, read_timeout=5, retries={"total_max_attempts": 1})
        session.client("sts", region_name=region, config=config).get_caller_identity()
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "")
        return f"AWS refuses them ({code})" if code in REFUSED else None
    except (ConnectionError, HTTPClientError):
        return None
    except BotoCoreError as error:  # an unknown profile, a token that is missing or has expired, half a key
        return str(error).rstrip(".")
    return None


def _has_plugin(words: Sequence[str]) -> bool:
    files = (ROOT / "cdk.json", Path.home() / ".cdk.json")
    return "--plugin" in words or any('"plugin"' in file.read_text() for file in files if file.is_file())


if __name__ == "__main__":
    found = problem(sys.argv[1:], os.environ)
    if found is not None:
        sys.exit(f"No credentials that AWS takes: {found}. Nothing was built or deployed.\n{CURE}")
