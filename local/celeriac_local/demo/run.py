"""The demo: send messages through the deployed system, watch them until they have ended, and print a report."""

import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from io import StringIO
from itertools import batched
from pathlib import Path

import boto3
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from celeriac.declare import registry
from celeriac.model.names import part
from celeriac_local.cloud.environment import STAGE
from celeriac_local.cloud.refused_calls import report_calls
from celeriac_local.cloud.state import Cloud
from celeriac_local.demo.cases import QUEUES, Item, Run, differences, expected, items
from celeriac_local.demo.observer import Observer, counts
from celeriac_local.demo.report import next_steps, report, verdict
from celeriac_local.errors import UserError

LIMIT_SECONDS = 75.0
_POLL_SECONDS = 0.5
PICTURE_CHARACTERS = 120


def run(cloud: Cloud, console: Console, picture: Path | None = None) -> bool:
    """Send the messages, watch them, and print the report. Returns whether every count is as expected.

    The process must already have the cloud's environment. `picture` is the SVG file to draw the report to.
    """
    this = Run(int(time.time()), cloud.provider_url)
    observer = Observer(cloud, this)
    sender = _Sender()
    wanted = expected()
    started = time.monotonic()

    once = list(items(this))
    again = [item for case, item in once if case.twice]
    console.print(f"Sending {len(once)} messages, and {len(again)} of them twice")
    deadline = started + LIMIT_SECONDS
    with _bars(console) as bars:
        for queue in QUEUES:
            bars.add_task(queue, total=wanted.queues[queue].sent, retries=0)
        sender.send(item for _, item in once)
        # Duplicates are sent after the first messages have ended. This is the common case, and it is faster: a
        # duplicate of a running message would wait for the message's lease.
        first = {queue: counts.sent - counts.duplicates for queue, counts in wanted.queues.items()}
        finished = _watch(observer, sender.ids, first, bars, deadline)
        if finished:
            sender.send(again)
            every = {queue: counts.sent for queue, counts in wanted.queues.items()}
            finished = _watch(observer, sender.ids, every, bars, deadline)

    found = observer.totals(sender.sent, sender.ids)
    letters = observer.dead_letters()
    report(console, found, letters)
    wrong = differences(wanted, found)
    if not finished:
        wrong.insert(0, f"the messages didn't end within {LIMIT_SECONDS:.0f} seconds, so these counts are incomplete")
    seconds = time.monotonic() - started
    verdict(console, wrong, found, seconds)
    if picture is not None:
        pad = Console(record=True, file=StringIO(), width=PICTURE_CHARACTERS, highlight=False, emoji=False)
        report(pad, found, letters)
        verdict(pad, wrong, found, seconds)
        pad.save_svg(str(picture), title="make demo", unique_id="demo")
    if wrong:
        report_calls(console)
    next_steps(console)
    return not wrong


class _Sender:
    """Sends items. Most are sent with a plain SQS client, because a sender doesn't need the library."""

    def __init__(self) -> None:
        self.sent: Counter[str] = Counter()
        self.ids: set[str] = set()
        self._sqs = boto3.client("sqs")

    def send(self, items: Iterable[Item]) -> None:
        """Send all items, one queue after the other. Raises UserError if SQS refuses a message."""
        items = list(items)
        for queue in QUEUES:
            plain = [item for item in items if item.queue == queue and item.payment is None]
            for batch in batched(plain, 10):
                self._send_plain(queue, batch)
        # Payments are sent with the library, which checks all arguments before it sends a message.
        handles = registry.tasks["process_payment"].enqueue_many(
            [item.payment for item in items if item.payment is not None]
        )
        self._note("payments", [handle.id for handle in handles])

    def _send_plain(self, queue: str, batch: Sequence[Item]) -> None:
        url = self._sqs.get_queue_url(QueueName=part(STAGE, queue))["QueueUrl"]
        answer = self._sqs.send_message_batch(
            QueueUrl=url, Entries=[{"Id": str(i), "MessageBody": item.body} for i, item in enumerate(batch)]
        )
        if answer.get("Failed"):
            raise UserError(
                f"SQS didn't take a message for {queue}: {answer['Failed'][0].get('Message', 'it gave no reason')}"
            )
        self._note(queue, [batch[int(taken["Id"])].id or taken["MessageId"] for taken in answer["Successful"]])

    def _note(self, queue: str, ids: Sequence[str]) -> None:
        self.sent[queue] += len(ids)
        self.ids.update(ids)


def _watch(observer: Observer, ids: set[str], goal: Mapping[str, int], bars: Progress, deadline: float) -> bool:
    """Show the progress until `goal` messages of each queue have ended. Returns False if time runs out first."""
    while True:
        followers = observer.followers(observer.events())
        outcomes = observer.outcomes([*ids, *(follower.id for follower in followers)])
        ended = {queue: counts(0, outcomes[queue]).ended for queue in QUEUES}
        for bar in bars.tasks:
            queue = bar.description
            bars.update(bar.id, completed=ended[queue], retries=outcomes[queue]["retried"])
        if all(ended[queue] >= goal[queue] for queue in QUEUES):
            return True
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_SECONDS)


def _bars(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description:9}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[retries]} retries"),
        TimeElapsedColumn(),
        console=console,
        disable=not console.is_terminal,
    )
