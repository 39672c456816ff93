"""Which job of which repository on GitHub may take a role."""

import re

from aws_cdk import aws_iam as iam

from celeriac_cdk.config import ConfigError

ISSUER = "token.actions.githubusercontent.com"
AUDIENCE = "sts.amazonaws.com"
"""What aws-actions/configure-aws-credentials asks tokens for."""
PULL_REQUEST = "pull_request"
"""How the subject ends in a job of a pull request that has no environment."""
_REPOSITORY = re.compile(
    r"(?P<owner>[A-Za-z0-9][A-Za-z0-9-]{0,38})(?P<owner_id>@\d+)?/(?P<name>[A-Za-z0-9._-]{1,100})(?P<id>@\d+)?"
)


def check_repository(repository: str) -> str:
    """Return `repository`. Raises ConfigError unless it is OWNER/REPO, with the id of both or of neither.

    GitHub writes the ids into the subjects of repositories that were made or renamed since July 2026, so that who takes
    over a free name doesn't get its rights: https://docs.github.com/en/actions/reference/security/oidc
    """
    found = _REPOSITORY.fullmatch(repository)
    if found is None or (found["owner_id"] is None) != (found["id"] is None):
        raise ConfigError(
            f"delivery={repository!r} is no repository: write OWNER/REPO, or OWNER@ID/REPO@ID if GitHub's tokens have "
            "the ids (docs/howto/delivery.md)"
        )
    return repository


def environment(name: str) -> str:
    """How the subject ends in a job with an environment of GitHub, whatever triggered the job."""
    return f"environment:{name}"


def job(provider_arn: str, repository: str, claim: str, *, branch: str | None = None) -> iam.WebIdentityPrincipal:
    """Return the jobs of a repository whose subject ends in `claim`, on `branch` only if one is named.

    Each value is compared as a whole. A wildcard over branches or repositories would let others in.
    """
    wanted = {"aud": AUDIENCE, "sub": f"repo:{repository}:{claim}"}
    if branch is not None:
        wanted["ref"] = f"refs/heads/{branch}"
    return iam.WebIdentityPrincipal(
        provider_arn, {"StringEquals": {f"{ISSUER}:{key}": value for key, value in wanted.items()}}
    )
