"""Lambda entry: SQS batch -> tasks."""

from celeriac import registry
from celeriac.consumer import handle as handler

registry.load()

__all__ = ["handler"]
