"""Claiming a task: what the record of its key says, and what follows from it."""

import copy
import datetime as dt
import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal

import msgspec
from aws_lambda_powertools.utilities.idempotency.exceptions import IdempotencyItemAlreadyExistsError
from msgspec import Struct, field

from celeriac.aws.client import may_have_been_carried_out
from celeriac.leases import counters, crashes, import_notes, progress, tombstones
from celeriac.leases.claim import Claim, Found, Record
from celeriac.leases.progress import Moved
from celeriac.leases.result import Kept
from celeriac.leases.states import COMPLETED, DEAD, INPROGRESS, RETRYING, has_begun
from celeriac.leases.store import FencedStore, store
from celeriac.model import names, settings
from celeriac.model.errors import Signal
from celeriac.model.failure import Failure, RecordedFailure
from celeriac.model.stop import Stop

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.type_defs import TransactWriteItemTypeDef


LOOK_AGAIN = dt.timedelta(seconds=30)
"""After so long a message comes again whose key another one holds between two runs."""


class AlreadyUsed(Signal):
    """The key was used before, and this message is to be dropped. `record` is the key's record."""

    def __init__(self, record: Record) -> None:
        super().__init__("the key was used before")
        self.record = record


class AlreadyDone(AlreadyUsed):
    """The task has succeeded before."""


class AlreadyDead(AlreadyUsed):
    """The task is a dead letter, and this copy of its message is not the redriven one."""


class AlreadyCancelled(AlreadyUsed):
    """The message is cancelled. The record may be of another message of the key."""


class AlreadyTried(AlreadyUsed):
    """This attempt has failed before. The message of the next attempt exists already."""


class Busy(Signal):
    """Another worker holds the lease until `until`, or another message of the key goes first.

    of: the id of the message that holds the record, if it is known.
    """

    def __init__(self, until: dt.datetime, *, of: str = "") -> None:
        super().__init__(f"another worker holds the lease until {until:%H:%M:%S}")
        self.until, self.of = until, of


class TooEarly(Signal):
    """The next attempt is due at `until`, and SQS has delivered the message before."""

    def __init__(self, until: dt.datetime) -> None:
        super().__init__(f"the next attempt is due at {until:%H:%M:%S}")
        self.until = until


class Unanswered(Signal):
    """AWS hasn't said whether the claim succeeded. `undo` takes it back. The cause is AWS's error."""

    def __init__(self, undo: Callable[[], None]) -> None:
        super().__init__("AWS has not answered whether the claim succeeded")
        self.undo = undo


class CrashSuspected(Signal):
    """The last worker of this key died during its run. It may have run another message of the key."""

    def __init__(self, found: Record, task_id: str, *, is_own: bool) -> None:
        super().__init__("the last worker of this key died during the run")
        self.found = found
        """The record that the claim met. A take-over replaces this record and no other."""
        self.deaths_alone = crashes.before(found, task_id) + (int(found.get("crashes", 0)) if is_own else 0)
        """How many workers died while they ran this message, and nothing else."""
        self.deaths = int(found.get("deaths", 0)) + 1 if is_own else self.deaths_alone
        """How many workers died while they ran this message."""


type Unsent = Literal["retry", "uncharged", "dead"]
"""What a run has decided and could not send: a retry, an uncharged retry, or a dead letter."""


class EndedUnsent(Signal):
    """The task ran and failed. Its worker could not send what follows, so this worker must."""

    def __init__(self, found: Record) -> None:
        super().__init__("the run has ended, and what follows was not sent")
        self.found = found
        self.unsent: Unsent = found["unsent"]
        self.failure = msgspec.json.decode(found["failure"], type=Failure)
        self.due = _instant(found["retry_at"])
        """When the next run is to start."""


