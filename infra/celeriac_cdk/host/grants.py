"""Grants: the rights and the environment that a producer needs, in one call."""

from collections.abc import Mapping, Sequence
from typing import Any
from weakref import WeakKeyDictionary

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from constructs import IConstruct

from celeriac_cdk.config import ConfigError
from celeriac_cdk.host.home import Home

type Grantee = Any
"""A function, its version or alias, an ECS task definition, or anything else that the CDK can grant rights to."""

_HOME_OF: "WeakKeyDictionary[IConstruct, Home]" = WeakKeyDictionary()
"""The stage that a function or a task definition sends to."""


def give(grantee: Grantee, home: Home, statements: Sequence[iam.PolicyStatement]) -> None:
    """Give rights, and the environment if the grantee has one. To an imported role that can't change, the CDK adds
    nothing and says nothing.

    Raises ConfigError if the grantee works with another application already, or is in another account or region.
    """
    process: Any = getattr(grantee, "lambda_", grantee)  # a version and an alias have the environment of their function
    principal = process.task_role if _is_of_ecs(process) else grantee.grant_principal
    for each in (process, principal):
        _check_place(each, home)
    belongs_to(process, home)
    for statement in statements:
        principal.add_to_principal_policy(statement)
    _tell(process, home.environment)


def belongs_to(process: IConstruct, home: Home) -> None:
    """Note which stage a function works with. Raises ConfigError if it is another one already."""
    other = _HOME_OF.setdefault(process, home)
    if (other.config.application, other.config.stage) != (home.config.application, home.config.stage):
        raise ConfigError(
            f"{process.node.path} works with {other.title}, and one process works with one application: let another "
            f"function send to {home.title}, or let this one send plain messages, as docs/reference/messages.md shows, "
            "with the rights that .queue.grant_send_messages(...) of that queue gives"
        )


def _check_place(grantee: Any, home: Home) -> None:
    """Raise ConfigError for another account or region: names and rights mean those of the grantee's own stack."""
    if not hasattr(grantee, "node"):
        return  # a principal alone, such as that of a service
    stack = cdk.Stack.of(grantee)
    if (stack.account, stack.region) != (home.account, home.region):
        raise ConfigError(
            f"{grantee.node.path} is in {_place(stack.account, stack.region)}, and {home.title} in "
            f"{_place(home.account, home.region)}: a grant reaches only the grantee's own account and region. Give "
            "both stacks the same env=, or build an instance of Celeriac beside the grantee"
        )


def _place(account: str, region: str) -> str:
    """An account and a region, as errors name them."""
    known = [
        f"the {kind} {value}" if not cdk.Token.is_unresolved(value) else f"an unknown {kind}"
        for kind, value in (("account", account), ("region", region))
    ]
    return " and ".join(known)


def _is_of_ecs(process: Any) -> bool:
    return hasattr(process, "task_role") and not hasattr(process, "grant_principal")


def _tell(process: Any, environment: Mapping[str, str]) -> None:
    """Set the variables of a function, or those of every container of a task definition."""
    targets = process.node.children if _is_of_ecs(process) else [process]
    able = [each for each in targets if hasattr(each, "add_environment")]
    if _is_of_ecs(process) and not able:
        raise ConfigError(f"{process.node.path} has no container yet: add its containers first, then grant")
    for each in able:
        for name, value in environment.items():
            each.add_environment(name, value)
