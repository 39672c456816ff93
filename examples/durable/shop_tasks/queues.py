"""The shop's queues."""

from celeriac import Queue

lookups = Queue("lookups")
mail = Queue("mail")
