"""The whole system under attack: thousands of tasks on all queues, while workers die and the provider misbehaves.

make chaos                                          5,000 tasks, some minutes
.venv/bin/python -m tests.e2e.chaos --tasks 500     a look

In a copy of this clone, with its own local cloud and the real `cdk deploy`: workers of every function are killed at
random, one task in a hundred kills its own worker, and the payment provider is busy, down, silent or declines. Every
task must end as it should, and what it commits must be there once. It ends with the counts, and with exit code 1 if
one of them is wrong.
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
from celeriac_local import samples, state
from tests.e2e import chaos_work, scratch
from tests.e2e.chaos_report import report
from tests.e2e.chaos_work import QUEUES, Work
from tests.e2e.scratch import say

TASKS, PORT = 5000, 4700
LIMIT_SECONDS = 900
QUIET_SECONDS = 10.0
# Between two kills. A task counts as its worker's killer when three die while it runs alone: kills that came thick
# and fast would make healthy tasks look like that.
KILL_SECONDS = (0.5, 2.5)
# A cold start takes seconds on a busy machine. Killed in it, a worker has touched nothing, and its queue stands still.
GROWN_SECONDS = 3.0
# One task in so many is sent twice, the way a sender does that never got its answer.
TWICE = 20

CRASHERS = '''
"""Tasks that kill their worker, on every queue, so that others sit beside them."""

import os
import signal

from celeriac import task
from tasks import queues


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


''' + "".join(
    f"\n@task(queues.{queue})\ndef {name}(name: str) -> None:\n    _die()\n"
    for queue, name in chaos_work.CRASHER.items()
)
# Ten seconds for a batch, of which a task takes three at most: what would not end in time isn't started. SQS brings
# back in twenty what a dead worker held. Few workers, for two cores.
FEWER = [(f"max_concurrency={number}", "max_concurrency=3") for number in (10, 20)]
EDITS = {
    "functions/tasks/queues.py": [("timeout=timedelta(seconds=30)", "timeout=timedelta(seconds=10)"), *FEWER],
    "functions/tasks/payments.py": [
        ("timeout=timedelta(seconds=20)", "timeout=timedelta(seconds=3)"),
        # What is committed twice would show in the count.
        ('set={"paid": True})', 'set={"paid": True}, add={"times": 1})'),
    ],
    "functions/tasks/webhooks.py": [("timeout=timedelta(seconds=15)", "timeout=timedelta(seconds=3)")],
    "functions/tasks/http.py": [("read=5.0", "read=2.0")],
    "functions/celeriac/model/queue.py": [("return 6 * self.timeout", "return 2 * self.timeout")],
    "functions/celeriac/model/retry.py": [("timedelta = timedelta(seconds=60)", "timedelta = timedelta(seconds=2)")],
}


def inside(clone: Path, tasks: int) -> int:
    """Send, kill, wait, count."""
    registry.load()
    cloud = state.load()
    if cloud is None:
        raise RuntimeError("the local cloud of the copy is gone")
    everything = list(chaos_work.work(tasks, cloud.provider_url))
    started, over = time.monotonic(), threading.Event()
    with ThreadPoolExecutor(1) as pool:
        killer = pool.submit(_kill, clone, over)
        try:
            _send([*everything, *random.sample(everything, tasks // TWICE)])
            sending = time.monotonic() - started
            quiet = _wait(started)
        finally:
            over.set()
        killed = killer.result()
    say(f"{tasks} tasks sent in {sending:.0f} s, {tasks // TWICE} of them twice, workers killed {killed} times,")
    say(f"{'quiet' if quiet else 'NOT QUIET'} after {time.monotonic() - started:.0f} s")
    return report(everything, cloud.provider_url, cloud.url, left=sum(_left().values()))


def _send(everything: Sequence[Work]) -> None:
    sqs = boto3.client("sqs")
    for queue in QUEUES:
        url = sqs.get_queue_url(QueueName=scratch.PREFIX + queue)["QueueUrl"]
        for ten in batched([one.body for one in everything if one.queue == queue], 10, strict=False):
            entries = [{"Id": str(number), "MessageBody": body} for number, body in enumerate(ten)]
            if failed := sqs.send_message_batch(QueueUrl=url, Entries=entries).get("Failed"):  # type: ignore[arg-type]  # plain dicts
                raise RuntimeError(f"SQS didn't take a message: {failed[0]}")


def _kill(clone: Path, over: threading.Event) -> int:
    """Kill one worker at a time, whichever it hits; how many."""
    killed = 0
    seen: dict[int, float] = {}
    while not over.wait(random.uniform(*KILL_SECONDS)):
        now = time.monotonic()
        seen = {pid: seen.get(pid, now) for pid in scratch.workers(clone)}
        grown = [pid for pid, since in seen.items() if now - since > GROWN_SECONDS]
        killed += scratch.kill([random.choice(grown)]) if grown else 0
    return killed


def _left() -> Counter[str]:
    """What is still on its way, by where it is."""
    group = schedule_group("local")
    schedules = boto3.client("scheduler").list_schedules(GroupName=group)["Schedules"]
    oldest, parked = unpublished.lag()
    return Counter(
        {queue: scratch.waiting(queue) for queue in QUEUES}
        | {"schedules": len(schedules), "outbox": parked + (oldest is not None)}
    )


def _wait(started: float) -> bool:
    """Whether nothing was on its way for a while, before the time was up."""
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
    parser = argparse.ArgumentParser(description="Thousands of tasks, while everything dies around them.")
    parser.add_argument("--tasks", type=int, default=TASKS, help="how many to send")
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.inside:
        return inside(chosen.inside, chosen.tasks)
    if gone := samples.missing():
        say(f"The chaos is among the sample tasks, and {gone}.")
        say("The outbox has a chaos of its own: .venv/bin/python -m tests.e2e.outbox_chaos")
        return 2
    added = {"functions/tasks/chaos.py": CRASHERS}
    arguments = ["--tasks", str(chosen.tasks)]
    return scratch.run_inside("tests.e2e.chaos", arguments, port=PORT, added=added, edits=EDITS)


if __name__ == "__main__":
    sys.exit(main())
