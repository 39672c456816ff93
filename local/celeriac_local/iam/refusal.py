"""The messages about a call that AWS would refuse, or that can't be judged here."""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass

from celeriac_local.iam.policy import AccessCheck, Verdict

_MARK = "celeriac-iam "
_ITEMS = {f"dynamodb:{name}Item" for name in ("Get", "Put", "Update", "Delete")} | {"dynamodb:ConditionCheckItem"}
_OURS = {"idempotency", "outbox", "flow"}


@dataclass(frozen=True, slots=True)
class Noted:
    """A line of the emulator's log about a call."""

    verdict: str
    function: str
    action: str
    resource: str


def refusal(check: AccessCheck, principal: str) -> str:
    """The error for the caller: AWS's own text, then the line to add and its place."""
    return (
        f"User: {principal} is not authorized to perform: {check.action} on resource: {_resource(check)} because no "
        f"identity-based policy allows the {check.action} action. The local cloud refuses this as AWS would. To grant "
        f"it, add to application() in infra/application.py, before its `return`: {grant(check, principal)}"
    )


def grant(check: AccessCheck, principal: str) -> str:
    """The line that would allow the call to the function that `principal` ends with."""
    start = f'application.queue("{_short(principal.rpartition("/")[2]) or "NAME"}")'
    table = _short(check.resources[0].rpartition(":table/")[2]) if check.resources else ""
    if check.action in _ITEMS and table not in {"", *_OURS}:
        return f'{start}.table("{table}")'
    if check.action == "dynamodb:GetItem" and table == "idempotency":
        return f'{start}.status_of("the queue of the other task")'
    return f'{start}.allow(iam.PolicyStatement(actions=["{check.action}"], resources=["{_whole(check)}"]))'


def _short(physical: str) -> str:
    """The name under which an application declares a resource; empty if the name isn't `<stage>--<name>`."""
    return physical.partition("--")[2]


def note(verdict: Verdict, check: AccessCheck, function: str) -> str:
    """A line for the emulator's log."""
    return _MARK + json.dumps([verdict.value, function, check.action, _whole(check)])


def noted(log: Iterable[str]) -> list[Noted]:
    """The calls that are noted in the emulator's log."""
    return [Noted(*json.loads(line.removeprefix(_MARK))) for line in log if line.startswith(_MARK)]


def _resource(check: AccessCheck) -> str:
    return check.resources[0] if check.resources else "*"


def _whole(check: AccessCheck) -> str:
    """The resource to grant, which may include more than the call's resource.

    The names of a bucket's objects are known only when a task runs, so all objects of the bucket are granted. Secrets
    Manager adds six random characters to the name in an ARN.
    """
    resource = _resource(check)
    if resource.startswith("arn:aws:s3:::") and "/" in resource:
        return f"{resource.partition('/')[0]}/*"
    if ":secretsmanager:" in resource:
        return f"{re.sub(r'-\w{6}$', '', resource)}-??????"
    return resource
