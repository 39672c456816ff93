"""The queues. This module is pure data: the stacks, the consumers and every producer read it."""

from datetime import timedelta

from celeriac import Queue

# One variable for each queue. celeriac/model/queue.py explains the numbers.
emails = Queue("emails", timeout=timedelta(seconds=30), concurrency=10)  # sample
orders = Queue("orders", timeout=timedelta(seconds=30))  # sample
payments = Queue("payments", timeout=timedelta(seconds=30), concurrency=10)  # sample
webhooks = Queue("webhooks", timeout=timedelta(seconds=30), concurrency=10)  # sample
