"""Lambda entry, on a schedule: stranded outbox rows -> queues."""

from celeriac import registry
from celeriac.sweeper import handle as handler

registry.load()

__all__ = ["handler"]
