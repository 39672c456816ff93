"""Translate a request into the action and resource that IAM checks, where they differ from the API's names. Pure.

MiniStack derives the other actions and resources, with the API's names. The Service Authorization Reference has IAM's:
https://docs.aws.amazon.com/service-authorization/latest/reference/reference_policies_actions-resources-contextkeys.html
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from email.utils import parseaddr
from typing import Any

from celeriac_local.iam.policy import AccessCheck

_KNOWN_SERVICES = frozenset(
    {
        *("dynamodb", "events", "iam", "lambda", "logs", "s3", "scheduler"),
        *("secretsmanager", "ses", "sns", "sqs", "ssm", "sts"),
    }
)
NO_NAME = "?"
"""Stands for an action's name that isn't known."""
ALWAYS_ALLOWED = frozenset({"sts:GetCallerIdentity", "sts:GetSessionToken"})
_ASKED_AS = {
    "sqs:SendMessageBatch": "sqs:SendMessage",
    "sqs:DeleteMessageBatch": "sqs:DeleteMessage",
    "sqs:ChangeMessageVisibilityBatch": "sqs:ChangeMessageVisibility",
    "sns:PublishBatch": "sns:Publish",
}
_OF_A_SCHEDULE = re.compile(r"scheduler:(Create|Update|Get|Delete)Schedule")
_PARTIQL = frozenset({"dynamodb:ExecuteStatement", "dynamodb:BatchExecuteStatement", "dynamodb:ExecuteTransaction"})
_STATEMENT = re.compile(
    r"""\s*(?P<verb>SELECT|INSERT|UPDATE|DELETE)\b(?:.*?\bFROM|\s+INTO)?\s+
    (?P<table>"[^"]+"|[\w-]+)(?:\.(?P<index>"[^"]+"|[\w-]+))?""",
    re.IGNORECASE | re.DOTALL | re.VERBOSE,
)
_BESIDE_AN_OBJECT = {
    "x-amz-tagging": "s3:PutObjectTagging",
    "x-amz-acl": "s3:PutObjectAcl",
    "x-amz-grant-full-control": "s3:PutObjectAcl",
    "x-amz-grant-read": "s3:PutObjectAcl",
    "x-amz-grant-read-acp": "s3:PutObjectAcl",
    "x-amz-grant-write-acp": "s3:PutObjectAcl",
    "x-amz-object-lock-legal-hold": "s3:PutObjectLegalHold",
    "x-amz-object-lock-mode": "s3:PutObjectRetention",
    "x-amz-object-lock-retain-until-date": "s3:PutObjectRetention",
}
"""The headers of a PutObject that need another action, and that action."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it arrived."""

    path: str
    headers: Mapping[str, str]
    """By name, in lower case."""
    parameters: Mapping[str, Sequence[str]]
    """From the query string, and from a form in the body."""
    body: Mapping[str, Any]
    """The body's JSON object. Empty if the body isn't a JSON object."""
    region: str
    account: str

    def arn(self, service: str, resource: str) -> str:
        """An ARN in the request's region and account."""
        return f"arn:aws:{service}:{self.region}:{self.account}:{resource}"

    def text(self, *names: str) -> str:
        """The first text that the body or the parameters have under one of these names. Empty if there is none."""
        values = [self.body.get(name) or next(iter(self.parameters.get(name, ())), "") for name in names]
        return next((value for value in values if isinstance(value, str) and value), "")


def is_known(action: str) -> bool:
    """Whether `action` is certainly IAM's name. The names of these services were compared with the reference.

    For other actions the only certain fact is whether an action of their service is granted.
    """
    service, _, name = action.partition(":")
    return service in _KNOWN_SERVICES and name != NO_NAME


def refine(check: AccessCheck, request: Request) -> list[AccessCheck]:
    """Return the checks that IAM really makes: `check` unchanged, corrected, or split into several."""
    if check.action in _ASKED_AS:
        return [AccessCheck(_ASKED_AS[check.action], check.resources, check.context)]
    if check.action in _PARTIQL:
        return _statements(check, request)
    if check.action == "scheduler:ListSchedules":
        # Whatever group the request names, AWS asks for all: https://github.com/aws/aws-cdk/issues/38201
        return [AccessCheck(check.action, (request.arn("scheduler", "schedule/*/*"),), check.context)]
    if _OF_A_SCHEDULE.fullmatch(check.action):
        return _schedule(check, request)
    if check.action == "s3:PutObject":
        return _object(check, request)
    if check.action.startswith("ses:Send"):
        return [_mail(check, request)]
    return [check]


def _statements(check: AccessCheck, request: Request) -> list[AccessCheck]:
    """The checks of PartiQL statements. IAM has a PartiQL action for each verb."""
    given = request.body.get("Statements") or request.body.get("TransactStatements") or [request.body]
    found = [_STATEMENT.match(str(each.get("Statement", ""))) for each in given]
    return [
        AccessCheck(f"dynamodb:PartiQL{match['verb'].title()}", (request.arn("dynamodb", _table_or_index(match)),))
        if match
        else AccessCheck(f"dynamodb:{NO_NAME}", (), check.context)
        for match in found
    ]


def _table_or_index(statement: re.Match[str]) -> str:
    table, index = (name and name.strip('"') for name in (statement["table"], statement["index"]))
    return f"table/{table}/index/{index}" if index else f"table/{table}"


def _object(check: AccessCheck, request: Request) -> list[AccessCheck]:
    """The checks of a PutObject. Tags, an ACL or a lock need separate actions; presigned URLs may have them too."""
    said = {name.lower() for name in (*request.headers, *request.parameters)}
    besides = (action for header, action in _BESIDE_AN_OBJECT.items() if header in said)
    return [AccessCheck(action, check.resources, check.context) for action in dict.fromkeys((check.action, *besides))]


def _schedule(check: AccessCheck, request: Request) -> list[AccessCheck]:
    """The checks of a schedule. Its ARN contains its group. A schedule with a role also needs iam:PassRole."""
    group = request.text("GroupName", "groupName") or "default"
    name = request.path.rstrip("/").rpartition("/")[2]
    checks = [AccessCheck(check.action, (request.arn("scheduler", f"schedule/{group}/{name}"),), check.context)]
    target = request.body.get("Target")
    role = target.get("RoleArn") if isinstance(target, dict) else None
    if role:
        context = {**check.context, "iam:passedtoservice": "scheduler.amazonaws.com"}
        checks.append(AccessCheck("iam:PassRole", (role,), context))
    return checks


def _mail(check: AccessCheck, request: Request) -> AccessCheck:
    """The check of an e-mail. The identity is the address or its domain, whichever was verified.

    The condition key holds the address without a display name.
    """
    _, address = parseaddr(request.text("Source", "FromEmailAddress"))
    if not address:  # a raw message has the address in its header
        return AccessCheck(check.action, (), check.context)
    identities = (address, address.rpartition("@")[2])
    return AccessCheck(
        check.action,
        tuple(request.arn("ses", f"identity/{identity}") for identity in identities),
        {**check.context, "ses:fromaddress": address},
    )
