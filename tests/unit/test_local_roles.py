"""The emulator, as `make up` starts it, holds a function to its role. The test needs no CDK: a role, a function, and
its calls.
"""

import io
import json
import os
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from celeriac_local.cloud import environment
from celeriac_local.cloud.lifecycle import _answers, _first_free
from celeriac_local.cloud.processes import _wait_until, spawn, stop
from celeriac_local.folders import EMULATOR
from celeriac_local.iam.refusal import noted
from tests.support.installed import EMULATOR_PYTHON

ACCOUNT = "000000000000"
TABLES = f"arn:aws:dynamodb:us-east-1:{ACCOUNT}:table"
ALLOWED = {
    "s3:PutObject": "arn:aws:s3:::granted/*",
    "sqs:SendMessage": f"arn:aws:sqs:us-east-1:{ACCOUNT}:granted",
    "dynamodb:PutItem": f"{TABLES}/granted",
    "dynamodb:PartiQLSelect": f"{TABLES}/granted",
    "secretsmanager:GetSecretValue": f"arn:aws:secretsmanager:us-east-1:{ACCOUNT}:secret:granted-??????",
    "kinesis:PutRecord": f"arn:aws:kinesis:us-east-1:{ACCOUNT}:stream/granted",
}
FUNCTION = """
import botocore.exceptions, botocore.session

def handler(event, context):
    client = botocore.session.get_session().create_client(event["service"])
    try:
        client._make_api_call(event["operation"], event["arguments"])
    except botocore.exceptions.ClientError as error:
        return error.response["Error"]["Code"], error.response["Error"]["Message"]
    return "done", ""
"""
type Call = Callable[..., tuple[str, str]]
pytestmark = pytest.mark.after_setup


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("emulator") / "emulator.log"


@pytest.fixture(scope="module")
def port(log: Path) -> Iterator[int]:
    free = _first_free(20_000 + os.getpid() % 10_000)  # another worker, or another clone, looks elsewhere
    variables = environment.of_emulator(free, os.environ) | {"TMPDIR": str(log.parent), "HOME": str(log.parent)}
    emulator = spawn([EMULATOR_PYTHON, EMULATOR], env=variables, folder=log.parent, log=log)
    try:
        assert _wait_until(lambda: _answers(f"{environment.endpoint(free)}/_ministack/ready"), 60)
        yield free
    finally:
        stop(emulator, marker=str(log.parent))


