"""The probe: a task that every queue runs without a declaration, for `celeriac smoke`.

It runs as any other task: with the queue's rights, its record, its dead letters and its transaction. Metrics leave it
out, so that a smoke test neither costs anything nor looks like failing work.
"""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

from msgspec import Meta

from celeriac.declare.context import Context
from celeriac.declare.task import Task
from celeriac.model.queue import Queue
from celeriac.model.retry import Backoff, Reject

_PREFIX = "celeriac.probe."
LONGEST = timedelta(minutes=15)
"""How far ahead the end of a probe's time may lie."""
GROUP = "celeriac-probe"
"""The message group of probes on a FIFO queue."""

type Wish = Literal["run", "reject", "publish"]
"""What a probe does: it returns, becomes a dead letter, or commits another probe to the outbox."""


def name(queue: str) -> str:
    """The name of the probe of the queue with this name."""
    return f"{_PREFIX}{queue}"


def is_probe(task: str | None) -> bool:
    """Whether a task of this name is a probe."""
    return task is not None and task.startswith(_PREFIX)


def named(task: str, queue: Queue) -> Task[..., Any, Any] | None:
    """The probe of a queue, if that is the task's name."""
    return of(queue) if task == name(queue.name) else None


def published_key(probe_id: str) -> str:
    """The idempotency key of the probe that the probe of this id commits to the outbox."""
    return f"{probe_id}-published"


def of(queue: Queue) -> Task[..., Any, str]:
    """The probe of a queue. On a FIFO queue it has a group already.

    Its arguments: the wish, and an instant after which it does nothing, because nobody waits for it any more.
    """

    def probe(ctx: Context, wish: Wish, until: Annotated[datetime, Meta(tz=True)]) -> str:
        # Anybody who may send to the queue writes this date: nobody waits for longer than a smoke test does.
        if not datetime.now(UTC) < until < datetime.now(UTC) + LONGEST:
            return "too late"
        if wish == "reject":
            raise Reject("`celeriac smoke` wanted a dead letter, and deletes it")
        if wish == "publish":
            with ctx.transaction() as tx:
                tx.enqueue(of(queue).options(key=published_key(ctx.id), group=_group(queue)), "run", until)
        return "done"

    made: Task[..., Any, str] = Task(
        probe,
        queue,
        name=name(queue.name),
        key=None,
        delivery="effectively_once",
        policy=Backoff(attempts=1),  # an error is the answer that a smoke test waits for
        timeout=None,
        on=None,
        cron=None,
        timezone="UTC",
    )
    return made.options(group=_group(queue))


def _group(queue: Queue) -> str | None:
    return GROUP if queue.fifo else None
