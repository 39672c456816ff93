"""Check the caller's credentials with AWS. Without them the CDK would build for most of a minute, and then fail."""

from argparse import ArgumentParser
from collections.abc import Mapping, Sequence
from pathlib import Path

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, ConnectionError, HTTPClientError  # noqa: A004 - botocore's

from celeriac_local.folders import root

CURE = "Sign in (aws sso login) or set AWS_PROFILE. To see the credentials in use: aws sts get-caller-identity"
REFUSED = frozenset(
    {
        "ExpiredToken",
        "ExpiredTokenException",
        "InvalidClientTokenId",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
    }
)


def unusable(words: Sequence[str], environment: Mapping[str, str]) -> str | None:
    """The reason why the credentials can't be used. None if AWS accepts them.

    None also if they can't be checked: another endpoint than AWS's is set, a CDK plugin provides the credentials, or
    AWS can't be reached. The CDK itself reports that AWS can't be reached.
    """
    if any(environment.get(name) for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_STS")) or _has_plugin(words):
        return None
    parser = ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--profile")
    try:
        session = boto3.Session(profile_name=parser.parse_known_args(words)[0].profile)
        if session.get_credentials() is None:
            return "there are none"
        # The identity doesn't depend on the region. If a region is missing, the CDK says so.
        region = session.region_name or "us-east-1"
        config = Config(connect_timeout=3, read_timeout=5, retries={"total_max_attempts": 1})
        session.client("sts", region_name=region, config=config).get_caller_identity()
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "")
        return f"AWS refuses them ({code})" if code in REFUSED else None
    except (ConnectionError, HTTPClientError):
        return None
    except BotoCoreError as error:  # an unknown profile, a missing or expired token, an incomplete key
        return str(error).rstrip(".")
    return None


def _has_plugin(words: Sequence[str]) -> bool:
    files = (root() / "cdk.json", Path.home() / ".cdk.json")
    return "--plugin" in words or any('"plugin"' in file.read_text() for file in files if file.is_file())
