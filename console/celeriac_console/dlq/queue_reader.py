"""Read a dead-letter queue over several connections, each letter once.

SQS hides a letter that it has delivered. At its end, also after Ctrl-C, the command makes all letters that it didn't
delete visible again. After a crash of the command, SQS itself makes them visible: after `HIDDEN` if the command was
about to send or delete them, after `hidden_for` all letters if it only read them.
"""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import ceil
from typing import TYPE_CHECKING

import typer

from celeriac.aws import pause, sqs
from celeriac.aws.client import client
from celeriac.dead_letters import dead_letter
from celeriac.dead_letters.dead_letter import DeadLetter
from celeriac.model import settings
from celeriac.model.queue import Queue
from celeriac_console.terminal.errors import FAILED
from celeriac_console.terminal.screen import say

if TYPE_CHECKING:
    from mypy_boto3_sqs.type_defs import MessageTypeDef

WORKERS = 8
# A letter stays hidden for this time after a crash. A batch takes less, even at the slowest rate.
HIDDEN = timedelta(seconds=30)
# The lowest speed of a pass that only reads. The pass must end before its first letters become visible again.
LEAST_LETTERS_A_SECOND = 100
# SQS hides a message for 12 hours at most, counted from its receive.
LONGEST = timedelta(hours=12) - timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Taken:
    """A dead letter that the command has received."""

    message: "MessageTypeDef"
    letter: DeadLetter

    @property
    def message_id(self) -> str:
        """The message id that SQS gave it."""
        return self.message["MessageId"]


type Visit = Callable[[Sequence[Taken]], set[str]]
"""Called by several threads, with up to ten letters. Returns the message ids of the letters that it deleted."""