class Lease(Struct):
    """One worker's claim on one task."""

    _store: FencedStore
    attempt: int
    """The number of this attempt, as the record counts it."""
    last_failure: Failure | None = None
    """How the attempt before this one failed; None if the record doesn't say."""
    in_transaction: bool = field(default=False)
    """Set while the run's one transaction is open."""
    committed: bool = field(default=False)
    """Set by the transaction that committed the task's effects and its success."""
    cursor: str | None = None
    """The cursor that is saved for the run's arguments, as JSON."""
    moved: Moved = Moved()
    """How far the message has come in its life."""
    checkpoints: int = 0
    """How many checkpoints the record has had, and this run has tried."""
    has_moved: bool = False
    """Whether the cursor has moved in this run."""
    iterating: int = 0
    """How many loops of `ctx.iterate` have given the task an item that isn't done."""
    is_unsure: bool = False
    """Whether a transaction of this run may have saved its cursor, and it isn't known whether it has."""
    has_failed_to_save: bool = False
    """Whether AWS couldn't be reached for a checkpoint of this run."""
    told_at: dt.datetime = field(default_factory=lambda: dt.datetime.now(dt.UTC))
    """When progress was last written, or when the claim succeeded."""
    begun_at: dt.datetime = field(default_factory=lambda: dt.datetime.now(dt.UTC))
    """When the claim succeeded."""
    stop: Stop = field(default_factory=Stop)
    """Whether somebody has cancelled the message."""
    must_keep_result: bool = False
    """Whether the next step of a chain takes the result."""
    kept: Kept | None = None
    """The result with which the success is recorded; None if this run hasn't recorded one."""

    @property
    def is_of_its_key(self) -> bool:
        """Whether the record belongs to the task's idempotency key. Only such a record says how the message ended."""
        return not self._store.claim.of_message

    @property
    def redriven(self) -> str:
        """The redrive that started the message's attempts, see `Claim.redriven`; empty if none did."""
        return self._store.redriven

    @property
    def has_begun_before(self) -> bool:
        """Whether a worker has begun the message before this one."""
        return has_begun(self._store.found, self._store.claim.task_id)

    @property
    def replaced(self) -> tuple[str, Failure] | None:
        """Id and failure of another message of this key whose dead letter the record remembered until this claim."""
        found = self._store.found
        if (
            found.get("status") != DEAD
            or found.get("task_id") == self._store.claim.task_id
            or self.last_failure is None
        ):
            return None
        return str(found["task_id"]), self.last_failure

    def complete(self, result: Any, *, not_kept: str = "") -> None:
        """Record success. `result` must be JSON; `not_kept` says why it is None. Raises LeaseLostError."""
        self._store.not_kept, self.kept = not_kept, Kept(result, not_kept)
        self._store.save_success(data=self._store.claim.key, result=result)  # type: ignore[arg-type]  # any JSON value

    def retrying(
        self, failure: Failure, due: dt.datetime | None = None, *, charged: bool = True, continues: bool = False
    ) -> None:
        """Record a failed attempt, and release the key for the next attempt or, uncharged, the next run.

        due: when the next run is to start. continues: the run is one part of several, as is one that fails after its
        cursor has moved. Raises LeaseLostError.
        """
        moved = self.moved._replace(parts=self.moved.parts + 1) if continues or self.has_moved else None
        self._store.fail(RETRYING, failure, due, charged=charged, moved=moved)

    def dead(self, failure: Failure) -> None:
        """Record that the message is a dead letter. Raises LeaseLostError."""
        self._store.fail(DEAD, failure)

    def will_tell(self, progress: str) -> None:
        """Let the next write of this run bring its progress along, which is JSON."""
        self._store.told = f"{self._store.claim.task_id} {progress}"

    def tell(self) -> None:
        """Write the progress. Raises LeaseLostError, and AWS's errors."""
        self.hear(self._store.tell())

    def cancelled(self, failure: Failure) -> None:
        """Record that the run was stopped: the message doesn't run any more. Raises LeaseLostError."""
        self._store.fail(DEAD, failure, charged=False)

    @property
    def place(self) -> Any:
        """The table and the key of its record, as arguments of a call."""
        return self._store.place

    def hear(self, record: Record) -> None:
        """Ask the run to stop if its record says that the message is cancelled."""
        task_id = self._store.claim.task_id
        if record.get("token") == self._store.token and tombstones.names(record, task_id):
            said = tombstones.cancellation(record, task_id)
            self.stop.ask(said.text if said is not None else "")

    def note_unsent(self, unsent: Unsent, failure: Failure, due: dt.datetime) -> None:
        """Record how the run ended before the message is handed back: what follows couldn't be sent.

        Raises LeaseLostError.
        """
        self._store.note_unsent(unsent, failure, due)

    def renew(self, until: dt.datetime) -> None:
        """Hold the lease until then. Raises LeaseLostError if it is another worker's, or the run has ended."""
        self._store.renew(until)

    def release(self) -> None:
        """Give the claim back: the task was not started. Raises LeaseLostError."""
        self._store.release(self.last_failure)

    def completion(self, result: Any, *, not_kept: str = "") -> "TransactWriteItemTypeDef":
        """The write of `complete`, as an action of a transaction."""
        self._store.not_kept, self.kept = not_kept, Kept(result, not_kept)
        return self._store.completion(result)

    def counted(self, attempt: int) -> int:
        """Which attempt it is, counted from the last one in which the cursor moved."""
        return max(attempt - max(self.moved.attempt - 1, 0), 1)

    def checkpoint(self, cursor: str) -> None:
        """Save a cursor, as JSON. Raises LeaseLostError, and AWS's errors."""
        self.checkpoints += 1
        record = self._store.checkpoint(cursor, self.checkpoints, self._moved_now)
        self.told_at = dt.datetime.now(dt.UTC)
        self.has_saved(cursor)
        self.hear(record)

    def checkpointing(self, cursor: str) -> "TransactWriteItemTypeDef":
        """The write of `checkpoint`, as an action of a transaction. Call `has_saved` once it is carried out."""
        self.checkpoints += 1
        return self._store.checkpointing(cursor, self.checkpoints, self._moved_now)

    def has_saved(self, cursor: str) -> None:
        """Note that a cursor is saved."""
        self.has_moved = self.has_moved or cursor != self.cursor
        self.cursor, self.moved = cursor, self._moved_now

    def is_saved(self) -> bool:
        """Whether the record has the last checkpoint of this run. The read is strongly consistent."""
        record = self._store.read(self._store.claim.key)
        return progress.is_written(record, self.checkpoints, self._store.token)

    @property
    def _moved_now(self) -> Moved:
        return self.moved._replace(attempt=self.attempt)

    def is_completed(self) -> bool:
        """Whether the record says that this claim succeeded. The read is strongly consistent."""
        record = self._store.read(self._store.claim.key)
        return record.get("status") == COMPLETED and record.get("token") == self._store.token


