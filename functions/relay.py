"""Lambda entry: outbox stream -> queues."""

from celeriac import registry
from celeriac.relay import handle as handler

registry.load()

__all__ = ["handler"]
