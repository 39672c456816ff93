"""AWS calls and dollars for a million tasks: by guarantee, of a bare Powertools consumer, and of Celery on SQS.

python benchmarks/cost.py [--task-ms 100] [--aws-ms 5] [--batch 10]

The code's own calls are counted: ours in the Sandbox, the bare consumer's over stubbed HTTP. The rest is assumed:
- Lambda's poller makes one ReceiveMessage and one DeleteMessageBatch for each batch of `batch` messages. At a low rate
  a batch holds one message. The long polls of an idle queue (five pollers, every 20 s) cost some $0.26 a month and
  aren't included.
- A task takes `task-ms`, each AWS call of its worker `aws-ms`, one after the other (concurrency=1), in 512 MB.
- Every task is enqueued by its own call (enqueue_many needs a tenth of the calls).
- Records and events are stored for 18 days. Logs cost their ingestion. Lambda adds 400 bytes to our log for each
  invocation.
- Celery, by kombu's source: one SendMessage and one DeleteMessage a task, one ReceiveMessage for every ten, and two
  Fargate tasks of 0.5 vCPU and 1 GB each, four processes in all, that are always on. Its log is as long as the bare
  consumer's.
The costs of cold starts, the quarantine read of the first minute, data transfer and people are left out everywhere.
Prices: benchmarks/prices.py.
"""

import argparse
from dataclasses import asdict, dataclass, replace

import prices
from bare import MESSAGES, Context, bare_consumer, payments
from counted import EVENT, MODES, Counted, count
from figures import as_json
from quiet import logged, say  # before any AWS library
from stub import Stub

MILLION = 1_000_000
MEMORY_GB = 0.5
RECORD_DAYS = 18
LAMBDA_LOG_BYTES = 400
GIGABYTE = 1024**3
WORKERS, WORKER_VCPU, WORKER_GB, PROCESSES = 2, 0.5, 1, 4
RATES_A_DAY = (1_000, 10_000, 100_000, MILLION)
BARE = "bare Powertools, batch and idempotency"
CELERY, CELERY_ONCE = "Celery on SQS, always on", "Celery on SQS, with two conditional writes of your own"


@dataclass(frozen=True, slots=True)
class Cost:
    """Dollars for a million tasks, and for a month without tasks."""

    calls_a_task: float
    """AWS calls of the code and of the poller."""
    write_units_a_task: float
    sqs: float
    dynamodb: float
    compute: float
    logs: float
    a_month: float = 0

    @property
    def total(self) -> float:
        return self.sqs + self.dynamodb + self.compute + self.logs


@dataclass(frozen=True, slots=True)
class Figures:
    task_ms: float
    aws_ms: float
    batch: int
    costs: dict[str, Cost]
    break_even: dict[str, float | None]
    """Tasks a day above which always-on workers are cheaper; None if they never are."""
    capacity: float
    """The most tasks a day that the always-on workers can do."""
    monthly: dict[str, dict[str, float]]
    """Dollars a month, by tasks a day."""


def lambda_cost(found: Counted, *, batch: int, task_ms: float, aws_ms: float, relayed: bool) -> Cost:
    """`relayed`: the relay sends the messages, with one more invocation for each batch."""
    polls = 2 / batch
    requests = found.of("sqs") + polls
    worker_calls = found.of("dynamodb")
    invocations = (2 if relayed else 1) / batch
    seconds = (task_ms + worker_calls * aws_ms) / 1000
    return Cost(
        calls_a_task=sum(found.calls.values()) + polls,
        write_units_a_task=found.write_units,
        sqs=requests * prices.SQS_REQUEST.dollars * MILLION,
        dynamodb=_dynamodb(found),
        compute=(invocations * prices.LAMBDA_REQUEST.dollars + seconds * MEMORY_GB * prices.LAMBDA_GB_SECOND.dollars)
        * MILLION,
        logs=_logs(found.logged_bytes + invocations * LAMBDA_LOG_BYTES),
    )


