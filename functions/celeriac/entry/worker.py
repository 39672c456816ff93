"""Container entry on Fargate: `python -m celeriac.entry.worker QUEUE BATCH SECONDS` runs a queue's tasks until SIGTERM.

BATCH is the most messages at once, and SECONDS how long after SIGTERM tasks may go on.
"""

import os
import signal
import sys
from datetime import timedelta

# Told to end while it imports: nothing is received yet, and a container's first process has no handler of its own.
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))

from celeriac.declare import registry  # noqa: E402 - after the line above, because imports take seconds
from celeriac.observe.log import tell_of_tasks  # noqa: E402
from celeriac.worker import process  # noqa: E402
from celeriac.worker.poller import Poller  # noqa: E402


def main(queue: str, batch: int, seconds: int) -> None:
    """Never returns. Raises KeyError if this release has no such queue, and what `process.run` raises."""
    tell_of_tasks()
    registry.load_what_works()
    process.run(Poller(registry.queues()[queue], batch=batch), timedelta(seconds=seconds))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