def claim(wanted: Claim) -> Lease:
    """Claim a task for this worker.

    Raises AlreadyDone for a duplicate of a success, AlreadyCancelled, AlreadyTried for a stray copy of a failed
    attempt, AlreadyDead for a stray copy of a dead letter, Busy while another worker may run the task, TooEarly on a
    FIFO queue before the next attempt is due, EndedUnsent if its last worker couldn't send what follows, and
    CrashSuspected if its last worker died during the run: `take_over` claims such a task. Raises AWS's errors, and
    Unanswered if the claim may have succeeded.
    """
    attempted = _new_store(wanted)
    attempted.deaths_alone = int(wanted.alone)
    if _put(attempted):
        return _lease(attempted)
    found, status = attempted.found, attempted.found.get("status")
    if status == COMPLETED:
        raise AlreadyDone(found)
    if wanted.comes_back and counters.has_ended(found, wanted.mark):
        raise AlreadyDead(
            Record(task_id=wanted.task_id)
        )  # the record is of another message, so its arguments don't count
    if status == DEAD and found.get("task_id") == wanted.task_id and not wanted.redriven:
        raise AlreadyDead(found)  # also if it ended as cancelled: that is told once
    if tombstones.forbids(found, wanted) and not _is_held(found):
        raise AlreadyCancelled(found)
    if progress.is_of_another(found, wanted) and not _is_held(found):
        due = _instant(found["retry_at"]) if "retry_at" in found else dt.datetime.now(dt.UTC)
        raise Busy(max(due, dt.datetime.now(dt.UTC) + LOOK_AGAIN), of=str(found["task_id"]))
    if status == RETRYING:
        # A message that was dead-lettered without a run, by quarantine for example, left the record unchanged. A
        # redrive of it starts with fresh attempts, once for all of its copies.
        if not wanted.redriven or wanted.redriven == found.get("redriven"):
            if wanted.comes_back:
                raise TooEarly(_instant(found["retry_at"]))
            raise AlreadyTried(found)
        return _claim_after(attempted, found)
    if status == DEAD:
        if not _brings_back(wanted, found):
            raise AlreadyDead(found)
        return _claim_after(attempted, found)
    return _claim_in_progress(attempted, found)


def _claim_in_progress(attempted: FencedStore, found: Record) -> Lease:
    wanted = attempted.claim
    is_of_message = found.get("task_id") == wanted.task_id
    is_own = is_of_message and wanted.redriven in {"", found.get("redriven", "")}
    if "unsent" in found:
        if wanted.once and not is_own:
            raise AlreadyDead(found)
        if not is_own:
            return _claim_after(attempted, found)
    elif (expiry := _instant(found.get("in_progress_expiration", 0))) >= dt.datetime.now(dt.UTC):
        raise Busy(expiry, of=str(found.get("task_id", "")))
    if is_own and not wanted.comes_back:
        ran = (int(found.get("attempt", 0)), int(found.get("step", 0)))
        if ran < (wanted.attempt, wanted.step):
            # The message of a later run exists. So the run has ended, and only its record couldn't be written.
            return _claim_after(attempted, found)
        if ran > (wanted.attempt, wanted.step):
            raise AlreadyTried(found)
    if "unsent" in found:
        raise EndedUnsent(found)
    # Two dead letters of one message may both be redriven. What it kills counts for both: else they would take the
    # record over from each other, and start to count again, for ever.
    raise CrashSuspected(found, wanted.task_id, is_own=is_of_message)


