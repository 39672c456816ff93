"""The report's section for each benchmark. The readings say where Celeriac loses, and why."""

import json
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

import prices
from bars import Bar
from figures import Ratio

RIVALS = ("celery", "taskiq", "dramatiq")
QUICK = {
    "cost": [],
    "limits_cost": [],
    "long_work_cost": [],
    "batches_cost": [],
    "standing": [],
    "enqueue_rate": ["--rounds", "5"],
    "consumer_cpu": ["--rounds", "5"],
    "relay_throughput": ["--rounds", "3"],
    "scale": ["--batch", "1000", "--messages", "20000"],
    "cold_import": ["--runs", "5"],
    "versus": ["--rounds", "2", "--count", "200", "--latencies", "10"],
}


def _ratio(data: dict[str, Any]) -> Ratio:
    return Ratio(**data)


def sections(found: dict[str, Any]) -> Iterator[str]:
    """The sections in Markdown."""
    yield _cost(found["cost"])
    yield _limits(found["limits_cost"])
    yield _long_work(found["long_work_cost"])
    yield _batches(found["batches_cost"])
    yield _standing(found["standing"])
    yield _enqueue(found["enqueue_rate"])
    yield _consumer(found["consumer_cpu"])
    yield _relay(found["relay_throughput"])
    yield _scale(found["scale"])
    yield _cold(found["cold_import"])
    yield _versus(found["versus"])


def bars(found: dict[str, Any]) -> list[Bar]:
    """The picture's bars: how many times better Celeriac is."""
    enqueue, consumer, versus = found["enqueue_rate"], found["consumer_cpu"], found["versus"]
    relay = found["relay_throughput"]["by_subscribers"][0]
    return [
        _better("enqueue: CPU, boto3 alone", enqueue["cpu_one"], turned=True),
        _better("enqueue: CPU, Celery", enqueue["cpu_celery"]),
        _better("enqueue_many: CPU, loop of boto3 batches", enqueue["cpu_many_waiting"], turned=True),
        _better("enqueue_many: wall with latency, the boto3 loop", enqueue["wall_many"], turned=True),
        _better("consumer: CPU, bare Powertools", consumer["cpu"], turned=True),
        _better("consumer: CPU, boto3 alone", consumer["cpu_boto3"], turned=True),
        _better("consumer: wall with latency, bare Powertools", consumer["wall"], turned=True),
        _better("consumer, concurrency=10: the same", consumer["wall_side_by_side"], turned=True),
        _better("relay: events/s, call by call", relay["faster"]),
        _better("cold import, bare Powertools", found["cold_import"]["cold"], turned=True),
        *(
            _better(f"emulator: {what}, {rival.capitalize()}", versus[key][rival])
            for what, key in (("working", "worked"), ("end to end", "done"), ("latency p50", "p50"))
            for rival in RIVALS
        ),
    ]


def _better(label: str, data: dict[str, Any], *, turned: bool = False) -> Bar:
    ratio = _ratio(data)
    if turned:  # ours divided by theirs
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
queue). The calls are counted. The prices are list prices of us-east-1, from `benchmarks/prices.py`. They were not
compared with AWS's pages: check them.

| | AWS calls a task | write units a task | dollars a million |
|---|---:|---:|---:|
{rows}

The row of the transaction includes the task's own write. The row of the event includes the write of its order. In the
other rows such a write costs extra. A delay of more than 15 minutes adds {prices.SCHEDULE.dollars * 1e6:.2f} dollars a
million, for the schedules.

Dollars a month, by tasks a day:

| | {" | ".join(f"{int(rate):,}" for rate in rates)} |
|---|{"---:|" * len(rates)}
{months}

Reading: a task costs as much as the same calls written by hand. We lose at high steady rates. Two always-on workers can
do {data["capacity"]:,.0f} such tasks a day at most, if none of them computes. They are cheaper above these rates:
{limits}. Longer tasks lower these rates, because Lambda bills the time that a task waits.
"""


def _limits(data: dict[str, Any]) -> str:
    rows = "\n".join(
        f"| {name} | {more['calls']:+.2f} | {more['write_units']:+.2f} | {more['read_units']:+.2f} | "
        f"{more['dollars']:+.2f} |"
        for name, more in data.items()
    )
    rates = json.loads((Path(__file__).resolve().parent / "rates.json").read_text())
    return f"""## What limits add

`python benchmarks/limits_cost.py` (counted: batches of ten, all with one value of `by`)

| for each effectively_once task | AWS calls | write units | read units | dollars a million |
|---|---:|---:|---:|---:|
{rows}

A task without limits makes no call more. With Unique and Debounce, messages aren't sent, or don't run: that is saved.

![Starts in each second](rates.svg)

