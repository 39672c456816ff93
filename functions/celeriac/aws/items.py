"""Values in DynamoDB's own form, and their size as DynamoDB counts it."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from boto3.dynamodb.types import TypeDeserializer

from celeriac.aws.stored_values import EXACT, UnsupportedValueError, value_of


def item_of(values: Mapping[Any, Any]) -> Any:
    """Return an item in DynamoDB's form. Raises UnsupportedValueError, which names the attribute."""
    for name in values:
        if not isinstance(name, str) or not name:
            raise UnsupportedValueError("the item", f"has an attribute named {name!r}: names are texts, and not empty")
    return {name: value_of(value, name) for name, value in values.items()}


def plain(item: Any) -> dict[str, Any] | None:
    """Return an item of DynamoDB's form as Python values; None if there is no item."""
    if not item:
        return None
    return {name: TypeDeserializer().deserialize(value) for name, value in item.items()}


def size_of(item: Mapping[str, Any]) -> int:
    """Return the bytes of an item in DynamoDB's form, as DynamoDB counts them. A number counts with its largest size.

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
    """Count a byte for two digits, one for the exponent, and one for a minus sign.

    Pairs of digits are counted from the decimal point, so 123.4 has three: 1, 23 and 4. Zeros at both ends don't count.
    """
    sign, digits, end = Decimal(text).normalize(EXACT).as_tuple()
    # How many digits stand before the point, and minus how many behind it.
    start, end = len(digits) + int(end), int(end)
    return -(-start // 2) - end // 2 + 1 + sign
