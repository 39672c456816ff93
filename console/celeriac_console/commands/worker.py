"""`celeriac worker`: run a queue's tasks in this process, as its Lambda consumer does."""

import os
import sys
from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated

import typer

from celeriac.model.queue import Queue
from celeriac_console.application.by_name import queue_names
from celeriac_console.terminal.errors import UserError

LEAST_SECONDS, MOST_SECONDS = 10, 12 * 60 * 60


def worker(
    *,
    queue: Annotated[
        str, typer.Option("--queue", help="The queue's name in tasks/queues.py.", autocompletion=queue_names)
    ],
    stop_timeout: Annotated[
        int,
        typer.Option(
            min=LEAST_SECONDS, max=MOST_SECONDS, help="After SIGTERM, tasks that run may go on for so many seconds."
        ),
    ] = 25,
) -> None:
    """Poll a queue and run its tasks, in this process and outside of Lambda, until SIGTERM or Ctrl-C.

    It prints the log of a Lambda consumer. A signal ends it in order: what has not begun goes back to the queue, what
    runs may end, or go on elsewhere from its checkpoint. A second signal ends it at once.

    Exit codes: 0 after a signal, 1 if it ends itself, because too many of its calls hang, or isn't over in time. It
    doesn't begin without credentials or if its queue isn't deployed; while AWS can't be reached, it tries again.

    Example: celeriac --stage prod worker --queue videos
    """
    # What a module prints when it is imported belongs to the log too.
    from celeriac.declare import registry  # noqa: PLC0415
    from celeriac.observe.log import logger, tell_of_tasks  # noqa: PLC0415
    from celeriac.worker import process  # noqa: PLC0415 - other commands don't need the consumer
    from celeriac.worker.poller import Poller  # noqa: PLC0415

    logger.setLevel(os.environ.get("POWERTOOLS_LOG_LEVEL", "INFO"))  # other commands print no log
    streams = sys.stdout, sys.stderr
    tell_of_tasks()
    registry.load_what_works()
    try:
        process.run(Poller(_queue(queue, registry.queues())), timedelta(seconds=stop_timeout))
    except Exception:
        sys.stdout, sys.stderr = streams  # a sentence for a person, and no line of the log
        raise


def _queue(name: str, known: Mapping[str, Queue]) -> Queue:
    if name not in known:
        raise UserError(f"no queue is named {name!r}. The queues are: {', '.join(known)}")
    return known[name]
