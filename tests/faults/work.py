"""The tasks of the matrix, and their effects outside.

They are declared in each sandbox, inside a function. The registry forgets such tasks when their sandbox ends, so no
other test sees them.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import wraps
from typing import Any, Concatenate

from celeriac import Backoff, Context, Queue, Reject, Retry, Task, task
from celeriac.leases.store import LeaseLostError
from celeriac.testing import WorkerDied

# Patient for longer than the longest outage: the release of a rollout comes later in one.
jobs = Queue("matrix", patience=timedelta(hours=3), batch_size=10, history=True)
ledger = Queue("matrix-ledger", fifo=True, batch_size=10, history=True)
QUEUES = (jobs, ledger)

# Larger than a queue's message may be by default, so the arguments go through S3.
LARGE = "x" * 300_000
# A fault may cost a task one attempt: there is one to spare. Without jitter a path always makes the same calls, also
# the reads of the quarantine, which happen again after a minute.
PATIENT = Backoff(base=timedelta(minutes=1), jitter=0, attempts=4)
SHORT = Backoff(base=timedelta(minutes=1), jitter=0, attempts=2)
LONG_WAIT = timedelta(hours=2)


@dataclass
class Outside:
    """Effects of the tasks on other systems, which no transaction can undo."""

    charges: list[str] = field(default_factory=list)
    """Calls of a provider, in order, as idempotency keys `<task>:<name>`. The provider carries out each key once."""
    is_down: bool = False
    """Whether the provider fails."""
    working: dict[str, datetime] = field(default_factory=dict)
    """Until when the workers hold their leases that are about to commit, by key."""
    met: list[str] = field(default_factory=list)
    """The keys that a worker ran while another one held their lease."""
    late: list[str] = field(default_factory=list)
    """The keys that a worker started when its time was over."""
    done: set[str] = field(default_factory=set)
    """The keys of which a run has ended well: its body has reached its end."""
    failures: Counter[str] = field(default_factory=Counter)
    """How many runs have failed, by key: their bodies have raised an error that is charged as an attempt."""
    overcharged: list[str] = field(default_factory=list)
    """The runs that count more attempts than have failed."""

    def start_over(self) -> None:
        """Forget what was called and done. Failures stay: they count in the attempts of later runs."""
        self.charges.clear()
        self.done.clear()

    @contextmanager
    def running(self, ctx: Context, key: str) -> Iterator[None]:
        """Call the provider at the start of a run, and note how the run ends. A worker that dies notes nothing."""
        self.charges.append(key)
        if ctx.remaining <= timedelta():
            self.late.append(key)
        if ctx.attempt > 1 + self.failures[key]:
            self.overcharged.append(f"{key} makes attempt {ctx.attempt}, and {self.failures[key]} have failed")
        try:
            yield
        except LeaseLostError:
            raise  # another worker's run counts
        except Exception as error:
            self.failures[key] += not isinstance(error, Retry) or error.charge
            raise
        self.done.add(key)

    @contextmanager
    def at_work(self, ctx: Context) -> Iterator[None]:
        """Note a worker that holds a lease, and meets another one that still holds the lease of the same key."""
        now = datetime.now(UTC)
        if ctx.deadline > now and self.working.get(ctx.key, now) > now:
            self.met.append(ctx.key)
        self.working[ctx.key] = mine = ctx.deadline
        try:
            yield
        finally:
            if self.working.get(ctx.key) is mine:
                del self.working[ctx.key]


def declare(outside: Outside) -> dict[str, Task[..., Any, Any]]:  # noqa: PLR0915 - a list of tasks
    """Declare every task, by its name."""

    def watched[**P, R](body: Callable[Concatenate[Context, P], R]) -> Callable[Concatenate[Context, P], R]:
        """Let the outside see the runs of this body."""

        @wraps(body)
        def run(ctx: Context, /, *args: P.args, **kwargs: P.kwargs) -> R:
            with outside.running(ctx, ctx.key):
                return body(ctx, *args, **kwargs)

        return run

    def commit(ctx: Context) -> None:
        """An effect that must happen once, committed together with the task's success."""
        with outside.at_work(ctx), ctx.transaction() as tx:
            tx.update("orders", key={"pk": ctx.key}, add={"times": 1})

    @task(jobs, key="name", retry=PATIENT)
    @watched
    def succeed(ctx: Context, name: str) -> str:
        return name

    @task(jobs, key="name", retry=PATIENT)
    @watched
    def fail_once(ctx: Context, name: str, note: str = "") -> None:
        if ctx.attempt == 1:
            raise ConnectionError
        commit(ctx)

    @task(jobs, key="name", retry=PATIENT)
    @watched
    def wait_long(ctx: Context, name: str, note: str = "") -> None:
        if ctx.attempt == 1:
            raise Retry(delay=LONG_WAIT)
        commit(ctx)

    @task(jobs, key="name", retry=PATIENT)
    @watched
    def wait_uncharged(ctx: Context, name: str) -> None:
        # A short wait and two long ones, none charged as an attempt. Each needs its own schedule.
        waits = [timedelta(minutes=1), LONG_WAIT, LONG_WAIT]
        if (ran := outside.charges.count(ctx.key)) <= len(waits):
            raise Retry(delay=waits[ran - 1], charge=False)
        commit(ctx)

    @task(jobs, key="name")
    @watched
    def refuse(ctx: Context, name: str, note: str = "") -> None:
        raise Reject("no")

    @task(jobs, key="name", retry=SHORT)
    @watched
    def fail(ctx: Context, name: str) -> None:
        raise ConnectionError

    @task(jobs, key="name", delivery="at_most_once")
    @watched
    def launch(ctx: Context, name: str) -> None:
        """Its effect is the call of the provider."""

    @task(jobs, key="name", delivery="at_least_once", retry=PATIENT)
    @watched
    def notify(ctx: Context, name: str) -> None:
        if ctx.attempt == 1:
            raise ConnectionError

    @task(jobs, key="name", retry=PATIENT)
    @watched
    def transfer(ctx: Context, name: str) -> None:
        with outside.at_work(ctx), ctx.transaction() as tx:
            tx.update("orders", key={"pk": ctx.key}, add={"times": 1})
            tx.emit("matrix.event", {"name": name}, aggregate=name)
            tx.enqueue(succeed, name=name)

    @task(jobs, key="name", retry=PATIENT, on="matrix.event")
    @watched
    def count(ctx: Context, name: str) -> None:
        commit(ctx)

    @task(ledger, key="name", retry=PATIENT, on="matrix.event")
    @watched
    def book(ctx: Context, name: str) -> None:
        commit(ctx)

    @task(jobs, key="name", retry=PATIENT)
    @watched
    def depend(ctx: Context, name: str, note: str = "") -> None:
        if outside.is_down:
            raise ConnectionError
        commit(ctx)

    @task(jobs, key="name", retry=PATIENT)
    @watched
    def depend_late(ctx: Context, name: str) -> None:
        if ctx.attempt == 1:
            raise Retry(delay=LONG_WAIT)
        if outside.is_down:
            raise Reject("no")
        commit(ctx)

    @task(ledger, key="name", retry=PATIENT)
    @watched
    def depend_in_order(ctx: Context, name: str) -> None:
        if outside.is_down:
            raise ConnectionError
        commit(ctx)

    @task(ledger, key="name", retry=PATIENT)
    @watched
    def in_order(ctx: Context, name: str) -> None:
        if name == "a" and ctx.attempt == 1:
            raise ConnectionError
        if name == "b":
            raise Reject("no such account")
        commit(ctx)

    @task(ledger, key="name", retry=PATIENT)
    @watched
    def wait_in_order(ctx: Context, name: str) -> None:
        if name == "a" and outside.charges.count(ctx.key) <= PATIENT.attempts:
            raise Retry(delay=timedelta(minutes=1), charge=False)
        commit(ctx)

    @task(jobs, cron="rate(1 minute)", delivery="at_least_once")
    def tidy(ctx: Context) -> None:
        with outside.running(ctx, "tidy:late"):  # whichever of its firings this is
            pass

    @task(jobs, key="name")
    @watched
    def kill(ctx: Context, name: str) -> None:
        raise WorkerDied

    tasks: list[Task[..., Any, Any]] = [
        succeed,
        fail_once,
        wait_long,
        wait_uncharged,
        refuse,
        fail,
        launch,
        notify,
        transfer,
        count,
        book,
        depend,
        depend_late,
        depend_in_order,
        in_order,
        wait_in_order,
        tidy,
        kill,
    ]
    return {declared.name: declared for declared in tasks}
