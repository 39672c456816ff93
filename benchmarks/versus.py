"""Compares Celeriac, Celery, taskiq and dramatiq on SQS, end to end on one local emulator of AWS, in turn.

python benchmarks/versus.py [--rounds 5] [--count 500] [--latencies 40] [--port 4900]

The task writes a line with the time to a local file. Working: `count` tasks are in the queue and the workers start; the
time from the first line to the last. End to end: the workers wait, and `count` tasks are enqueued in the library's own
way; the time from the first enqueue to the last line. Latency: one task at a time, from the enqueue to the line. Every
contestant has two workers, which run only in its turn. The rivals acknowledge late, so they give the guarantee of
Celeriac's at_least_once. Celeriac's effectively_once guarantees more, for two more calls a task.

While the workers work, their CPU and their calls of the emulator are counted, too: the emulator's own work decides how
fast they are, but these two are the library's. Lambda's poller makes a call to receive and one to delete each batch of
ten, which reach no emulator. They are added, as AWS bills them.

Limits: the emulator is one Python process that all contestants share, and it is busier than any client. Its Lambda is a
warm subprocess beside it, and Lambda's poller receives and deletes messages without HTTP, which no rival's worker can
do. No call crosses a network, and versus/serve.py removes two waits of the emulator. So the benchmark shows what each
library asks of its platform, not how fast AWS is: there are no cold starts, no scaling out, no Fargate. Celery gets a
shorter polling_interval and a larger prefetch than its defaults. With the defaults it would pause for a second again
and again.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from emulator import bundle_with, client, create_idempotency_table, deploy, emulator, switch
from figures import Ratio, as_json, ratio
from workers import calls, cpu_seconds, of_function, of_group

from celeriac import Queue
from celeriac_local.cloud.processes import spawn, stop

RIVALS = HERE / "versus"
RIVALS_BIN = RIVALS / ".venv" / "bin"
BASE, FENCED = "at_least_once", "effectively_once"
PATIENCE_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Side:
    """A contestant: the commands of its producer and its workers. Celeriac's workers are a function on the emulator."""

    name: str
    producer: list[str]
    workers: list[str]
    queue: Queue | None = None


SIDES = [
    Side(BASE, [sys.executable, "with_celeriac.py", BASE], [], Queue("bare", batch_size=10, max_concurrency=2)),
    Side(FENCED, [sys.executable, "with_celeriac.py", FENCED], [], Queue("fenced", batch_size=10, max_concurrency=2)),
    Side(
        "celery",
        [str(RIVALS_BIN / "python"), "with_celery.py"],
        [str(RIVALS_BIN / "celery"), "-A", "with_celery", "worker", "--concurrency=2", "--loglevel=WARNING"],
    ),
    Side(
        "taskiq",
        [str(RIVALS_BIN / "python"), "with_taskiq.py"],
        [str(RIVALS_BIN / "taskiq"), "worker", "with_taskiq:broker", "--workers=2", "--log-level=WARNING"],
    ),
    Side(
        "dramatiq",
        [str(RIVALS_BIN / "python"), "with_dramatiq.py"],
        [str(RIVALS_BIN / "dramatiq"), "with_dramatiq", "--processes=2", "--threads=1"],
    ),
]


@dataclass(frozen=True, slots=True)
class Turn:
    """One contestant's figures in one round, in seconds."""

    worked: float
    worker_cpu: float
    """CPU of the workers a task, while they worked."""
    worker_calls: float
    """AWS calls of the workers a task, while they worked."""
    enqueued: float
    done: float
    p50: float
    p95: float


@dataclass(frozen=True, slots=True)
class Figures:
    """For each contestant, its time divided by that of Celeriac's at_least_once: above 1 is slower."""

    count: int
    latencies: int
    turns: dict[str, list[Turn]]
    worked: dict[str, Ratio]
    worker_cpu: dict[str, Ratio]
    done: dict[str, Ratio]
    enqueued: dict[str, Ratio]
    p50: dict[str, Ratio]
    p95: dict[str, Ratio]


class Notes:
    """The file that the tasks write to."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def lines(self, count: int) -> list[str]:
        """Wait until `count` tasks have run, and return the lines of all that have."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while len(lines := self._path.read_text().splitlines()) < count:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{len(lines)} of {count} tasks have run after {PATIENCE_SECONDS} s")
            time.sleep(0.005)
        return lines

    def after(self, count: int) -> list[tuple[float, float]]:
        """Wait until `count` tasks have run; return their (sent, ran) times and empty the file."""
        lines = self.lines(count)
        self._path.write_text("")
        return [(float(sent), float(ran)) for sent, ran in (line.split() for line in lines)]


