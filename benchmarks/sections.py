"""What the report says of each benchmark's figures. The readings say where Celeriac loses, and why."""

from collections.abc import Iterator
from typing import Any

import prices
from bars import Bar
from figures import Ratio

QUICK = {
    "cost": [],
    "standing": [],
    "enqueue_rate": ["--rounds", "5"],
    "consumer_cpu": ["--rounds", "5"],
    "relay_throughput": ["--rounds", "3"],
    "cold_import": ["--runs", "5"],
    "versus": ["--rounds", "2", "--count", "200", "--latencies", "10"],
}


def _ratio(data: dict[str, Any]) -> Ratio:
    return Ratio(**data)


def sections(found: dict[str, Any]) -> Iterator[str]:
    """In Markdown."""
    yield _cost(found["cost"])
    yield _standing(found["standing"])
    yield _enqueue(found["enqueue_rate"])
    yield _consumer(found["consumer_cpu"])
    yield _relay(found["relay_throughput"])
    yield _cold(found["cold_import"])
    yield _versus(found["versus"])


def bars(found: dict[str, Any]) -> list[Bar]:
    """What the picture shows: how many times better Celeriac does."""
    enqueue, consumer, versus = found["enqueue_rate"], found["consumer_cpu"], found["versus"]
    relay = found["relay_throughput"]["by_subscribers"][0]
    return [
        _better("enqueue: CPU, boto3 alone", enqueue["cpu_one"], turned=True),
        _better("enqueue: CPU, Celery", enqueue["cpu_celery"]),
        _better("enqueue_many: CPU, loop of boto3 batches", enqueue["cpu_many"], turned=True),
        _better("enqueue_many: wall with latency, the same", enqueue["wall_many"], turned=True),
        _better("consumer: CPU, bare Powertools", consumer["cpu"], turned=True),
        _better("consumer: wall with latency, the same", consumer["wall"], turned=True),
        _better("the same, concurrency=10", consumer["wall_side_by_side"], turned=True),
        _better("relay: events/s, call by call", relay["faster"]),
        _better("cold import, bare Powertools", found["cold_import"]["cold"], turned=True),
        *(
            _better(f"emulator: {what}, {rival.capitalize()}", versus[key][rival])
            for what, key in (("working", "worked"), ("end to end", "done"), ("latency p50", "p50"))
            for rival in ("celery", "taskiq")
        ),
    ]


def _better(label: str, data: dict[str, Any], *, turned: bool = False) -> Bar:
    ratio = _ratio(data)
    if turned:  # ours over theirs
        return Bar(label, 1 / ratio.median, 1 / ratio.high, 1 / ratio.low)
    return Bar(label, ratio.median, ratio.low, ratio.high)


def _cost(data: dict[str, Any]) -> str:
    rows = "\n".join(
        f"| {name} | {cost['calls_a_task']:.2f} | {cost['write_units_a_task']:.0f} | {_dollars(cost)} |"
        for name, cost in data["costs"].items()
    )
    months = "\n".join(
        f"| {name} | " + " | ".join(f"{dollars:,.2f}" for dollars in by_rate.values()) + " |"
        for name, by_rate in data["monthly"].items()
    )
    rates = list(next(iter(data["monthly"].values())))
    limits = "; ".join(
        f"{name}: " + ("never" if rate is None else f"{rate:,.0f} a day") for name, rate in data["break_even"].items()
    )
    return f"""## Cost of a million tasks

`python benchmarks/cost.py` (tasks of {data["task_ms"]:.0f} ms, full batches of {data["batch"]}; `--batch 1` is a quiet
queue). Calls are counted; prices are list prices of us-east-1, written down in `benchmarks/prices.py` without a look at
AWS's pages: check them.

| | AWS calls a task | write units a task | dollars a million |
|---|---:|---:|---:|
{rows}

A transaction's row holds the task's own write, an event's the order it tells of; in the other modes that comes on top.
A delay of more than 15 minutes adds {prices.SCHEDULE.dollars * 1e6:.2f} dollars, for its schedule.

Dollars a month, at so many tasks a day:

| | {" | ".join(f"{int(rate):,}" for rate in rates)} |
|---|{"---:|" * len(rates)}
{months}

Reading: a task costs as much as the same calls written by hand. We lose at high steady rates: two always-on workers,
which can do {data["capacity"]:,.0f} such tasks a day at most if none of them computes, get cheaper above these rates:
{limits}. The longer tasks are, the sooner, since Lambda bills the time that a task waits.
"""


def _standing(data: dict[str, Any]) -> str:
    total = data["alarms"] + data["dashboard"] + data["polls"] + data["sweeper"]
    return f"""## Cost of a stage that stands idle

`python benchmarks/standing.py` (the sample stage as it is cloned, counted in its templates)

| | dollars a month |
|---|---:|
| {data["alarm_count"]} alarms | {data["alarms"]:.2f} |
| dashboard | {data["dashboard"]:.2f} |
| empty polls of {data["queue_count"]} queues | {data["polls"]:.2f} |
| the sweeper's queries and metrics | {data["sweeper"]:.2f} |
| in all | {total:.2f} |

A task that runs in every hour adds {data["metrics"]:.2f} for {data["metric_count"]} metrics, its own and its queue's.

Reading: at a low rate this is nearly all that Celeriac costs, and it comes on top of its rows above. The rows of others
have no alarms and no metrics: who wants these beside Celery or Powertools writes them, and pays the same for them.
"""


