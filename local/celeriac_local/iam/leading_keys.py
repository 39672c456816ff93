"""The partition keys that a DynamoDB request names, for conditions on `dynamodb:LeadingKeys`. Pure."""

from collections.abc import Callable, Mapping
from typing import Any

CONTEXT = "dynamodb:leadingkeys"
type KeyName = Callable[[str], str | None]
"""The name of a table's partition key; None if there is no such table."""
_MEMBERS = ("Put", "Update", "Delete", "ConditionCheck", "Get")


def of_request(body: Mapping[str, Any], table: str, key_name: KeyName) -> tuple[str, ...] | None:
    """The partition keys of all items of `table` that a request names; None if it names none, as a query doesn't."""
    items = _items(body, table)
    return _keys(items, table, key_name) if items else None


def of_transaction(body: Mapping[str, Any], key_name: KeyName) -> list[tuple[str, ...] | None]:
    """The partition key of each action of a transaction."""
    items = body.get("TransactItems") or []
    details = [item[member] for item in items for member in _MEMBERS if isinstance(item.get(member), Mapping)]
    return [of_request(detail, str(detail.get("TableName")), key_name) for detail in details]


def _items(body: Mapping[str, Any], table: str) -> list[Any]:
    """The keys, or whole items, of a request in DynamoDB's form."""
    if isinstance(single := body.get("Key") or body.get("Item"), Mapping):
        return [single] if str(body.get("TableName")).rpartition("/")[2] == table else []
    of_table = (body.get("RequestItems") or {}).get(table)
    if isinstance(of_table, Mapping):
        return list(of_table.get("Keys") or [])
    if isinstance(of_table, list):  # of BatchWriteItem
        puts = [each["PutRequest"]["Item"] for each in of_table if "PutRequest" in each]
        return puts + [each["DeleteRequest"]["Key"] for each in of_table if "DeleteRequest" in each]
    return []


def _keys(items: list[Any], table: str, key_name: KeyName) -> tuple[str, ...] | None:
    name = key_name(table)
    if name is None or not all(isinstance(item.get(name), Mapping) and "S" in item[name] for item in items):
        return None
    return tuple(item[name]["S"] for item in items)