def turn(side: Side, variables: Mapping[str, str], folder: Path, *, count: int, latencies: int) -> Turn:
    # A stopped worker of a rival may leave a long poll behind that takes a message. So each turn has its own queue.
    name = f"{side.name}-{time.time_ns()}"
    url = client("sqs", variables).create_queue(QueueName=name)["QueueUrl"]
    notes = Notes(folder / "notes")
    variables = {**variables, "BENCH_QUEUE": name, "BENCH_QUEUE_URL": url}
    with _producer(side, variables) as producer:
        _enqueue(producer, count)
        with _workers(side, variables, folder) as belongs:
            ahead = len(notes.lines(1))  # these ran before the first look at the workers
            before, endpoint = cpu_seconds(belongs), variables["AWS_ENDPOINT_URL"]
            calls_before = calls(endpoint)
            ran = sorted(ran for _, ran in notes.after(count))
            time.sleep(0.5)  # until the last messages are deleted
            worker_cpu = (cpu_seconds(belongs) - before) / (count - ahead)
            worker_calls = (calls(endpoint) - calls_before) / (count - ahead)
            if side.queue is not None:
                worker_calls += 2 / side.queue.batch
            started, enqueued = _enqueue(producer, count)
            last = max(ran for _, ran in notes.after(count))
            waits = []
            for _ in range(latencies):
                began, _ = _enqueue(producer, 1)
                waits.append(notes.after(1)[0][1] - began)
            time.sleep(0.5)
    p95 = quantiles(waits, n=20, method="inclusive")[18]
    return Turn(ran[-1] - ran[0], worker_cpu, worker_calls, enqueued - started, last - started, median(waits), p95)


@contextmanager
def _workers(side: Side, variables: Mapping[str, str], folder: Path) -> Iterator[Callable[[int], bool]]:
    """Let the workers work. Yields what tells their processes from others."""
    if side.queue is not None:
        switch(side.queue, variables, on=True)
        try:
            yield of_function(side.queue.function_name(variables["CELERIAC_STAGE"]))
        finally:
            switch(side.queue, variables, on=False)
        return
    process = spawn(side.workers, env=variables, folder=RIVALS, log=folder / f"{side.name}.log")
    try:
        yield of_group(process.pid)
    finally:
        stop(process, marker=str(RIVALS))


@contextmanager
def _producer(side: Side, variables: Mapping[str, str]) -> Iterator["subprocess.Popen[str]"]:
    producer = subprocess.Popen(
        side.producer, cwd=RIVALS, env=variables, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        yield producer
    finally:
        producer.terminate()
        producer.communicate()


def _enqueue(producer: "subprocess.Popen[str]", count: int) -> tuple[float, float]:
    assert producer.stdin is not None
    assert producer.stdout is not None
    producer.stdin.write(f"{count}\n")
    producer.stdin.flush()
    line = producer.stdout.readline()
    if not line:
        raise RuntimeError("a producer died; its error is above")
    started, ended = line.split()
    return float(started), float(ended)


def measure(rounds: int = 5, count: int = 500, latencies: int = 40, port: int = 4900) -> Figures:
    turns: dict[str, list[Turn]] = {side.name: [] for side in SIDES}
    with tempfile.TemporaryDirectory() as temporary, emulator(Path(temporary), port) as cloud:
        folder = Path(temporary)
        (folder / "notes").touch()
        own = {"BENCH_NOTES": str(folder / "notes")}
        create_idempotency_table(cloud)
        code = bundle_with(RIVALS, only=("tasks", "note.py"))
        for side in SIDES:
            if side.queue is not None:
                deploy(side.queue, code, cloud, own=own)
        variables = {"PATH": os.environ["PATH"], **cloud, **own}
        for number in range(rounds + 1):
            for side in SIDES if number % 2 else SIDES[::-1]:
                figures = turn(side, variables, folder, count=count, latencies=latencies)
                if number:  # the first round only warms up
                    turns[side.name].append(figures)
    return Figures(
        count,
        latencies,
        turns,
        *(
            {
                side.name: ratio([getattr(t, what) for t in turns[side.name]], [getattr(t, what) for t in turns[BASE]])
                for side in SIDES
                if side.name != BASE
            }
            for what in ("worked", "worker_cpu", "done", "enqueued", "p50", "p95")
        ),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--latencies", type=int, default=40)
    parser.add_argument("--port", type=int, default=4900)
    parser.add_argument("--json", action="store_true", help="the figures as JSON")
    options = parser.parse_args()
    figures = measure(options.rounds, options.count, options.latencies, options.port)
    if options.json:
        print(as_json(figures))
        return
    for name, turns in figures.turns.items():
        worked, done, p50, p95 = (
            median(getattr(turn, what) for turn in turns) for what in ("worked", "done", "p50", "p95")
        )
        print(
            f"{name:17} working {figures.count / worked:5.0f} tasks/s, end to end {figures.count / done:5.0f} tasks/s, "
            f"latency p50 {p50 * 1000:5.1f} ms, p95 {p95 * 1000:5.1f} ms, "
            f"workers {median(turn.worker_cpu for turn in turns) * 1000:.2f} ms CPU and "
            f"{median(turn.worker_calls for turn in turns):.2f} calls a task"
        )
    print(f"time divided by that of Celeriac's {BASE}: the median, and the range of half of the pairs:")
    for what in ("worked", "worker_cpu", "done", "enqueued", "p50", "p95"):
        ratios: dict[str, Ratio] = getattr(figures, what)
        print(f"  {what:9}", "; ".join(f"{name} {found}" for name, found in ratios.items()))


if __name__ == "__main__":
    main()
