"""Its queues."""

from celeriac import Queue

jobs = Queue("jobs")
ledger = Queue("ledger", fifo=True)
