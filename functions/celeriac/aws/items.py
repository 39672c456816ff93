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


def _size(value: Mapping[str, Any]) -> int:
    ((kind, content),) = value.items()
    match kind:
        case "S":
            return len(content.encode())
        case "N":
            return _number_size(content)
        case "B":
            return len(content)
        case "M":
            return 3 + sum(1 + len(name.encode()) + _size(one) for name, one in content.items())
        case "L":
            return 3 + sum(1 + _size(one) for one in content)
        case "SS":
            return sum(len(one.encode()) for one in content)
        case "NS":
            return sum(_number_size(one) for one in content)
        case "BS":
            return sum(len(one) for one in content)
        case _:
            return 1


def _number_size(text: str) -> int:
    """A byte for two digits, one for the exponent, one for a sign."""
    digits = sum(character.isdigit() for character in text)
    return (digits + 1) // 2 + 1 + text.startswith("-")
