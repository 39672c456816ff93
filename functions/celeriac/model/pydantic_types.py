"""Types that msgspec doesn't know: pydantic models. They are used only if the user has pydantic."""

from typing import Any


def known(custom: type) -> dict[str, Any]:
    """A schema that stands for a pydantic model. Raises TypeError for any other type."""
    if not hasattr(custom, "model_validate"):
        raise TypeError(f"nothing reads a {custom.__qualname__} from JSON")
    return {"type": "object"}


def from_json(expected: type, value: object) -> object:
    """Read a pydantic model. Raises what the model raises."""
    return expected.model_validate(value)  # type: ignore[attr-defined]  # `known` has checked it
