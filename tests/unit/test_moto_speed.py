"""The patched, faster moto answers like moto."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import boto3
from botocore.exceptions import ClientError
from moto import mock_aws

from celeriac.testing.moto_speed import faster

CALLS: list[tuple[str, str | None]] = [
    ("SET a = :one, b.c = :one", None),
    ("SET a = if_not_exists(a, :one) + :one, #n = :text REMOVE gone, l[2], l[0] ADD n :one DELETE s :set", None),
    ("SET l = list_append(l, :list)", "attribute_exists(pk) AND (n < :one OR NOT #n = :text)"),
    ("SET a = :one", "n BETWEEN :one AND :one OR n IN (:one, :text)"),
    ("SET a = :one", "attribute_exists(nowhere)"),
    ("SET a = :one SET n = :one", None),
    ("REMOVE a REMOVE n ADD n :one ADD a :one", None),
    ("SET a = :one, a = :text", None),
    ("SET pk = :text", None),
    ("SET a = :unknown", None),
    ("SET nowhere.a = :one", None),
    ("SET a = a + :text", None),
    ("SET a = ", None),
    ("SET a = :one", "a = = :one"),
]
VALUES = {":one": {"N": "1"}, ":text": {"S": "x"}, ":set": {"SS": ["x"]}, ":list": {"L": [{"N": "9"}]}}
ITEM: dict[str, Any] = {
    "pk": {"S": "k"},
    "n": {"N": "5"},
    "b": {"M": {}},
    "l": {"L": [{"N": "0"}, {"N": "1"}, {"N": "2"}]},
    "s": {"SS": ["x", "y"]},
    "gone": {"S": "g"},
}


def answers(how: AbstractContextManager[None]) -> list[Any]:
    """The answers to all calls. Each call is made twice, because the second one uses what the first one cached."""
    with mock_aws(), how:
        client = boto3.client("dynamodb", region_name="eu-west-1")
        client.create_table(
            TableName="t",
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        return [_answer(client, update, condition) for update, condition in CALLS for _ in range(2)]


def _answer(client: Any, update: str, condition: str | None) -> Any:
    client.put_item(TableName="t", Item=ITEM)
    text = f"{update} {condition}"
    further = {"ConditionExpression": condition} if condition else {}
    if "#n" in text:
        further["ExpressionAttributeNames"] = {"#n": "name"}  # type: ignore[assignment]
    values = {name: value for name, value in VALUES.items() if name in text}
    try:
        client.update_item(
            TableName="t",
            Key={"pk": {"S": "k"}},
            UpdateExpression=update,
            **further,
            **({"ExpressionAttributeValues": values} if values else {}),
        )
    except ClientError as error:
        return error.response["Error"]
    except Exception as error:  # noqa: BLE001 - moto's internal errors are compared too
        return repr(error)
    return client.get_item(TableName="t", Key={"pk": {"S": "k"}})["Item"]


def test_updates_and_conditions_have_the_same_results_and_errors() -> None:
    assert answers(faster()) == answers(nullcontext())
