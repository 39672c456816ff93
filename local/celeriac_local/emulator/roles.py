"""Enforce the roles of what runs: a call that AWS would refuse is refused here, and the error says what to add where.

MiniStack can enforce roles (`AUTH=true`), but then for every caller, and by the names of the API's operations, which
are not always IAM's: docs/decisions/0014-roles-are-enforced-on-the-local-cloud.md. So each function gets a session of
its role here, and each process that runs tasks in the place of a container takes on the container's role.
`local/celeriac_local/iam/policy.py` judges the calls signed with such a session. All other callers have every right, as
the account's owner does.
"""

import hashlib
import json
import sys
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

# Installed in the emulator's environment only.
from ministack import app  # type: ignore[import-not-found]
from ministack.core import iam_actions, iam_evaluator, lambda_runtime  # type: ignore[import-not-found]
from ministack.services import dynamodb, iam, lambda_svc, sts  # type: ignore[import-not-found]

from celeriac_local.iam import leading_keys
from celeriac_local.iam.checks import ALWAYS_ALLOWED, NO_NAME, Request, is_known, refine
from celeriac_local.iam.policy import AccessCheck, Statement, Verdict, grants_anything_of, judge
from celeriac_local.iam.refusal import note, refusal


@dataclass(frozen=True, slots=True)
class _Session:
    """The function and role that credentials belong to."""

    account: str
    role: str
    function: str

    @property
    def arn(self) -> str:
        return f"arn:aws:sts::{self.account}:assumed-role/{self.role}/{self.function}"


@dataclass(frozen=True, slots=True)
class _Http:
    """A request and the service it is for."""

    service: str
    method: str
    path: str
    headers: dict[str, Any]
    body: bytes
    parameters: dict[str, Any]


_sessions: dict[str, _Session] = {}
"""The sessions by access key."""
_noted: set[str] = set()
CONTAINERS = "ecs-tasks.amazonaws.com"


def install() -> None:
    """Patch MiniStack where it gives functions their credentials, and where it first sees a request."""
    lambda_runtime.execution_credentials = _credentials
    lambda_svc.execution_credentials = _credentials
    handle = app._handle_special_data_plane_request  # noqa: SLF001

    async def handle_special(*request: Any, **more: Any) -> Any:
        return _refused(*request) or await handle(*request, **more)

    app._handle_special_data_plane_request = handle_special  # noqa: SLF001
    register = sts.register_session

    def registered(key: str, session: dict[str, Any]) -> None:
        register(key, session)
        _note_container(key, session["Arn"])

    sts.register_session = registered


def _note_container(key: str, arn: str) -> None:
    """Enforce a role that was taken on, if it is for containers. The roles of a deploy stay the owner's."""
    _, _, _, _, account, named = arn.split(":", 5)
    kind, *names = named.split("/")
    role = iam._roles.get_scoped(account, None, names[0]) if kind == "assumed-role" else None  # noqa: SLF001
    if role is not None and CONTAINERS in json.dumps(role.get("AssumeRolePolicyDocument"), default=str):
        _sessions[key] = _Session(account, names[0], names[-1])


def _credentials(config: dict[str, Any]) -> dict[str, str]:
    """A function's credentials: the same for all its workers, so that the credentials of a warm worker stay valid."""
    account, role, function = config["FunctionArn"].split(":")[4], config.get("Role", ""), config["FunctionName"]
    secret = hashlib.sha256(f"{config['FunctionArn']} {role}".encode()).hexdigest()
    session = _Session(account, role.rpartition("/")[2], function)
    key = f"ASIA{secret[:16].upper()}"
    _sessions[key] = session
    # From this MiniStack knows the account, and answers GetCallerIdentity.
    sts.register_session(
        key, {"Arn": session.arn, "UserId": function, "SecretAccessKey": secret, "SessionToken": secret}
    )
    return {"AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": secret, "AWS_SESSION_TOKEN": secret}


def _refused(  # noqa: PLR0917 - MiniStack passes them so
    method: str, path: str, headers: dict[str, Any], body: bytes, query: dict[str, Any], request_id: str
) -> Any:
    """An answer that refuses a function's request; None if the request is allowed or isn't a function's."""
    session = _sessions.get(app.extract_access_key_id(headers, query))
    # AWS creates no function with a role that doesn't exist. MiniStack does, and then the permissions are unknown.
    if session is None or iam._roles.get_scoped(session.account, None, session.role) is None:  # noqa: SLF001
        return None
    try:
        parameters = app._routing_params(method, path, headers, body, query)  # noqa: SLF001
        service = app.detect_service(method, path, headers, parameters)
        check = _first_refused(_Http(service, method, path, headers, body, parameters), session)
    except Exception:  # noqa: BLE001 - a call that can't be judged is allowed, and the emulator's log says why
        traceback.print_exc()
        return None
    if check is None:
        return None
    return iam_actions.access_denied_response(
        "sesv2" if path.startswith("/v2/email") else service,  # the same service, in another protocol
        check.action,
        session.arn,
        request_id,
        headers=headers,
        # For these two services MiniStack writes its own message, unless it gets an error code.
        error_code="AccessDeniedException" if service in {"logs", "ssm"} else "",
        message=refusal(check, session.arn),
    )