def celery_cost(found: Counted) -> Cost:
    """`found` counts the writes that Celery's tasks make themselves."""
    calls = 1 + 1 + 1 / 10
    hour = WORKERS * (WORKER_VCPU * prices.FARGATE_VCPU_HOUR.dollars + WORKER_GB * prices.FARGATE_GB_HOUR.dollars)
    return Cost(
        calls_a_task=calls + found.of("dynamodb"),
        write_units_a_task=found.write_units,
        sqs=calls * prices.SQS_REQUEST.dollars * MILLION,
        dynamodb=_dynamodb(found),
        compute=0,
        logs=_logs(found.logged_bytes),
        a_month=hour * prices.HOURS_A_MONTH,
    )


def _logs(size: float) -> float:
    return size / GIGABYTE * prices.LOGS_GB.dollars * MILLION


def _dynamodb(found: Counted) -> float:
    stored = found.stored_bytes / GIGABYTE * prices.TABLE_GB_MONTH.dollars * RECORD_DAYS / 30
    reads = found.of("dynamodb", "GetItem") * prices.READ_UNIT.dollars
    return (found.write_units * prices.WRITE_UNIT.dollars + reads + stored) * MILLION


def bare(like: Counted) -> Counted:
    """The bare consumer's calls and log. Its records are assumed to be as large as those of `like`."""
    stub = Stub()
    handler = bare_consumer(stub)
    before = logged.bytes
    handler(payments("bare"), Context())
    calls = {f"dynamodb:{operation}": total / MESSAGES for operation, total in stub.calls.items()}
    writes = sum(calls.values())
    return Counted({"sqs:SendMessage": 1.0, **calls}, writes, like.stored_bytes, (logged.bytes - before) / MESSAGES)


def measure(task_ms: float = 100, aws_ms: float = 5, batch: int = 10) -> Figures:
    found = {mode: count(mode) for mode in MODES}
    once, plain = found["effectively_once"], found["at_least_once"]
    bare_counted = bare(once)
    log = bare_counted.logged_bytes
    costs = {
        mode: lambda_cost(counted, batch=batch, task_ms=task_ms, aws_ms=aws_ms, relayed=mode == EVENT)
        for mode, counted in {**found, BARE: bare_counted}.items()
    }
    costs[CELERY] = celery_cost(replace(plain, logged_bytes=log))
    costs[CELERY_ONCE] = celery_cost(replace(once, logged_bytes=log))
    pairs = {"at_least_once": CELERY, "effectively_once": CELERY_ONCE, BARE: CELERY_ONCE}
    return Figures(
        task_ms,
        aws_ms,
        batch,
        costs,
        {ours: break_even(costs[ours], costs[theirs]) for ours, theirs in pairs.items()},
        PROCESSES / (task_ms / 1000) * 86_400,
        {
            name: {str(rate): cost.total * rate * 30 / MILLION + cost.a_month for rate in RATES_A_DAY}
            for name, cost in costs.items()
        },
    )


def break_even(ours: Cost, always_on: Cost) -> float | None:
    """Tasks a day, for a month of 30, at which both cost the same."""
    more = (ours.total - always_on.total) / MILLION
    return always_on.a_month / more / 30 if more > 0 else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task-ms", type=float, default=100)
    parser.add_argument("--aws-ms", type=float, default=5)
    parser.add_argument("--batch", type=int, default=10)
    parser.add_argument("--json", action="store_true", help="the figures as JSON")
    options = parser.parse_args()
    figures = measure(options.task_ms, options.aws_ms, options.batch)
    if options.json:
        say(as_json(figures))
        return
    say(f"Prices of {prices.REGION}, {prices.AS_OF}, not looked up: check benchmarks/prices.py. For a million tasks:")
    for name, cost in figures.costs.items():
        parts = ", ".join(f"{part} ${asdict(cost)[part]:.2f}" for part in ("sqs", "dynamodb", "compute", "logs"))
        idle = f" + ${cost.a_month:.2f} a month" if cost.a_month else ""
        say(
            f"{name:52} {cost.calls_a_task:5.2f} calls and {cost.write_units_a_task:4.1f} write units a task: "
            f"${cost.total:.2f}{idle} ({parts})"
        )
    say(f"a delay of more than 15 minutes adds ${prices.SCHEDULE.dollars * MILLION:.2f} a million, for its schedule")
    for name, rate in figures.break_even.items():
        what = "never" if rate is None else f"above {rate:,.0f} tasks a day"
        say(f"always-on workers are cheaper than {name}: {what} (they can do {figures.capacity:,.0f} at most)")


if __name__ == "__main__":
    main()
