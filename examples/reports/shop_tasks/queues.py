"""The shop's queues."""

from datetime import timedelta

from celeriac import Queue

# A report may take hours: it goes on in the next invocation. A short timeout has it back sooner after a death, which
# is when six timeouts have passed.
reports = Queue("reports", timeout=timedelta(minutes=3), memory=1769)