def _client(service: str, port: int) -> Any:
    variables = environment.of_client(port)
    return boto3.client(
        service,  # type: ignore[call-overload]
        endpoint_url=variables["AWS_ENDPOINT_URL"],
        region_name=environment.REGION,
        aws_access_key_id=variables["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=variables["AWS_SECRET_ACCESS_KEY"],
    )


@pytest.fixture(scope="module")
def call(port: int) -> Call:
    """The code and message that a function with the permissions of ALLOWED gets for a call."""
    trust = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
    rights: list[dict[str, Any]] = [
        {"Effect": "Allow", "Action": action, "Resource": on} for action, on in ALLOWED.items()
    ]
    own_keys = {"ForAllValues:StringLike": {"dynamodb:LeadingKeys": ["mine#*"]}}
    of_keys = ["dynamodb:UpdateItem", "dynamodb:BatchGetItem"]
    rights.append({"Effect": "Allow", "Action": of_keys, "Resource": f"{TABLES}/granted", "Condition": own_keys})
    their_keys = {"ForAllValues:StringLike": {"dynamodb:LeadingKeys": ["limit#mine#*"]}}
    rights.append(
        {"Effect": "Allow", "Action": "dynamodb:BatchGetItem", "Resource": f"{TABLES}/other", "Condition": their_keys}
    )
    iam, functions = _client("iam", port), _client("lambda", port)
    role = iam.create_role(RoleName="narrow", AssumeRolePolicyDocument=json.dumps({"Statement": [trust]}))["Role"][
        "Arn"
    ]
    iam.put_role_policy(RoleName="narrow", PolicyName="p", PolicyDocument=json.dumps({"Statement": rights}))
    for name in ("granted", "other"):
        _client("s3", port).create_bucket(Bucket=name)
        _client("sqs", port).create_queue(QueueName=name)
        _client("secretsmanager", port).create_secret(Name=name, SecretString="s")
        _client("dynamodb", port).create_table(
            TableName=name,
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as archive:
        archive.writestr("calls.py", FUNCTION)
    for name, its_role in (("calls", role), ("without-a-role", role.replace("narrow", "never-made"))):
        functions.create_function(
            FunctionName=name,
            Runtime="python3.13",
            Role=its_role,
            Handler="calls.handler",
            Code={"ZipFile": code.getvalue()},
        )

    def make(service: str, operation: str, arguments: dict[str, Any], function: str = "calls") -> tuple[str, str]:
        event = {"service": service, "operation": operation, "arguments": arguments}
        answer = json.loads(functions.invoke(FunctionName=function, Payload=json.dumps(event))["Payload"].read())
        assert isinstance(answer, list), answer
        return answer[0], answer[1]

    return make


def _put(table: str) -> dict[str, Any]:
    return {"Put": {"TableName": table, "Item": {"pk": {"S": "a"}}}}


def arguments(operation: str, port: int, name: str) -> dict[str, Any]:
    """The arguments of the operation, for the bucket, queue, table or secret of this name."""
    url = f"http://127.0.0.1:{port}/{ACCOUNT}/{name}"
    every: dict[str, dict[str, Any]] = {
        "PutObject": {"Bucket": name, "Key": "a/b", "Body": "x"},
        "SendMessageBatch": {"QueueUrl": url, "Entries": [{"Id": "1", "MessageBody": "{}"}]},
        "TransactWriteItems": {"TransactItems": [_put(name)]},
        "GetSecretValue": {"SecretId": name},
    }
    return every[operation]


@pytest.mark.parametrize(
    ("service", "operation", "missing"),
    [
        ("s3", "PutObject", "s3:PutObject on resource: arn:aws:s3:::other/a/b"),
        ("sqs", "SendMessageBatch", f"sqs:SendMessage on resource: arn:aws:sqs:us-east-1:{ACCOUNT}:other"),
        ("dynamodb", "TransactWriteItems", f"dynamodb:PutItem on resource: {TABLES}/other"),
        ("secretsmanager", "GetSecretValue", "secretsmanager:GetSecretValue on resource: "),
    ],
)
def test_a_function_does_what_its_role_grants_and_nothing_else(
    call: Call, port: int, service: str, operation: str, missing: str
) -> None:
    assert call(service, operation, arguments(operation, port, "granted")) == ("done", "")
    code, message = call(service, operation, arguments(operation, port, "other"))

    assert code.startswith("AccessDenied")
    assert "assumed-role/narrow/calls is not authorized to perform: " + missing in message
    assert 'infra/application.py, before its `return`: application.queue("NAME").allow(iam.PolicyStatement(' in message


@pytest.mark.parametrize(
    ("operation", "arguments"),
    [
        ("UpdateItem", lambda key: {"TableName": "granted", "Key": key("a")}),
        ("BatchGetItem", lambda key: {"RequestItems": {"granted": {"Keys": [key("a"), key("b")]}}}),
        (
            "TransactWriteItems",
            lambda key: {
                "TransactItems": [
                    {"Update": {"TableName": "granted", "Key": key("a"), "UpdateExpression": "REMOVE x"}},
                    _put("granted"),
                ]
            },
        ),
    ],
    ids=["update", "batch", "transaction"],
)
def test_a_condition_on_the_partition_key_is_applied(
    call: Call, operation: str, arguments: Callable[[Callable[[str], Any]], dict[str, Any]]
) -> None:
    assert call("dynamodb", operation, arguments(lambda name: {"pk": {"S": f"mine#{name}"}})) == ("done", "")
    yours = arguments(lambda name: {"pk": {"S": f"{'mine' if name == 'b' else 'yours'}#{name}"}})
    code, message = call("dynamodb", operation, yours)
    assert code.startswith("AccessDenied")
    assert f"{'BatchGetItem' if operation == 'BatchGetItem' else 'UpdateItem'} on resource: {TABLES}/granted" in message


@pytest.mark.parametrize(
    ("granted", "other", "refused"),
    [
        (["mine#a", "mine#b"], ["limit#mine#a"], None),
        (["mine#a"], ["limit#mine#a", "limit#yours#a"], "other"),
        (["mine#a", "yours#a"], ["limit#mine#a"], "granted"),
        (["limit#mine#a"], ["limit#mine#a"], "granted"),
        (["mine#a"], ["mine#a"], "other"),
    ],
)
def test_each_table_of_a_batch_is_held_to_the_keys_that_are_granted_of_it(
    call: Call, granted: list[str], other: list[str], refused: str | None
) -> None:
    keys = {"granted": granted, "other": other}
    requests = {table: {"Keys": [{"pk": {"S": key}} for key in some]} for table, some in keys.items()}
    code, message = call("dynamodb", "BatchGetItem", {"RequestItems": requests})
    assert (code == "done") == (refused is None)
    assert refused is None or f"dynamodb:BatchGetItem on resource: {TABLES}/{refused}" in message


def test_tags_of_an_object_need_their_own_permission(call: Call, port: int) -> None:
    code, message = call("s3", "PutObject", arguments("PutObject", port, "granted") | {"Tagging": "a=b"})

    assert code == "AccessDenied"
    assert "s3:PutObjectTagging on resource: arn:aws:s3:::granted/a/b" in message


def test_a_permission_on_a_table_does_not_cover_its_index(call: Call) -> None:
    assert call("dynamodb", "ExecuteStatement", {"Statement": "SELECT * FROM granted WHERE pk='a'"}) == ("done", "")
    by_index = {"Statement": 'SELECT * FROM "granted"."byx" WHERE pk=\'a\''}
    code, message = call("dynamodb", "ExecuteStatement", by_index)

    assert code == "AccessDeniedException"
    assert f"dynamodb:PartiQLSelect on resource: {TABLES}/granted/index/byx" in message


def test_every_item_of_a_transaction_is_judged(call: Call) -> None:
    code, message = call("dynamodb", "TransactWriteItems", {"TransactItems": [_put("granted"), _put("other")]})

    assert code == "AccessDeniedException"
    assert f"{TABLES}/other" in message


def test_a_service_without_grants_is_refused_and_an_unjudged_call_is_noted(call: Call, log: Path) -> None:
    assert call("stepfunctions", "ListStateMachines", {})[0] == "AccessDeniedException"
    code, _ = call("kinesis", "ListShards", {"StreamName": "granted"})

    assert code != "AccessDeniedException"  # another action of a service of which one action is granted
    assert ("unknown", "kinesis:ListShards") in {
        (each.verdict, each.action) for each in noted(log.read_text().splitlines())
    }


def test_the_owner_of_the_account_is_not_restricted(call: Call, port: int) -> None:
    _client("s3", port).put_object(Bucket="other", Key="a", Body=b"x")
    assert call("sts", "GetCallerIdentity", {}) == ("done", "")


def test_a_role_that_does_not_exist_restricts_nothing(call: Call, port: int) -> None:
    assert call("s3", "PutObject", arguments("PutObject", port, "other"), function="without-a-role") == ("done", "")