def _dollars(cost: dict[str, Any]) -> str:
    total = cost["sqs"] + cost["dynamodb"] + cost["compute"] + cost["logs"]
    return f"{total:.2f}" + (f" and {cost['a_month']:.2f} a month" if cost["a_month"] else "")


def _enqueue(data: dict[str, Any]) -> str:
    return f"""## Enqueueing

`python benchmarks/enqueue_rate.py`

| | CPU | wall, {data["latency_ms"]:.0f} ms a call |
|---|---|---|
| `enqueue` over boto3's `send_message` | {_ratio(data["cpu_one"])} | {_ratio(data["wall_one"])} |
| `enqueue_many` over a loop of `send_message_batch` | {_ratio(data["cpu_many"])} | {_ratio(data["wall_many"])} |
| Celery's `apply_async` over `enqueue` | {_ratio(data["cpu_celery"])} | |
| a loop of `apply_async` over `enqueue_many` | | {_ratio(data["wall_celery_many"])} |

Reading: we lose some CPU to boto3 alone, which does most of the work of a single enqueue, and more on many: a message
gets an id, a time and a check of its types, and the batches go through threads. With a network in between those
threads win it back, as a thread pool around boto3 would.
"""


def _consumer(data: dict[str, Any]) -> str:
    return f"""## Consuming

`python benchmarks/consumer_cpu.py`

| Celeriac over a bare Powertools consumer | |
|---|---|
| CPU a message | {_ratio(data["cpu"])} |
| wall of a batch, {data["latency_ms"]:.0f} ms a call, one by one | {_ratio(data["wall"])} |
| the same, `concurrency=10` | {_ratio(data["wall_side_by_side"])} |

Reading: in CPU we are near the bare consumer or behind it, for fencing, retries and validation aren't free; most of
both is botocore. What pays is tasks side by side, where tasks wait; a task that computes gains nothing by it.
"""


def _relay(data: dict[str, Any]) -> str:
    rows = "\n".join(
        f"| {found['subscribers']} | {sum(found['calls'].values()) / 100:.2f} | {found['fewer']:.0f} "
        f"| {_ratio(found['faster'])} |"
        for found in data["by_subscribers"]
    )
    return f"""## The outbox's relay

`python benchmarks/relay_throughput.py`

| subscribers | AWS calls an event | fewer calls, times | events a second over the plain way's |
|---:|---:|---:|---|
{rows}

Reading: with {data["latency_ms"]:.0f} ms a call, what counts is calls, and calls side by side. That is for full batches
of 100: a single event gains nothing. The plain way is a loop over single calls, not the best that one can write.
"""


def _cold(data: dict[str, Any]) -> str:
    weights = {
        "Celeriac's whole bundle": data["our_weight"],
        "Powertools and boto3 as installed": data["bare_weight"],
        "Powertools alone, boto3 the runtime's": data["bare_weight_without_boto3"],
    }
    rows = "\n".join(f"| {name} | {w['bytes']:,} | {w['zipped']:,} |" for name, w in weights.items())
    return f"""## Cold import and weight

`python benchmarks/cold_import.py`

Celeriac's consumer over a bare Powertools handler, both with their clients made: {_ratio(data["cold"])}

| | bytes | zipped |
|---|---:|---:|
{rows}

Reading: we load what the bare handler loads and ourselves on top, and lose by that. Both start from byte code and
cut-down boto3 data here, which a bare handler doesn't have by itself. Against a handler that leaves boto3 to the
runtime, our bundle is the heavier one.
"""


def _versus(data: dict[str, Any]) -> str:
    words = {
        "worked": "working",
        "done": "end to end",
        "enqueued": "enqueueing",
        "p50": "latency, p50",
        "p95": "latency, p95",
    }
    names = ["effectively_once", "celery", "taskiq"]
    rows = "\n".join(
        f"| {word} | " + " | ".join(str(_ratio(data[key][name])) for name in names) + " |"
        for key, word in words.items()
    )
    return f"""## Beside Celery and taskiq, on the emulator

`sh local/setup.sh versus && python benchmarks/versus.py`

Time over that of Celeriac's `at_least_once` (above 1 is slower than it), {data["count"]} tasks at a time:

| | Celeriac's `effectively_once` | Celery | taskiq |
|---|---|---|---|
{rows}

Reading: this compares clients of one emulator, not systems on AWS. The emulator's Lambda takes and deletes messages
without HTTP, as a rival's worker can't, so our lead in working is partly its own; our lead in enqueueing is that of
batches; in latency it is some of both. `effectively_once` loses to both rivals at working: it pays for two
conditional writes a task, one task after the other, which buy a promise that the rivals don't make. Its enqueueing is
the same code as `at_least_once`'s, so what its ratio is off from 1 is noise. Real Lambda adds cold starts, and real
workers are more machines: neither shows here.
"""
