"""One action of a transaction: what DynamoDB is to write or check."""

from collections.abc import Mapping
from reprlib import Repr
from typing import Any, NamedTuple

from boto3.dynamodb.conditions import ConditionBase, ConditionExpressionBuilder

from celeriac.aws.items import item_of, size_of
from celeriac.aws.stored_values import UnsupportedValueError, value_of
from celeriac.model import declared, settings
from celeriac.model.errors import CeleriacError

# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ServiceQuotas.html
MOST_ITEM_BYTES = 400 * 1024
# A partition key. A sort key has 1,024 bytes at most, and no declared table has one.
MOST_KEY_BYTES = 2048
# Errors show keys. A key may be long, and not every object has a text.
SHORT = Repr(maxstring=100, maxother=100)
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


def row(row_type: str, table: str, item: dict[str, Any]) -> Action:
    """Write a row of the outbox, in DynamoDB's form, into a table by its physical name.

    row_type: an event's type, or `task:<name>`.
    """
    label = f"task {row_type.removeprefix('task:')}" if row_type.startswith("task:") else f"event {row_type}"
    size = _checked(label, size_of(item) + HEADROOM_BYTES)
    return Action(label, size, {"Put": {"TableName": table, "Item": item}})


def put(table: str, item: Mapping[str, Any], condition: Condition | None = None) -> Action:
    """Write a whole item."""
    label = f"put into {table}"
    name = key_name(table)
    where = _where(label, {name: item[name]} if name is not None and name in item else {})
    stored = _stored(where, item)
    if name is not None:
        _check_key(where, name, stored.get(name), declared=True)
    on = {"TableName": physical(table), "Item": stored}
    return Action(label, _checked(where, size_of(stored)), {"Put": on | _conditioned(where, condition)})


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
    where = _where(label, key)
    set_, add = set_ or {}, add or {}
    if not set_ and not add:
        raise TransactionError(f"an update of {table} that changes nothing: give it set= or add=")
    if twice := next((name for name in set_ if name in add), None):
        raise TransactionError(f"{where}: {twice} is in set= and in add=: give one of them")
    if changed := next((name for name in key if name in set_ or name in add), None):
        raise TransactionError(f"{where}: {changed} is the item's key, which never changes: put another item")
    expression: list[str] = []
    names: dict[str, str] = {}
    values: dict[str, Any] = {}
    for clause, mark, between, wanted in (("SET", "set", " = ", set_), ("ADD", "add", " ", add)):
        if wanted:
            parts = [f"#{mark}{i}{between}:{mark}{i}" for i in range(len(wanted))]
            expression.append(f"{clause} {', '.join(parts)}")
            names |= {f"#{mark}{i}": name for i, name in enumerate(wanted)}
            values |= {f":{mark}{i}": value for i, value in enumerate(_stored(where, wanted).values())}
    for name, value in _stored(where, add).items():
        if not value.keys() & {"N", "SS", "NS", "BS"}:
            raise TransactionError(f"{where}: {name} in add= is a {type(add[name]).__name__}: add a number or a set")
    on = _keyed(where, table, key) | {"UpdateExpression": " ".join(expression)}
    size = _checked(where, size_of(on["Key"]) + size_of(values))
    return Action(label, size, {"Update": on | _conditioned(where, condition, names, values)})


def delete(table: str, *, key: Mapping[str, Any], condition: Condition | None = None) -> Action:
    """Remove an item."""
    label = f"delete from {table}"
    where = _where(label, key)
    return Action(label, 0, {"Delete": _keyed(where, table, key) | _conditioned(where, condition)})


def check(table: str, *, key: Mapping[str, Any], condition: Condition) -> Action:
    """Check a condition of an item that the transaction doesn't write."""
    label = f"check of {table}"
    where = _where(label, key)
    return Action(label, 0, {"ConditionCheck": _keyed(where, table, key) | _conditioned(where, condition)})


def physical(table: str) -> str:
    """The name of a table in this stage. A name that no module declares is taken as it is."""
    known = declared.tables().get(table)
    return known.physical_name(settings.stage()) if known is not None else table


def key_name(table: str) -> str | None:
    """The key of a declared table, by its logical or physical name; None for any other table."""
    stage = settings.stage()
    for known in declared.tables().values():
        if table in {known.name, known.physical_name(stage)}:
            return known.key
    return None


def _where(label: str, key: object) -> str:
    """How errors name the item of an action, such as `update of orders, pk='o-1'`."""
    if not isinstance(key, Mapping):
        raise TransactionError(f"{label}: a {type(key).__name__}, write a dict of attributes")
    return ", ".join([label, *(f"{name}={SHORT.repr(value)}" for name, value in key.items())])


def _stored(where: str, values: object) -> dict[str, Any]:
    """Attributes in DynamoDB's form. Raises TransactionError for what DynamoDB doesn't store."""
    if not isinstance(values, Mapping):
        raise TransactionError(f"{where}: a {type(values).__name__}, write a dict of attributes")
    try:
        stored: dict[str, Any] = item_of(values)
    except UnsupportedValueError as error:
        raise TransactionError(f"{where}: {error}") from error
    return stored


def _keyed(where: str, table: str, key: Mapping[str, Any]) -> dict[str, Any]:
    stored, name = _stored(where, key), key_name(table)
    if name is not None and set(stored) != {name}:
        raise TransactionError(f"{where}: the key of {table} is {name} alone, write key={{{name!r}: ...}}")
    for part, value in stored.items():
        _check_key(where, part, value, declared=name is not None)
    return {"TableName": physical(table), "Key": stored}


def _check_key(where: str, name: str, value: Mapping[str, Any] | None, *, declared: bool) -> None:
    """Raise TransactionError for a value that no table, or no `declared` one, takes as a key."""
    if value is None:
        raise TransactionError(f"{where}: the key {name} is missing")
    ((kind, content),) = value.items()
    if kind not in ({"S"} if declared else {"S", "N", "B"}):
        wanted = "a text" if declared else "a text, a number or bytes"
        raise TransactionError(f"{where}: the key {name} is {SHORT.repr(content)}: a key is {wanted}")
    if not content or (kind != "N" and size_of({"": value}) > MOST_KEY_BYTES):
        raise TransactionError(f"{where}: the key {name} must have 1 to {MOST_KEY_BYTES} bytes")


def _checked(label: str, size: int) -> int:
    if size > MOST_ITEM_BYTES:
        raise TransactionError(
            f"{label}: {size} bytes, and an item of DynamoDB holds {MOST_ITEM_BYTES} (400 KB): "
            "keep the bulk in S3, and its key in the item"
        )
    return size


def _conditioned(
    where: str,
    condition: Condition | None,
    names: dict[str, str] | None = None,
    values: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """The arguments for a condition, and for the names and values of all of the action's expressions."""
    names, values = names or {}, values or {}
    arguments: dict[str, Any] = {}
    if isinstance(condition, ConditionBase):
        built = ConditionExpressionBuilder().build_expression(condition)
        arguments["ConditionExpression"] = built.condition_expression
        names |= built.attribute_name_placeholders
        try:
            values |= {
                name: value_of(value, "a value in its condition")
                for name, value in built.attribute_value_placeholders.items()
            }
        except UnsupportedValueError as error:
            raise TransactionError(f"{where}: {error}") from error
    elif condition is not None:
        arguments["ConditionExpression"] = condition
    if condition is not None:
        arguments["ReturnValuesOnConditionCheckFailure"] = "ALL_OLD"
    if names:
        arguments["ExpressionAttributeNames"] = names
    if values:
        arguments["ExpressionAttributeValues"] = values
    return arguments
