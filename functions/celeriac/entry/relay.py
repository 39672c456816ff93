"""Lambda entry: outbox stream -> queues."""

from celeriac.declare import registry
from celeriac.relay.handler import handler

registry.load_what_works()

__all__ = ["handler"]
