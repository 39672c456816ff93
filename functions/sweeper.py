"""Lambda entry, on a schedule: stranded outbox rows -> queues."""

from celeriac.declare import registry
from celeriac.relay.sweeper import handle as handler

registry.load()

__all__ = ["handler"]
