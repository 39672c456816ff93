"""Judge a call as IAM would, as far as that is possible here. Pure. `local/celeriac_local/emulator/roles.py` uses it.

A part of a statement is true, false or unknown (None), for example a condition on an unknown key. A call is refused
only if AWS would certainly refuse it.
"""

import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import cache
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class AccessCheck:
    """What IAM checks for a call: whether the role may do this action on this resource."""

    action: str
    """The action, such as `s3:PutObject`."""
    resources: tuple[str, ...] = ()
    """The ARNs that the call's resource may have: a grant for one is enough. Empty if they aren't known."""
    context: Mapping[str, str | tuple[str, ...]] = field(default_factory=dict)
    """The condition keys that are known, in lower case. Some have several values."""


class Statement(Protocol):
    """A statement of a policy. A list is empty if the statement doesn't have it."""

    effect: str
    actions: list[str]
    not_actions: list[str]
    resources: list[str]
    not_resources: list[str]
    conditions: dict[str, Any]


class Verdict(Enum):
    """The result of a judgement."""

    ALLOWED = "allowed"
    REFUSED = "refused"
    UNKNOWN = "unknown"


def judge(statements: Iterable[Statement], check: AccessCheck) -> Verdict:
    """Return the verdict of these statements, which are all of a role's policies."""
    found = [(statement.effect, _applies(statement, check)) for statement in statements]
    if ("Deny", True) in found:
        return Verdict.REFUSED
    if ("Allow", True) in found and ("Deny", None) not in found:
        return Verdict.ALLOWED
    if any(applies is None for _, applies in found):
        return Verdict.UNKNOWN
    return Verdict.REFUSED


def grants_anything_of(statements: Iterable[Statement], service: str) -> bool:
    """Whether an action of a service may be allowed. If not, AWS refuses every call to the service."""
    return any(
        statement.effect == "Allow"
        and (bool(statement.not_actions) or any(_like(each.partition(":")[0], service) for each in statement.actions))
        for statement in statements
    )


def _applies(statement: Statement, check: AccessCheck) -> bool | None:
    if not _action(statement, check.action):
        return False
    parts = [_resource(statement, check.resources)]
    for name, keys in statement.conditions.items():
        parts += [_condition(name, _texts(values), check.context.get(key.lower())) for key, values in keys.items()]
    if False in parts:
        return False
    return None if None in parts else True


def _action(statement: Statement, action: str) -> bool:
    if statement.not_actions:
        return not any(_like(pattern.lower(), action.lower()) for pattern in statement.not_actions)
    return any(_like(pattern.lower(), action.lower()) for pattern in statement.actions)


def _resource(statement: Statement, resources: Sequence[str]) -> bool | None:
    patterns = statement.not_resources or statement.resources
    if "*" in patterns:
        matches: bool | None = True
    elif not resources or any(_has_variable(pattern) for pattern in patterns):
        matches = None
    else:
        matches = any(_like(pattern, resource) for pattern in patterns for resource in resources)
    return not matches if statement.not_resources and matches is not None else matches


def _condition(name: str, expected: list[str], actual: str | tuple[str, ...] | None) -> bool | None:
    kind, _, name = name.lower().removesuffix("ifexists").rpartition(":")
    compare = _OPERATORS.get(name.replace("not", "", 1))
    if compare is None or actual is None or any(_has_variable(each) for each in expected):
        return None
    if (kind == "forallvalues") != isinstance(actual, tuple):
        return None
    values = actual if isinstance(actual, tuple) else (actual,)
    return all(any(compare(each, value) for each in expected) != ("not" in name) for value in values)


def _has_variable(pattern: str) -> bool:
    return _VARIABLE.search(pattern) is not None


def _like(pattern: str, text: str) -> bool:
    return _compiled(pattern).fullmatch(text) is not None


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    parts = re.split(r"([*?]|\$\{[*?$]\})", pattern)
    return re.compile("".join(_WILD.get(part) or re.escape(_plain(part)) for part in parts), re.DOTALL)


def _plain(part: str) -> str:
    """The character of `${*}`, `${?}` or `${$}`, by which a policy means the character itself.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html
    """
    return part[2] if part.startswith("${") else part


_WILD = {"*": ".*", "?": "."}
_VARIABLE = re.compile(r"\$\{(?![*?$]\})")


# Operators for numbers, dates and IP addresses are rare in tasks' permissions. Their result is unknown.
_OPERATORS: dict[str, Callable[[str, str], bool]] = {
    "stringequals": operator.eq,
    "stringequalsignorecase": lambda expected, actual: expected.lower() == actual.lower(),
    "bool": lambda expected, actual: expected.lower() == actual.lower(),
    "stringlike": _like,
    "arnequals": _like,
    "arnlike": _like,
}


def _texts(values: Any) -> list[str]:
    return [str(value) for value in (values if isinstance(values, list) else [values])]
