"""The text of an object whose fields are not all worth showing."""


def shown(value: object, *fields: str) -> str:
    """Return `Type(field=value, ...)` with these fields only."""
    return f"{type(value).__name__}({', '.join(f'{name}={getattr(value, name)!r}' for name in fields)})"
