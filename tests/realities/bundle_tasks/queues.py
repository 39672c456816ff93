"""Queues with short times: time is real."""

from datetime import timedelta

from celeriac import Queue

jobs = Queue("jobs", timeout=timedelta(seconds=20), concurrency=5)
ledger = Queue("ledger", fifo=True, timeout=timedelta(seconds=20))
short = Queue("short", timeout=timedelta(seconds=5))
