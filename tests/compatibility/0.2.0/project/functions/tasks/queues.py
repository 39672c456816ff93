"""The queues. This module is pure data: the stacks, the consumers and every producer read it."""

from datetime import timedelta

from celeriac import Queue

words = Queue("words", timeout=timedelta(seconds=30), concurrency=10)
