from datetime import timedelta

from celeriac import Queue

# A worker that dies holds its lease for as long. Less would be too short for a busy machine.
TIMEOUT = timedelta(seconds=3)

jobs = Queue("jobs", timeout=TIMEOUT, concurrency=2, batch_size=10)
ledger = Queue("ledger", fifo=True, timeout=TIMEOUT, batch_size=10)

# Its workers are processes outside of Lambda. Without heartbeats its messages come back before its time is over.
films = Queue("films", timeout=3 * TIMEOUT, concurrency=2, batch_size=10)
