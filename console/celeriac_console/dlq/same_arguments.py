"""Whether arguments are the same."""

from collections.abc import Mapping

import msgspec


def same_arguments(one: Mapping[str, object], other: Mapping[str, object]) -> bool:
    """Whether they are the same as JSON. For Python, `1`, `1.0` and `true` are equal; for a task they are not."""
    if one is other:
        return True
    return one == other and _written(one) == _written(other)


def _written(arguments: Mapping[str, object]) -> bytes:
    return msgspec.json.encode(arguments, order="sorted")
