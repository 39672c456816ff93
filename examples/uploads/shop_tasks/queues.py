"""The shop's queues."""

from datetime import timedelta

from celeriac import Queue

# Pillow holds a picture as pixels: 50 million of them, thrice, are 450 MB.
uploads = Queue("uploads", timeout=timedelta(minutes=1), memory=1769, max_concurrency=20)
