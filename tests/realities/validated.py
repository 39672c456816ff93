"""Calls that botocore checks against AWS's API models before it sends them. Celeriac's clients leave that to AWS.

Moto accepts much that AWS refuses: an unknown parameter, a number for a text.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from botocore.config import Config
from botocore.validate import ParamValidator, ValidationErrors

_configure, _validate = Config.__init__, ParamValidator.validate
refused: list[str] = []
"""What was wrong with calls. Code under test may catch the error of such a call."""


@contextmanager
def validated(count: Callable[[], None]) -> Iterator[None]:
    """In the block, new clients check their calls. `count` is called for each one."""

    def configure(self: Config, *arguments: Any, **named: Any) -> None:
        _configure(self, *arguments, **named | {"parameter_validation": True})

    def validate(self: ParamValidator, params: Any, shape: Any) -> ValidationErrors:
        errors: ValidationErrors = _validate(self, params, shape)
        count()
        if errors.has_errors():
            refused.append(f"{shape.name}: {errors.generate_report()}")
        return errors

    with patch.object(Config, "__init__", configure), patch.object(ParamValidator, "validate", validate):
        yield