`make rates`: {rates["tasks"]:,} tasks over 50 a second on the local cloud, by the real `cdk deploy`. Meanwhile
{rates["killed"]} workers were killed, and what they held came back after its visibility timeout. All of them ran, in
{rates["starts"]:,} starts, and none became a dead letter. In the busiest window {rates["over"]:+.1f} more began than
the rate allows to start: a task begins a claim later than its start.
"""


def _long_work(data: dict[str, Any]) -> str:
    rows = "\n".join(
        f"| {name} | {its['calls']:.2f} | {its['write_units']:.2f} | {its['read_units']:.2f} | {its['dollars']:.2f} |"
        for name, its in data.items()
    )
    return f"""## What long work uses

`python benchmarks/long_work_cost.py` (counted)

| | AWS calls | write units | read units | dollars a million |
|---|---:|---:|---:|---:|
{rows}

A task that uses none of it makes no call more. A part is its last checkpoint, the message of the next one, its record
and its claim; of `tx.checkpoint` the item itself is half.
"""


def _batches(data: dict[str, Any]) -> str:
    rows = "\n".join(
        f"| {name} | {more['calls']:+.2f} | {more['write_units']:+.2f} | {more['read_units']:+.2f} | "
        f"{more['dollars']:+.2f} |"
        for name, more in data.items()
    )
    return f"""## What batches and chains add

