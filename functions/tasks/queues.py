"""The queues. Pure data: the stacks, the consumers and every producer read it."""

from datetime import timedelta

from celeriac import Queue

# A variable for each queue; what its numbers mean stands in celeriac/model/queue.py.
emails = Queue("emails", timeout=timedelta(seconds=30), concurrency=10, max_concurrency=10)  # sample
orders = Queue("orders", timeout=timedelta(seconds=30), max_concurrency=10)  # sample
payments = Queue("payments", timeout=timedelta(seconds=30), concurrency=10, max_concurrency=20)  # sample
webhooks = Queue("webhooks", timeout=timedelta(seconds=30), concurrency=10, max_concurrency=10)  # sample