def _is_held(found: Record) -> bool:
    """Whether a worker holds the lease, so that what becomes of its run isn't known yet."""
    if found.get("status") != INPROGRESS or "unsent" in found:
        return False
    return _instant(found.get("in_progress_expiration", 0)) >= dt.datetime.now(dt.UTC)


def take_over(wanted: Claim, suspect: CrashSuspected) -> Lease:
    """Claim a task of whose key the last worker died during the run.

    Raises Busy if the record is no longer the one that `suspect` met: another worker was faster.
    """
    attempted = _new_store(wanted)
    attempted.deaths_alone = suspect.deaths_alone + int(wanted.alone)
    attempted.deaths = suspect.deaths
    return _claim_after(attempted, suspect.found)


def resume(wanted: Claim, ended: EndedUnsent) -> Lease:
    """Claim a run that has ended, to send what follows. Raises Busy if the record changed meanwhile."""
    attempted = _new_store(wanted)
    attempted.deaths_alone = int(ended.found.get("crashes", 0))
    attempted.deaths = int(ended.found.get("deaths", 0))
    return _claim_after(attempted, ended.found)


def _claim_after(attempted: FencedStore, found: Record) -> Lease:
    """Replace the record that was found. Raises Busy if the record changed meanwhile."""
    attempted.after = Found(str(found["token"]), str(found["status"]), found.item)
    attempted.redriven = str(found.get("redriven", ""))
    attempted.crashes_of_others = crashes.of_others(found, attempted.claim.task_id)
    if not _put(attempted):
        if tombstones.forbids(attempted.found, attempted.claim) and not _is_held(attempted.found):
            raise AlreadyCancelled(attempted.found)
        raise Busy(dt.datetime.now(dt.UTC))
    return _lease(attempted)


def look_up(task: str, key: str, retention: dt.timedelta) -> Record:
    """The record of a task's key, by a strongly consistent read; empty if there is none."""
    return store(task, names.idempotency_table(settings.stage()), retention).read(key)


def forget(task: str, key: str, retention: dt.timedelta, seen: Mapping[str, Any]) -> bool:
    """Delete the record of a task's key, so that its next message runs. False if it isn't as `seen` any more.

    What the record says of cancelled messages stays: they don't run.
    """
    held = store(task, names.idempotency_table(settings.stage()), retention)
    if "status" not in seen:
        return True  # a mere tombstone
    return held.delete(key, seen)


def _instant(milliseconds: str | int) -> dt.datetime:
    return dt.datetime.fromtimestamp(int(milliseconds) / 1000, dt.UTC)


def _new_store(wanted: Claim) -> FencedStore:
    """A store for one claim. Stores share client and configuration, and no state of a claim."""
    made = copy.copy(store(wanted.task, names.idempotency_table(settings.stage()), wanted.retention))
    made.claim, made.token = wanted, os.urandom(12).hex()
    return made


def _put(attempted: FencedStore) -> bool:
    left = max(attempted.claim.until - dt.datetime.now(dt.UTC), dt.timedelta())
    try:
        attempted.save_inprogress(attempted.claim.key, int(left / dt.timedelta(milliseconds=1)))  # type: ignore[arg-type]  # any JSON value
    except IdempotencyItemAlreadyExistsError:
        return False
    except Exception as error:
        if may_have_been_carried_out(error):
            raise Unanswered(attempted.undo) from error
        raise
    return True


def _lease(attempted: FencedStore) -> Lease:
    """The lease of a successful claim.

    The message says which attempt this is. On a FIFO queue the same message comes back, so the record counts.
    """
    found, wanted = attempted.found, attempted.claim
    failed = int(found.get(wanted.counter, 0)) if wanted.comes_back else 0
    attempted.attempt = failed + 1 if wanted.comes_back else wanted.attempt
    before = msgspec.json.decode(found["failure"], type=RecordedFailure) if "failure" in found else None
    held = Lease(
        attempted,
        attempted.attempt,
        before,
        cursor=progress.cursor_in(found, wanted),
        moved=progress.moved_in(found, wanted),
        checkpoints=progress.checkpoints_in(found),
    )
    held.hear(found)  # after a lost answer it is the record as this claim has written it
    return held


def _brings_back(wanted: Claim, found: Record) -> bool:
    """Whether the redriven letter is the one that the record remembers, or the first copy of an imported letter."""
    failure = wanted.redriven_from
    if failure is None:
        return False
    if failure.imported and (mark := import_notes.latest(wanted.task, wanted.task_id)):
        return failure.imported == mark and wanted.redriven != found.get("redriven")
    remembered = msgspec.json.decode(found["failure"], type=Failure)
    return (failure.last_at, failure.request_id) == (remembered.last_at, remembered.request_id)
