"""Redrive dead letters: each letter is sent first and deleted after that.

So an interruption loses no letter, and the same command finishes the rest. A letter that was sent and not deleted is
sent twice. Its task's record lets it run only once.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from threading import Lock

from botocore.exceptions import ClientError

from celeriac.aws import sqs
from celeriac.aws.client import error_code
from celeriac.aws.refusals import Refusal
from celeriac.declare.signature import InvalidArgumentsError
from celeriac.model.failure import error_type
from celeriac.model.queue import Queue
from celeriac.model.settings import stage
from celeriac_console.dlq.queue_reader import Pass, Taken, delete
from celeriac_console.dlq.redrive_entry import Change, entry
from celeriac_console.rate import Rate
from celeriac_console.terminal.errors import UserError
from celeriac_console.terminal.text import line


@dataclass(slots=True)
class Redriver:
    """Visits letters, and sends those that `is_meant` selects to `target`."""

    reading: Pass
    target: Queue
    is_meant: Callable[[Taken], bool]
    change: Change
    pace: Rate
    most: int | None
    """The most letters to send; None for no limit."""
    would_send: Callable[[Sequence[Taken]], None] | None
    """For a dry run: called with the letters that would be sent, and nothing is sent."""
    advance: Callable[[int], object]
    seen: int = 0
    matched: int = 0
    redriven: int = 0
    unsent: list[str] = field(default_factory=list)
    """The letters that couldn't be sent, each with the reason."""
    undeleted: list[str] = field(default_factory=list)
    """The letters that were sent and couldn't be deleted, so they may be sent twice."""
    stayed: int = 0
    """The number of letters that stay because another letter of the same task and id was chosen."""
    _chosen: set[tuple[str, str, str]] = field(default_factory=set)
    _settled: set[str] = field(default_factory=set)
    """SQS's ids of the letters that stay. A further pass leaves them alone."""
    _kept: dict[str, str] = field(default_factory=dict)
    """SQS's ids of the letters in `undeleted`, with their lines there. A further pass deletes them."""
    _lock: Lock = field(default_factory=Lock)

    @property
    def problems(self) -> list[str]:
        """The letters that couldn't be sent, and those that couldn't be deleted, each with the reason."""
        return [*self.unsent, *self.undeleted]

    def visit(self, taken: Sequence[Taken]) -> set[str]:
        """Send the selected letters and delete those that were sent. Returns the message ids of the deleted ones."""
        deleted = self._delete([one for one in taken if one.message_id in self._kept])
        meant = self._choose([one for one in taken if self._is_open(one) and self.is_meant(one)])
        with self._lock:
            self.seen += len(taken)
        self.advance(len(taken) - len(meant))
        try:
            for some in self._entries(meant):
                if self.would_send is not None:
                    self.would_send([one for one, _ in some])
                else:
                    deleted |= self._send(some)
                self.advance(len(some))
        except BaseException:
            self._reopen([one for one in meant if one.message_id not in deleted and self._is_open(one)])
            raise
        return deleted

    def _is_open(self, one: Taken) -> bool:
        """Whether it isn't decided yet what becomes of the letter."""
        return one.message_id not in self._settled and one.message_id not in self._kept

    def _reopen(self, unsent: Sequence[Taken]) -> None:
        """An error came before these letters were sent. So another pass may send them."""
        with self._lock:
            self._chosen -= {which(one) for one in unsent}
            self.matched -= len(unsent)

    def _choose(self, meant: Sequence[Taken]) -> list[Taken]:
        with self._lock:
            chosen: list[Taken] = []
            for one in meant:
                if self.most is not None and self.matched + len(chosen) >= self.most:
                    break
                # A letter that died again during this redrive is not sent again, else a redrive might never end. Each
                # import of a letter is sent, because only the latest import runs, in whatever order they arrive.
                this = which(one)
                if this in self._chosen:
                    self.stayed += 1
                    self._settled.add(one.message_id)
                else:
                    self._chosen.add(this)
                    chosen.append(one)
            self.matched += len(chosen)
            if self.most is not None and self.matched >= self.most:
                self.reading.stop()
        return chosen

    def _entries(self, taken: Sequence[Taken]) -> list[list[tuple[Taken, sqs.Entry]]]:
        """The messages to send, in batches that SQS accepts. A letter that can't be sent stays, with a noted reason."""
        ready: list[tuple[Taken, sqs.Entry]] = []
        for one in taken:
            try:
                ready.append((one, entry(one, self.target, self.change)))
            except (InvalidArgumentsError, UserError) as error:
                self._stays(one, str(error))
            except Exception as error:  # noqa: BLE001 - one letter must not stop the others; the user is told which one
                self._stays(one, f"{error_type(error)}: {error}")
        return [[ready[i] for i in positions] for positions in sqs.batches([made.size for _, made in ready])]

    def _stays(self, one: Taken, why: str) -> None:
        with self._lock:
            self.unsent.append(f"{line(one.letter.id)}: {why}")
            self._settled.add(one.message_id)

    def _send(self, some: Sequence[tuple[Taken, sqs.Entry]]) -> set[str]:
        self.pace.wait(len(some))
        refused = _sent(self.target.physical_name(stage()), [made for _, made in some])
        sent = [one for (one, _), problem in zip(some, refused, strict=True) if problem is None]
        with self._lock:  # before the deletion, which may fail: these letters are sent
            self.redriven += len(sent)
            self._kept |= {one.message_id: _said_of_kept(one) for one in sent}
        for (one, _), problem in zip(some, refused, strict=True):
            if problem is not None:
                self._stays(one, problem.why)
        try:
            return self._delete(sent)
        finally:
            with self._lock:
                self.undeleted += [self._kept[one.message_id] for one in sent if one.message_id in self._kept]

    def _delete(self, sent: Sequence[Taken]) -> set[str]:
        """Delete letters that were sent. Returns the message ids of the deleted ones."""
        deleted = delete(sqs.url(self.reading.name), sent)
        with self._lock:
            for id_ in deleted:
                said = self._kept.pop(id_)
                if said in self.undeleted:
                    self.undeleted.remove(said)
        return deleted


def which(one: Taken) -> tuple[str, str, str]:
    """What a letter is: of two that are the same, one is sent."""
    failure = one.letter.failure
    return one.letter.task, one.letter.id, failure.imported if failure is not None else ""


def _said_of_kept(one: Taken) -> str:
    return f"{line(one.letter.id)}: sent, and not deleted: it may be sent twice"


def _sent(name: str, entries: Sequence[sqs.Entry]) -> list[Refusal | None]:
    """The refusal of each message; None for a message that SQS took.

    If SQS refuses the whole call because of one message, each message is sent alone.
    """
    try:
        return sqs.send_batch(name, entries)
    except ClientError as error:
        if error_code(error).rpartition(".")[2] not in sqs.FINAL | {"BatchRequestTooLong"}:
            raise
        if len(entries) == 1:
            return [Refusal(str(error), final=True)]
    return [problem for one in entries for problem in _sent(name, [one])]
