"""DynamoDB's own form of values, and what it counts of them."""

from collections.abc import Mapping
from typing import Any

from boto3.dynamodb.types import TypeDeserializer, TypeSerializer


def value_of(value: Any) -> Any:
    """A value in DynamoDB's form, such as `{"S": "text"}`. Raises TypeError for a float or an object: use Decimal."""
    return TypeSerializer().serialize(value)


def item_of(values: Mapping[str, Any]) -> Any:
    """An item in DynamoDB's form."""
    return {name: value_of(value) for name, value in values.items()}


def plain(item: Any) -> dict[str, Any] | None:
    """An item as Python's values; None where there is none."""
    if not item:
        return None
    return {name: TypeDeserializer().deserialize(value) for name, value in item.items()}


def size_of(item: Mapping[str, Any]) -> int:
    """Bytes of an item in DynamoDB's form, counted as DynamoDB does, a number as large as it may be.

    https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html
    """
    return sum(len(name.encode()) + _size(value) for name, value in item.items())


# A number takes a byte for two digits, at most 21.
_NUMBER_BYTES = 21


def _size(value: Mapping[str, Any]) -> int:
    ((kind, content),) = value.items()
    match kind:
        case "S":
            return len(content.encode())
        case "N":
            return _NUMBER_BYTES
        case "B":
            return len(content)
        case "M":
            return 3 + sum(1 + len(name.encode()) + _size(one) for name, one in content.items())
        case "L":
            return 3 + sum(1 + _size(one) for one in content)
        case "SS":
            return sum(len(one.encode()) for one in content)
        case "NS":
            return _NUMBER_BYTES * len(content)
        case "BS":
            return sum(len(one) for one in content)
        case _:
            return 1
