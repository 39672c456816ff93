"""What the page must know of the load balancer in front of it and of the people behind it. `celeriac_cdk` writes it."""

import os
from collections.abc import Mapping

import msgspec
from msgspec import Struct

VARIABLE = "CELERIAC_WEB"
"""The variable of the environment that holds it, as JSON."""
ANYBODY = "*"
"""In a list of values: everybody whom the identity provider signs in."""


class Behind(Struct, frozen=True, forbid_unknown_fields=True):
    """Settings of the construct `Web`."""

    domain: str
    """The name in the browser's address, such as `tasks.example.org`."""
    load_balancer: str
    """The ARN of the load balancer. It signs who asks."""
    issuer: str
    """The identity provider's URL."""
    client_id: str
    """What the identity provider calls this page."""
    claim: str
    """What is looked at of a person, such as `groups` or `email`."""
    operators: tuple[str, ...]
    """Who has one of these values may act."""
    viewers: tuple[str, ...]
    """Who has one of these values may look."""
    viewers_see_arguments: bool
    """Whether who only looks may see arguments and results of tasks."""
    sign_out: str
    """Where the identity provider ends its own session; empty if it has no such URL."""
    keeps: bool
    """Whether the stage keeps its data when its stacks are deleted."""

    @property
    def region(self) -> str:
        """That of the load balancer."""
        return self.load_balancer.split(":")[3]


def behind(environment: Mapping[str, str] = os.environ) -> Behind:
    """Read the settings. Raises ValueError if they are missing or not what `celeriac_cdk` writes."""
    text = environment.get(VARIABLE)
    if text is None:
        raise ValueError(f"the variable {VARIABLE} is missing: the construct Web of celeriac_cdk sets it")
    try:
        return msgspec.json.decode(text, type=Behind)
    except msgspec.DecodeError as error:
        raise ValueError(
            f"the variable {VARIABLE} isn't what the construct Web of celeriac_cdk sets: {error}"
        ) from error
