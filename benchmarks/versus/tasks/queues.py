"""Queues with two invocations at once, like the rivals' two worker processes."""

from datetime import timedelta

from celeriac import Queue

bare = Queue("bare", timeout=timedelta(seconds=30), batch_size=10, max_concurrency=2)
fenced = Queue("fenced", timeout=timedelta(seconds=30), batch_size=10, max_concurrency=2)
