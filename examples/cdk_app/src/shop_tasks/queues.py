"""The queue of the shop."""

from celeriac import Queue

receipts = Queue("receipts", vpc=True)
