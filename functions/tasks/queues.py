"""The queues. Pure data: the stacks, the consumers and every producer read it."""

from datetime import timedelta

from celeriac import Queue

emails = Queue("emails", timeout=timedelta(seconds=30), concurrency=10, max_concurrency=10)
orders = Queue("orders", timeout=timedelta(seconds=30), max_concurrency=10)
payments = Queue("payments", timeout=timedelta(seconds=30), concurrency=10, max_concurrency=20)
webhooks = Queue("webhooks", timeout=timedelta(seconds=30), concurrency=10, max_concurrency=10)
