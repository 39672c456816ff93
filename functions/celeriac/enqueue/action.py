"""One action of a transaction: what DynamoDB is to write or check."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from boto3.dynamodb.conditions import ConditionBase, ConditionExpressionBuilder

from celeriac.aws.items import item_of, size_of, value_of
from celeriac.enqueue.outbox_row import WAITING
from celeriac.model import declared, settings
from celeriac.model.errors import CeleriacError

# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ServiceQuotas.html
MOST_ITEM_BYTES = 400 * 1024
# Marking makes a row of the outbox larger: it adds the time of publication, or the reason why the row is parked.
HEADROOM_BYTES = 2048

type Condition = str | ConditionBase
"""A condition expression of DynamoDB. Without values it is a text, such as `attribute_not_exists(pk)`. With values it
is built by boto3: `Attr("balance").gte(5)` (`from boto3.dynamodb.conditions import Attr`)."""


class TransactionError(CeleriacError, RuntimeError):
    """A transaction that can't be carried out as it was written."""


class Action(NamedTuple):
    """One action: what an error calls it, how many bytes it writes, and its form in TransactWriteItems."""

    label: str
    size: int
    write: dict[str, dict[str, Any]]


def put(label: str, table: str, item: dict[str, Any], condition: Condition | None = None) -> Action:
    """Write a whole item, in DynamoDB's form, into a table by its physical name."""
    size = _checked(label, size_of(item) + (HEADROOM_BYTES if WAITING in item else 0))
    return Action(label, size, {"Put": {"TableName": table, "Item": item} | _conditioned(condition)})


def update(
    table: str,
    *,
    key: Mapping[str, Any],
    set_: Mapping[str, Any] | None = None,
    add: Mapping[str, Any] | None = None,
    condition: Condition | None = None,
) -> Action:
    """Set attributes of an item, and add to others. Raises TransactionError for an update without changes."""
    label = f"update of {table}"
    clauses = {"SET": ("set", " = ", set_ or {}), "ADD": ("add", " ", add or {})}
    expression: list[str] = []
    names: dict[str, str] = {}
    values: dict[str, Any] = {}
    for clause, (mark, between, wanted) in clauses.items():
        if wanted:
            parts = [f"#{mark}{i}{between}:{mark}{i}" for i in range(len(wanted))]
            expression.append(f"{clause} {', '.join(parts)}")
            names |= {f"#{mark}{i}": name for i, name in enumerate(wanted)}
            values |= {f":{mark}{i}": value_of(value) for i, value in enumerate(wanted.values())}
    if not expression:
        raise TransactionError(f"an update of {table} that changes nothing: give it set= or add=")
    on = {"TableName": physical(table), "Key": item_of(key), "UpdateExpression": " ".join(expression)}
    size = _checked(label, size_of(on["Key"]) + size_of(values))
    return Action(label, size, {"Update": on | _conditioned(condition, names, values)})


def delete(table: str, *, key: Mapping[str, Any], condition: Condition | None = None) -> Action:
    """Remove an item."""
    on = {"TableName": physical(table), "Key": item_of(key)}
    return Action(f"delete from {table}", 0, {"Delete": on | _conditioned(condition)})


def check(table: str, *, key: Mapping[str, Any], condition: Condition) -> Action:
    """Check a condition of an item that the transaction doesn't write."""
    on = {"TableName": physical(table), "Key": item_of(key)}
    return Action(f"check of {table}", 0, {"ConditionCheck": on | _conditioned(condition)})


def physical(table: str) -> str:
    """The name of a table in this stage. A name that no module declares is taken as it is."""
    known = declared.tables().get(table)
    return known.physical_name(settings.stage()) if known is not None else table


def _checked(label: str, size: int) -> int:
    if size > MOST_ITEM_BYTES:
        raise TransactionError(
            f"{label}: {size} bytes, and an item of DynamoDB holds {MOST_ITEM_BYTES} (400 KB): "
            "keep the bulk in S3, and its key in the item"
        )
    return size


def _conditioned(
    condition: Condition | None, names: dict[str, str] | None = None, values: dict[str, Any] | None = None
) -> dict[str, Any]:
    """The arguments for a condition, and for the names and values of all of the action's expressions."""
    names, values = names or {}, values or {}
    arguments: dict[str, Any] = {}
    if isinstance(condition, ConditionBase):
        built = ConditionExpressionBuilder().build_expression(condition)
        arguments["ConditionExpression"] = built.condition_expression
        names |= built.attribute_name_placeholders
        values |= {name: value_of(value) for name, value in built.attribute_value_placeholders.items()}
    elif condition is not None:
        arguments["ConditionExpression"] = condition
    if condition is not None:
        arguments["ReturnValuesOnConditionCheckFailure"] = "ALL_OLD"
    if names:
        arguments["ExpressionAttributeNames"] = names
    if values:
        arguments["ExpressionAttributeValues"] = values
    return arguments
