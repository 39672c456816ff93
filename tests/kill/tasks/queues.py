from datetime import timedelta

from celeriac import Queue

# A worker that dies holds its lease for as long. Less would be too short for a busy machine.
TIMEOUT = timedelta(seconds=3)

jobs = Queue("jobs", timeout=TIMEOUT, concurrency=2, batch_size=10)
ledger = Queue("ledger", fifo=True, timeout=TIMEOUT, batch_size=10)

# Its workers are processes outside of Lambda. One that was frozen for seconds still has time for what it runs.
films = Queue("films", timeout=timedelta(seconds=30), concurrency=2, batch_size=10)