def _first_refused(http: _Http, session: _Session) -> AccessCheck | None:
    policies = iam_evaluator._gather_role_policies(session.role, session.account)  # noqa: SLF001
    statements = [statement for policy in policies for statement in policy]
    for check in _checks(http, session.account):
        verdict = _judge(statements, check, http.service)
        if verdict is not Verdict.ALLOWED:
            _log(note(verdict, check, session.function))
        if verdict is Verdict.REFUSED:
            return check
    return None


def _judge(statements: list[Statement], check: AccessCheck, service: str) -> Verdict:
    if check.action in ALWAYS_ALLOWED:
        return Verdict.ALLOWED
    verdict = judge(statements, check)
    if verdict is not Verdict.REFUSED:
        return verdict
    if not is_known(check.action) and grants_anything_of(statements, check.action.partition(":")[0]):
        return Verdict.UNKNOWN
    if any(_has_policy(service, resource) for resource in check.resources):
        return Verdict.UNKNOWN
    return Verdict.REFUSED


def _checks(http: _Http, account: str) -> Iterator[AccessCheck]:
    """The checks that IAM would make of the request."""
    request = (http.method, http.path, http.headers, http.body, http.parameters)
    region = app.extract_region(http.headers, http.parameters)
    action = iam_actions.extract_iam_action(http.service, *request)
    if action is None:
        prefix = iam_actions.SERVICE_TO_IAM_NAMESPACE.get(http.service, http.service)
        yield AccessCheck(f"{prefix}:{NO_NAME}")
        return
    # On AWS every request uses TLS.
    context = {"aws:securetransport": "true", "aws:requestedregion": region, "aws:principalaccount": account}
    is_dynamodb = http.service == "dynamodb"

    def key_name(table: str) -> str | None:
        found = dynamodb._tables.get_scoped(account, region, table)  # noqa: SLF001
        schema = found["KeySchema"] if found is not None else []
        return next((each["AttributeName"] for each in schema if each["KeyType"] == "HASH"), None)

    items = iam_actions.dynamodb_transaction_checks(action, http.body, region, account) if is_dynamodb else []
    if items:
        keys = leading_keys.of_transaction(_json(http), key_name)
        keys = keys if len(keys) == len(items) else [None] * len(items)
        for (of_item, table), key in zip(items, keys, strict=True):
            yield AccessCheck(of_item, (table,), _with_keys(context, key))
        return
    resource = iam_actions.extract_resource_arn(http.service, *request, region, account)
    known = () if resource == "*" else (resource,)
    if is_dynamodb:
        context = _with_keys(context, leading_keys.of_request(_json(http), resource.rpartition("/")[2], key_name))
    asked = Request(http.path, http.headers, http.parameters, _json(http), region, account)
    yield from refine(AccessCheck(action, known, context), asked)
    # A call may name more than one table, event bus or object.
    further = {"dynamodb": iam_actions.dynamodb_resource_arns, "events": iam_actions.eventbridge_resource_arns}
    if http.service in further:
        for each in further[http.service](http.body, region, account)[1:]:
            keys_there = leading_keys.of_request(_json(http), each.rpartition("/")[2], key_name)
            yield AccessCheck(action, (each,), _with_keys(context, keys_there))
    if http.service == "s3":
        besides = iam_actions.s3_additional_checks(*request)
        yield from (AccessCheck(of_object, (each,), context) for of_object, each in besides)


def _with_keys(context: dict[str, Any], keys: tuple[str, ...] | None) -> dict[str, Any]:
    others = {name: value for name, value in context.items() if name != leading_keys.CONTEXT}
    return others if keys is None else others | {leading_keys.CONTEXT: keys}


def _json(http: _Http) -> dict[str, Any]:
    try:
        read = json.loads(http.body or b"{}")
    except ValueError:
        return {}
    return read if isinstance(read, dict) else {}


def _has_policy(service: str, resource: str) -> bool:
    """Whether the resource has a policy that allows anything: it may allow this call."""
    found = iam_evaluator._resource_policy(service, resource)  # noqa: SLF001
    return found is not None and '"Allow"' in json.dumps(found, default=vars)


def _log(line: str) -> None:
    """Write a line once to the emulator's log, where `local/celeriac_local/iam/refusal.py` finds it."""
    if line not in _noted:
        _noted.add(line)
        print(line, file=sys.stderr, flush=True)  # noqa: T201