class Pass:
    """One pass over a dead-letter queue, in which each letter is visited once."""

    def __init__(
        self,
        queue: Queue,
        *,
        hidden: timedelta = HIDDEN,
        workers: int = WORKERS,
        batch: int = 10,
        most: int | None = None,
        each: int | None = None,
        stopped: threading.Event | None = None,
    ) -> None:
        """Prepare a pass.

        most: about so many letters are visited, because the caller stops it then; None for all.
        each: only one worker for so many letters, because a worker that finds none waits for a second; None for all.
        stopped: who sets it, from another thread, ends the pass early, as `stop` does; it is set when the pass ends.
        """
        self.missed = 0
        """The number of letters that the pass couldn't read.

        Another reader holds them, a FIFO group blocks them, or SQS has given as many as it gives at a time.
        """
        self.total = depth(queue)
        """The number of letters in the queue at the start of the pass."""
        self.name = queue.dead_letter_name(settings.stage())
        self._url = sqs.url(self.name)
        self._hidden = hidden
        expected = self.total if most is None else min(self.total, most)
        self._workers = workers if each is None else max(1, min(workers, expected // each))
        self._batch = batch
        self._kept = hidden_for(expected)
        self._lock = threading.Lock()
        self._begun = datetime.now(UTC)
        self._held: dict[str, str] = {}
        self._gone: set[str] = set()
        self._stop = stopped or threading.Event()

    def stop(self) -> None:
        """End the pass early, because the letter was found or the limit is reached."""
        self._stop.set()

    def run(self, visit: Visit, *, wait: bool = False) -> None:
        """Visit every visible letter. With `wait`, also wait for letters that other readers, or killed ones, hide."""
        self._begun = datetime.now(UTC)
        try:
            self._sweep(visit)
            waited = timedelta()
            while wait and not self._stop.is_set() and waited < self._hidden and self.hidden_elsewhere():
                pause.wait(1)
                waited += timedelta(seconds=1)
                self._sweep(visit)
            if not self._stop.is_set():
                self.missed = max(0, sum(sqs.counts(self._url).values()) - len(self._held))
        finally:
            self._stop.set()
            self._give_back()

    def hidden_elsewhere(self) -> int:
        """The number of letters that other readers hold."""
        in_flight = sqs.counts(self._url)["ApproximateNumberOfMessagesNotVisible"]
        return max(0, in_flight - len(self._held))

    def _sweep(self, visit: Visit) -> None:
        with ThreadPoolExecutor(self._workers) as pool:
            sweeping = [pool.submit(self._work, visit) for _ in range(self._workers)]
            try:
                for one in sweeping:
                    one.result()
            except BaseException:
                self._stop.set()
                raise

    def _work(self, visit: Visit) -> None:
        while not self._stop.is_set():
            messages = self._received()
            if not messages:
                return
            fresh = self._take(messages)
            # One that comes again says that the pass lasts longer than was thought.
            new = {message["MessageId"] for message in fresh}
            self._hide([m for m in messages if m["MessageId"] not in new and m["MessageId"] in self._held])
            if fresh:
                deleted = visit([Taken(message, dead_letter.read(self.name, message)) for message in fresh])
                with self._lock:
                    self._gone |= deleted
                    for message_id in deleted:
                        self._held.pop(message_id, None)
                self._hide([message for message in fresh if message["MessageId"] not in deleted])

    def _received(self) -> "Sequence[MessageTypeDef]":
        """The next letters. None if SQS has given as many as it gives at a time, about 120,000: others stay behind."""
        try:
            answer = client("sqs").receive_message(
                QueueUrl=self._url,
                MaxNumberOfMessages=self._batch,
                VisibilityTimeout=ceil(self._hidden.total_seconds()),
                # A short poll asks only some of SQS's servers, and may miss letters that others store.
                WaitTimeSeconds=1,
                MessageSystemAttributeNames=["All"],
                MessageAttributeNames=["All"],
            )
        except client("sqs").exceptions.OverLimit:
            return ()
        return answer.get("Messages", [])

    def _take(self, messages: "Sequence[MessageTypeDef]") -> "list[MessageTypeDef]":
        """The messages that are new in this pass. A message comes again if the pass lasts longer than it was hidden."""
        with self._lock:
            fresh = [m for m in messages if m["MessageId"] not in self._held and m["MessageId"] not in self._gone]
            self._held |= {m["MessageId"]: m["ReceiptHandle"] for m in messages if m["MessageId"] not in self._gone}
        return fresh

    def _hide(self, messages: "Sequence[MessageTypeDef]") -> None:
        """Hide letters that stay in the queue until the pass ends. Else the pass would receive them again and again.

        The longer the pass has lasted already, the longer they are hidden: a slow one would never end otherwise.
        """
        lasted = max(timedelta(), datetime.now(UTC) - self._begun)  # the clock of this machine may be set back
        seconds = ceil(min(self._kept + lasted, LONGEST).total_seconds())
        if messages and seconds > self._hidden.total_seconds():
            self._set_visibility([message["ReceiptHandle"] for message in messages], seconds)

    def _set_visibility(self, receipts: Sequence[str], seconds: int) -> None:
        client("sqs").change_message_visibility_batch(
            QueueUrl=self._url,
            Entries=[
                {"Id": str(i), "ReceiptHandle": receipt, "VisibilityTimeout": seconds}
                for i, receipt in enumerate(receipts)
            ],
        )

    def _give_back(self) -> None:
        receipts = list(self._held.values())
        tens = [receipts[i : i + 10] for i in range(0, len(receipts), 10)]

        with ThreadPoolExecutor(self._workers) as pool:
            for _ in pool.map(lambda ten: self._set_visibility(ten, 0), tens):
                pass
        self._held.clear()


def paced(queue: Queue, rate: float | None, stopped: threading.Event | None = None) -> Pass:
    """A pass whose workers can send or delete all the letters that they take before these become visible again.

    rate: letters a second; None for no limit. stopped: as of `Pass`.
    """
    batch = max(1, min(10, int(rate * HIDDEN.total_seconds() / 4))) if rate else 10
    workers = WORKERS if rate is None or rate > WORKERS * batch else 1
    return Pass(queue, workers=workers, batch=batch, stopped=stopped)


def hidden_for(letters: int) -> timedelta:
    """The time for which a pass that only reads this many letters keeps them hidden."""
    return min(HIDDEN + timedelta(seconds=letters / LEAST_LETTERS_A_SECOND), LONGEST)


def say_missed(missed: int) -> None:
    """If some letters could not be read, print why and end with exit code 1."""
    if missed:
        say(
            f"{missed} more could not be read: another reader holds them, or they are behind the first ten of a FIFO "
            "group or the first 120,000 of the queue, and SQS delivers them only after those are deleted",
            stderr=True,
        )
        raise typer.Exit(FAILED)


def depth(queue: Queue) -> int:
    """The number of dead letters in the queue's dead-letter queue, visible or hidden."""
    return sum(sqs.counts(sqs.url(queue.dead_letter_name(settings.stage()))).values())


def delete(url: str, taken: Sequence[Taken]) -> set[str]:
    """Delete up to ten letters. Returns the message ids of those that were deleted."""
    if not taken:
        return set()
    answer = client("sqs").delete_message_batch(
        QueueUrl=url,
        Entries=[{"Id": str(i), "ReceiptHandle": one.message["ReceiptHandle"]} for i, one in enumerate(taken)],
    )
    return {taken[int(done["Id"])].message_id for done in answer.get("Successful", [])}


def read(queue: Queue, limit: int) -> list[DeadLetter]:
    """Up to `limit` dead letters of `queue`, oldest first. They are visible to other readers again at once."""
    found: list[DeadLetter] = []
    reading = Pass(queue, hidden=hidden_for(limit))

    def visit(taken: Sequence[Taken]) -> set[str]:
        found.extend(one.letter for one in taken)
        if len(found) >= limit:
            reading.stop()
        return set()

    reading.run(visit)
    return sorted(found, key=lambda letter: letter.sent_at)[:limit]
