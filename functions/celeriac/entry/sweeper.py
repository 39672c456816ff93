"""Lambda entry, on a schedule: outbox rows that the relay left behind -> queues."""

from celeriac.declare import registry
from celeriac.relay.sweeper import handler

registry.load_what_works()

__all__ = ["handler"]
