"""What IAM is asked about a request, where that isn't the operation's own name and the resource it names. Pure.

MiniStack knows the rest; its names are those of the API. The Service Authorization Reference has AWS's:
https://docs.aws.amazon.com/service-authorization/latest/reference/reference_policies_actions-resources-contextkeys.html
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from email.utils import parseaddr
from typing import Any

from celeriac_local.iam_policy import Call

_KNOWN_SERVICES = frozenset(
    {
        *("dynamodb", "events", "iam", "lambda", "logs", "s3", "scheduler"),
        *("secretsmanager", "ses", "sns", "sqs", "ssm", "sts"),
    }
)
NO_NAME = "?"
"""In the place of an action's name that isn't known."""
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
"""The headers that may be written with an object, and the actions that they ask for."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it arrived."""

    path: str
    headers: Mapping[str, str]
    """By their names in small letters."""
    parameters: Mapping[str, Sequence[str]]
    """Of the query string, and of a form in its body."""
    body: Mapping[str, Any]
    """Its JSON; empty if it is none."""
    region: str
    account: str

    def arn(self, service: str, resource: str) -> str:
        """An ARN in the region and account of the request."""
        return f"arn:aws:{service}:{self.region}:{self.account}:{resource}"

    def text(self, *names: str) -> str:
        """The first of these that a parameter or the body gives, or an empty text."""
        values = [self.body.get(name) or next(iter(self.parameters.get(name, ())), "") for name in names]
        return next((value for value in values if isinstance(value, str) and value), "")


def is_known(action: str) -> bool:
    """Whether it is IAM's own name for what is called: those of these services were held against the reference.

    Of any other action it can only be known whether its service is granted at all.
    """
    service, _, name = action.partition(":")
    return service in _KNOWN_SERVICES and name != NO_NAME


def refine(call: Call, request: Request) -> list[Call]:
    """Return what IAM is really asked: `call` as it is, corrected, or parted into several."""
    if call.action in _ASKED_AS:
        return [Call(_ASKED_AS[call.action], call.resources, call.context)]
    if call.action in _PARTIQL:
        return _statements(call, request)
    if _OF_A_SCHEDULE.fullmatch(call.action):
        return _schedule(call, request)
    if call.action == "s3:PutObject":
        return _object(call, request)
    if call.action.startswith("ses:Send"):
        return [_mail(call, request)]
    return [call]


def _statements(call: Call, request: Request) -> list[Call]:
    """PartiQL has an action for each verb."""
    given = request.body.get("Statements") or request.body.get("TransactStatements") or [request.body]
    found = [_STATEMENT.match(str(each.get("Statement", ""))) for each in given]
    return [
        Call(f"dynamodb:PartiQL{match['verb'].title()}", (request.arn("dynamodb", _table_or_index(match)),))
        if match
        else Call(f"dynamodb:{NO_NAME}", (), call.context)
        for match in found
    ]


def _table_or_index(statement: re.Match[str]) -> str:
    table, index = (name and name.strip('"') for name in (statement["table"], statement["index"]))
    return f"table/{table}/index/{index}" if index else f"table/{table}"


def _object(call: Call, request: Request) -> list[Call]:
    """Tags, an ACL or a lock that come with an object have actions of their own; a presigned URL carries them too."""
    said = {name.lower() for name in (*request.headers, *request.parameters)}
    besides = (action for header, action in _BESIDE_AN_OBJECT.items() if header in said)
    return [Call(action, call.resources, call.context) for action in dict.fromkeys((call.action, *besides))]


def _schedule(call: Call, request: Request) -> list[Call]:
    """A schedule stands in its group; who makes one hands over a role."""
    group = request.text("GroupName", "groupName") or "default"
    name = request.path.rstrip("/").rpartition("/")[2]
    calls = [Call(call.action, (request.arn("scheduler", f"schedule/{group}/{name}"),), call.context)]
    target = request.body.get("Target")
    role = target.get("RoleArn") if isinstance(target, dict) else None
    if role:
        context = {**call.context, "iam:passedtoservice": "scheduler.amazonaws.com"}
        calls.append(Call("iam:PassRole", (role,), context))
    return calls


def _mail(call: Call, request: Request) -> Call:
    """The identity is the address or its domain, whichever was verified; the condition compares the bare address."""
    _, address = parseaddr(request.text("Source", "FromEmailAddress"))
    if not address:  # a raw message's own header says it
        return Call(call.action, (), call.context)
    identities = (address, address.rpartition("@")[2])
    return Call(
        call.action,
        tuple(request.arn("ses", f"identity/{identity}") for identity in identities),
        {**call.context, "ses:fromaddress": address},
    )
