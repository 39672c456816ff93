"""The whole system under faults: thousands of tasks on all queues, while workers are killed and the provider
misbehaves.

make chaos                                          5,000 tasks, some minutes
.venv/bin/python -m tests.e2e.chaos --tasks 500     a short run

It runs in a copy of this clone, with its own local cloud and the real `cdk deploy`. Workers of every function are
killed at random, one task in a hundred kills its own worker, and the payment provider is busy, down, silent or
declines. Every task must end as expected, and its committed effects must exist once. At the end the counts are printed.
The exit code is 1 if one of them is wrong.
"""

import argparse
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import batched
from pathlib import Path

import boto3

from celeriac.declare import registry
from celeriac.model.names import schedule_group
from celeriac.relay import unpublished
from celeriac_local.cloud import state
from celeriac_local.demo import samples
from tests.e2e import chaos_messages
from tests.e2e.chaos_messages import QUEUES, ChaosMessage
from tests.e2e.chaos_report import report
from tests.support import scratch
from tests.support.scratch import say

TASKS, PORT = 5000, 4700
LIMIT_SECONDS = 900
QUIET_SECONDS = 10.0
# The time between two kills. A task is dead-lettered after three deaths of a worker that ran it alone, so more frequent
# kills would dead-letter healthy tasks.
KILL_SECONDS = (0.5, 2.5)
# A cold start takes seconds on a busy machine. A worker that is killed during it has done nothing, and its queue makes
# no progress.
GROWN_SECONDS = 3.0
# One task in this many is sent twice, as a sender does that got no answer.
TWICE = 20

CRASHING_TASKS = '''
"""Tasks that kill their worker, on every queue, so that they share batches with other tasks."""

import os
import signal

from celeriac import task
from tasks import queues


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


''' + "".join(
    f"\n@task(queues.{queue})\ndef {name}(name: str) -> None:\n    _die()\n"
    for queue, name in chaos_messages.CRASHING_TASK.items()
)
# A batch has ten seconds, and a task takes three at most: a task that could not end in time isn't started. After twenty
# seconds SQS delivers again the messages of a dead worker. Few workers, for two cores.
BRIEF = ("timeout=timedelta(seconds=30)", "max_concurrency=3, timeout=timedelta(seconds=10)")
EDITS = {
    "functions/tasks/queues.py": [BRIEF],
    "functions/tasks/payments.py": [
        ("timeout=timedelta(seconds=20)", "timeout=timedelta(seconds=3)"),
        # A second commit would show in this count.
        ('set={"paid": True})', 'set={"paid": True}, add={"times": 1})'),
    ],
    "functions/tasks/webhooks.py": [("timeout=timedelta(seconds=15)", "timeout=timedelta(seconds=3)")],
    "functions/tasks/http.py": [("read=5.0", "read=2.0")],
    "functions/celeriac/model/queue.py": [("usual = 6 * self.timeout", "usual = 2 * self.timeout")],
    "functions/celeriac/model/retry.py": [("timedelta = timedelta(seconds=60)", "timedelta = timedelta(seconds=2)")],
}


def inside(clone: Path, tasks: int) -> int:
    """Send, kill, wait, count. Returns the exit code."""
    registry.load()
    cloud = state.load()
    if cloud is None:
        raise RuntimeError("the local cloud of the copy is gone")
    everything = list(chaos_messages.messages(tasks, cloud.provider_url))
    started, over = time.monotonic(), threading.Event()
    with ThreadPoolExecutor(1) as pool:
        kills = pool.submit(_kill, clone, over)
        try:
            _send([*everything, *random.sample(everything, tasks // TWICE)])
            sending = time.monotonic() - started
            quiet = _wait(started)
        finally:
            over.set()
        killed = kills.result()
    say(f"{tasks} tasks sent in {sending:.0f} s, {tasks // TWICE} of them twice, workers killed {killed} times,")
    say(f"{'quiet' if quiet else 'NOT QUIET'} after {time.monotonic() - started:.0f} s")
    return report(everything, cloud.provider_url, cloud.url, left=sum(_left().values()))


def _send(everything: Sequence[ChaosMessage]) -> None:
    sqs = boto3.client("sqs")
    for queue in QUEUES:
        url = sqs.get_queue_url(QueueName=scratch.PREFIX + queue)["QueueUrl"]
        for ten in batched([one.body for one in everything if one.queue == queue], 10):
            entries = [{"Id": str(number), "MessageBody": body} for number, body in enumerate(ten)]
            if failed := sqs.send_message_batch(QueueUrl=url, Entries=entries).get("Failed"):  # type: ignore[arg-type]  # plain dicts
                raise RuntimeError(f"SQS refused a message: {failed[0]}")


def _kill(clone: Path, over: threading.Event) -> int:
    """Kill one random worker at a time until `over` is set. Returns how many were killed."""
    killed = 0
    seen: dict[int, float] = {}
    while not over.wait(random.uniform(*KILL_SECONDS)):
        now = time.monotonic()
        seen = {pid: seen.get(pid, now) for pid in scratch.workers(clone)}
        grown = [pid for pid, since in seen.items() if now - since > GROWN_SECONDS]
        killed += scratch.kill([random.choice(grown)]) if grown else 0
    return killed


def _left() -> Counter[str]:
    """The unfinished messages, schedules and events, by place."""
    group = schedule_group("local")
    schedules = boto3.client("scheduler").list_schedules(GroupName=group)["Schedules"]
    oldest, parked = unpublished.lag()
    return Counter(
        {queue: scratch.waiting(queue) for queue in QUEUES}
        | {"schedules": len(schedules), "outbox": parked + (oldest is not None)}
    )


def _wait(started: float) -> bool:
    """Wait until nothing has been left for `QUIET_SECONDS`. False if the time ran out first."""
    quiet_since: float | None = None
    said = started
    while time.monotonic() - started < LIMIT_SECONDS:
        left = _left()
        now = time.monotonic()
        quiet_since = (quiet_since or now) if not left.total() else None
        if quiet_since is not None and now - quiet_since > QUIET_SECONDS:
            return True
        if now - said > 20:
            said = now
            say(f"{now - started:4.0f} s  " + ", ".join(f"{where}: {count}" for where, count in left.items()))
        time.sleep(1)
    return False


def main() -> int:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Run thousands of tasks while workers are killed at random.")
    parser.add_argument("--tasks", type=int, default=TASKS, help="how many tasks to send")
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.inside:
        return inside(chosen.inside, chosen.tasks)
    if gone := samples.missing():
        say(f"The chaos test needs the sample tasks, and {gone}.")
        say("The outbox has its own chaos test: .venv/bin/python -m tests.e2e.outbox_chaos")
        return 2
    added = {"functions/tasks/chaos.py": CRASHING_TASKS}
    arguments = ["--tasks", str(chosen.tasks)]
    return scratch.run_inside("tests.e2e.chaos", arguments, port=PORT, added=added, edits=EDITS)


if __name__ == "__main__":
    sys.exit(main())