`python benchmarks/batches_cost.py` (counted: batches of ten; the tasks' own calls are subtracted)

| | AWS calls | write units | read units | dollars a million |
|---|---:|---:|---:|---:|
{rows}

A member is one write more. A leaf of the tree that is full is one more, for 256 members. A task that is in no batch
makes no call more.
"""


def _standing(data: dict[str, Any]) -> str:
    full, short = data["full"], data["ephemeral"]
    parts = ("alarms", "dashboard", "polls", "sweeper", "secrets")
    total, briefly = (sum(stage[part] for part in parts) for stage in (full, short))
    return f"""## Cost of an idle stage

`python benchmarks/standing.py` (the sample stage of a fresh clone, counted in its templates)

| dollars a month | a stage with alarms | an ephemeral stage |
|---|---:|---:|
| {full["alarm_count"]} alarms, and {short["alarm_count"]} | {full["alarms"]:.2f} | {short["alarms"]:.2f} |
| dashboard | {full["dashboard"]:.2f} | {short["dashboard"]:.2f} |
| empty polls of {full["queue_count"]} queues | {full["polls"]:.2f} | {short["polls"]:.2f} |
| the sweeper's calls and its metric | {full["sweeper"]:.2f} | {short["sweeper"]:.2f} |
| the secret of the sample tasks | {full["secrets"]:.2f} | {short["secrets"]:.2f} |
| in all | {total:.2f} | {briefly:.2f} |

A task that runs in every hour adds {data["metrics"]:.2f} for {data["metric_count"]} metrics, its own and its queue's.

Reading: at a low rate this is nearly the whole cost of Celeriac. It comes on top of Celeriac's rows above. The rows
of the others include no alarms and no metrics: users of Celery or Powertools must write them, and then pay the same.
"""


def _dollars(cost: dict[str, Any]) -> str:
    total = cost["sqs"] + cost["dynamodb"] + cost["compute"] + cost["logs"]
    return f"{total:.2f}" + (f" and {cost['a_month']:.2f} a month" if cost["a_month"] else "")


def _enqueue(data: dict[str, Any]) -> str:
    return f"""## Enqueueing

`python benchmarks/enqueue_rate.py`

| | CPU | wall, {data["latency_ms"]:.0f} ms a call |
|---|---|---|
| `enqueue` / boto3's `send_message` | {_ratio(data["cpu_one"])} | {_ratio(data["wall_one"])} |
| `enqueue_many` / a loop of `send_message_batch` | {_ratio(data["cpu_many_waiting"])} | {_ratio(data["wall_many"])} |
| the same, with immediate answers | {_ratio(data["cpu_many"])} | |
| Celery's `apply_async` / `enqueue` | {_ratio(data["cpu_celery"])} | |
| a loop of `apply_async` / `enqueue_many` | | {_ratio(data["wall_celery_many"])} |

Reading: boto3 alone spends most of its CPU on making and signing a request. Celeriac's own way of sending
(docs/decisions/0032-the-wire.md) takes less, and the difference pays for each message's id, its time and the check of
its types. The batches of `enqueue_many` go through threads, which make it faster if calls take time. A thread pool
around boto3 would do the same. If answers come at once, as no network's do, the threads never wait: then they fight for
the interpreter, and that costs CPU. The other rows' CPU is that with immediate answers.
"""


def _consumer(data: dict[str, Any]) -> str:
    return f"""## Consuming

`python benchmarks/consumer_cpu.py`

| Celeriac / a bare Powertools consumer, if no other is named | |
|---|---|
| CPU a message, immediate answers | {_ratio(data["cpu"])} |
| CPU a message, {data["latency_ms"]:.0f} ms a call | {_ratio(data["cpu_waiting"])} |
| CPU a message, immediate answers, a consumer of boto3 alone | {_ratio(data["cpu_boto3"])} |
| wall of a batch, {data["latency_ms"]:.0f} ms a call, one by one | {_ratio(data["wall"])} |
| the same, `concurrency=10` | {_ratio(data["wall_side_by_side"])} |

Reading: most of a consumer's CPU is botocore's, and ours sends its requests in its own way
(docs/decisions/0032-the-wire.md). Without it we would need about as much as the bare consumer, since fencing, retries
and validation cost time. The consumer of boto3 alone has neither: it never runs a task again whose worker died. One by
one, ours claims the next tasks while one runs, and records the last successes meanwhile
(docs/decisions/0033-claim-ahead-record-behind.md). Running tasks side by side pays if tasks wait. A task that computes
gains nothing from it.
"""


def _relay(data: dict[str, Any]) -> str:
    rows = "\n".join(
        f"| {found['subscribers']} | {sum(found['calls'].values()) / 100:.2f} | {found['fewer']:.0f} "
        f"| {_ratio(found['faster'])} |"
        for found in data["by_subscribers"]
    )
    return f"""## The outbox's relay

`python benchmarks/relay_throughput.py`

| subscribers | AWS calls an event | times fewer calls than the plain way | events a second / the plain way's |
|---:|---:|---:|---|
{rows}

Reading: with {data["latency_ms"]:.0f} ms a call, fewer calls and parallel calls make the difference. These are full
batches of 100 events: a single event gains nothing. The plain way is a loop over single calls; better code is possible.
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

Celeriac's consumer / a bare Powertools handler, both with their clients made: {_ratio(data["cold"])}

| | bytes | zipped |
|---|---:|---:|
{rows}

Reading: our consumer loads the same packages as the bare handler, and Celeriac too. But its bundle holds less of
botocore's data, and no docstrings. The bare handler's packages are as pip installs them, compiled to byte code. Our
bundle is larger than that of a handler that uses the runtime's boto3.
"""


def _scale(data: dict[str, Any]) -> str:
    sizes = {
        f"a batch of {data['batch_size']:,} `at_least_once` messages": data["batch"],
        f"`enqueue_many(items, progress=...)` of {data['messages']:,} messages": data["stream"],
        "`enqueue` from 200 threads": data["threads"],
    }
    rows = "\n".join(
        f"| {name} | {part['memory_mb']:.0f} | {part['large_us'] / part['small_us']:.2f} |"
        for name, part in sizes.items()
    )
    return f"""## The size of a batch and of a script

`python benchmarks/scale.py`

| | MB of memory at most | CPU a message / that in a run a tenth as large |
|---|---:|---:|
{rows}

Reading: neither memory nor CPU a message grows with the number of messages.
"""


def _median(turns: list[dict[str, float]], what: str) -> float:
    return median(turn[what] for turn in turns)


def _versus(data: dict[str, Any]) -> str:
    count = data["count"]
    words = {
        "worked": "working",
        "worker_cpu": "workers' CPU",
        "done": "end to end",
        "enqueued": "enqueueing",
        "p50": "latency, p50",
        "p95": "latency, p95",
    }
    names = ["effectively_once", *RIVALS]
    rows = "\n".join(
        f"| {word} | " + " | ".join(str(_ratio(data[key][name])) for name in names) + " |"
        for key, word in words.items()
    )
    workers = "\n".join(
        f"| {name} | {count / _median(turns, 'worked'):,.0f} | {_median(turns, 'worker_cpu') * 1000:.2f} "
        f"| {_median(turns, 'worker_calls'):.2f} |"
        for name, turns in data["turns"].items()
    )
    return f"""## Celery, taskiq and dramatiq, on the emulator

`sh local/setup.sh versus && python benchmarks/versus.py`

Time divided by that of Celeriac's `at_least_once` (above 1 is slower), {data["count"]} tasks at a time:

| | Celeriac's `effectively_once` | {" | ".join(name.capitalize() for name in RIVALS)} |
|---|---|{"---|" * len(RIVALS)}
{rows}

While the workers worked:

| | tasks a second | worker's CPU a task, ms | worker's AWS calls a task |
|---|---:|---:|---:|
{workers}

Reading: this compares clients of one emulator, not systems on AWS. The emulator's Lambda receives and deletes messages
without HTTP, which a rival's worker can't do. So part of our lead in working comes from the emulator. Our lead in
enqueueing comes from batches. Our lead in latency comes from both. `effectively_once` makes two conditional writes a
task, one task after the other, and the emulator takes most of that time. The writes buy a guarantee that the rivals
don't give. It enqueues with the same code as `at_least_once`, so the difference of its ratio from 1 is noise. Real
Lambda adds cold starts, and real workers run on more machines: this benchmark shows neither.
"""
