"""Claims a message's task, or finds the outcome of a message whose task must not run now."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec.structs import replace

from celeriac.consume import outage, visiting
from celeriac.consume.decide import unsent
from celeriac.consume.duplicate import dropped
from celeriac.consume.insist import while_there_is_time
from celeriac.consume.outcome import Dead, HandedBack, Outcome, RunAlone
from celeriac.consume.received import Received, failure
from celeriac.consume.report import log_lost_worker
from celeriac.consume.unrun import waited_for_another
from celeriac.declare.key import Key
from celeriac.declare.task import Task
from celeriac.execute.threads import left_behind
from celeriac.leases import lease
from celeriac.leases.argument_hashes import ArgumentHashes
from celeriac.leases.claim import MESSAGE, Claim
from celeriac.model.failure import Failure
from celeriac.model.message import Message
from celeriac.model.reason import Reason
from celeriac.observe import metrics
from celeriac.observe.running import RunInfo

# A thousand waits of this length are three days. Once the other one is done, the group stands still so long at most.
LONGEST_WAIT_FOR_OTHERS = timedelta(minutes=5)


def claimed_key(task: Task[..., Any, Any], key: Key, message: Message) -> str:
    """The key of the record that a message's task claims."""
    # Messages of an at_least_once task don't exclude each other. But a message that SQS delivers again may have crashed
    # its worker.
    return key.full if task.guarantee != "at_least_once" else _key_of(message)


def _key_of(message: Message) -> str:
    """The key of a record about one run of a message, also of its fresh copies. A redriven one has another date."""
    return f"{message.id} {message.enqueued_at} {message.turn}"


def wanted_claim(
    task: Task[..., Any, Any],
    key: Key,
    message: Message,
    redriven_from: Failure | None,
    received: Received,
    *,
    hashes: ArgumentHashes | None,
) -> Claim:
    """The claim of a message's task."""
    return replace(
        claim_of_message(task, message, redriven_from, received),
        key=claimed_key(task, key, message),
        hashes=hashes,
        of_message=task.guarantee == "at_least_once",
        key_from=MESSAGE if key.is_chosen else "",
        once=task.guarantee == "at_most_once",
        history=received.queue.history and task.guarantee != "at_least_once",
    )


def claim_of_message(
    task: Task[..., Any, Any], message: Message, redriven_from: Failure | None, received: Received
) -> Claim:
    """The claim of a message whose key isn't known. Its record counts deaths and failed attempts of this run."""
    return Claim(
        task=task.name,
        key=_key_of(message),
        task_id=message.id,
        attempt=message.attempt,
        step=message.step,
        of_message=True,
        until=received.worker.lease_until,
        retention=received.queue.record_retention,
        message_lives=received.queue.retention,
        # A call that overran and still runs in the background may be the one that crashes the worker.
        alone=received.alone and not left_behind(),
        redriven_from=redriven_from,
        comes_back=received.queue.fifo,
        request_id=received.worker.request_id,
        is_first=not received.queue.fifo and received.sqs_record.is_first_receive and message.turn == "1",
    )


def claimed(
    task: Task[..., Any, Any], message: Message, original: Message, wanted: Claim, received: Received
) -> lease.Lease | Outcome | RunAlone:
    """The lease, or the outcome. `original` is the message as it came, for a hand-back. Raises AWS's errors."""
    try:
        held = _claimed(task, message, original, wanted, received)
        if received.worker.held is not None and isinstance(held, lease.Lease):
            received.worker.held.take(received.sqs_record.message_id, held)
        return held
    except lease.Unanswered as lost:
        # The task was not started. The claim would look like a crash, and to an at_most_once task like a run.
        with suppress(Exception):
            while_there_is_time(lost.undo, received.worker)
        raise lost.__cause__ or lost from None


def _claimed(
    task: Task[..., Any, Any], message: Message, original: Message, wanted: Claim, received: Received
) -> lease.Lease | Outcome | RunAlone:
    try:
        return _claim(task, message, wanted, received)
    except lease.AlreadyUsed as used:
        return dropped(task, message, used, wanted, received)
    except lease.Busy as busy:
        return _waits(busy, message, original, received)
    except lease.TooEarly as early:
        return HandedBack("its next attempt isn't due yet", early.until, original)
    except lease.EndedUnsent as ended:
        return _resumed(task, message, wanted, ended, original, received)


def _waits(busy: lease.Busy, message: Message, original: Message, received: Received) -> Outcome:
    """The outcome of a message whose key is another worker's, or another message's.

    On a FIFO queue it stays in the queue, and each wait is a receive. SQS would move it without a reason after the last
    one, and delete it at the end of its retention.
    """
    until = busy.until
    if received.queue.fifo and busy.of not in {"", message.id}:
        until = max(until, datetime.now(UTC) + outage.growing(received.sqs_record.receives, LONGEST_WAIT_FOR_OTHERS))
        if outage.is_over(received) or until > received.must_end_by:
            return Dead(original, waited_for_another(busy.of, original, received))
    return HandedBack("another worker is running it", until, original)


def _resumed(  # noqa: PLR0917 - the arguments are those of its only caller
    task: Task[..., Any, Any],
    message: Message,
    wanted: Claim,
    ended: lease.EndedUnsent,
    original: Message,
    received: Received,
) -> Outcome:
    """The outcome of a run that another worker has ended and could not settle. The task doesn't run again."""
    try:
        held = lease.resume(wanted, ended)
    except lease.Busy as busy:
        return HandedBack("another worker is settling it", busy.until, original)
    except lease.AlreadyCancelled as used:
        return dropped(task, message, used, wanted, received)
    return unsent(replace(message, attempt=held.attempt), ended, held)


def _claim(
    task: Task[..., Any, Any], message: Message, wanted: Claim, received: Received
) -> lease.Lease | Dead | RunAlone:
    """The lease, or the outcome of a task whose last worker died during the run. Raises what `lease.claim` raises."""
    try:
        return lease.claim(wanted)
    except lease.CrashSuspected as suspect:
        verdict = _verdict(task, suspect, received)
        if verdict is None and not received.alone:
            return RunAlone(suspect.deaths_alone)
        held = lease.take_over(wanted, suspect)
        _tell_of_lost_worker(task, held, suspect, wanted, received)
        if verdict is None:
            return held
        reason, why = verdict
        its = replace(message, attempt=held.attempt)
        return Dead(message, failure(reason, visiting.WorkerCrashedError(why), its, received), held)


def _verdict(task: Task[..., Any, Any], suspect: lease.CrashSuspected, received: Received) -> tuple[Reason, str] | None:
    """Why a task whose last worker died must not run again; None if it may."""
    if task.guarantee == "at_most_once":
        return Reason.INTERRUPTED, "its worker died during the run; whether the work was done is unknown"
    if suspect.deaths_alone >= visiting.MOST_DEATHS_ALONE:
        return Reason.WORKER_LOST, f"{suspect.deaths_alone} workers died while they ran it alone"
    receives, most = received.sqs_record.receives, received.queue.receive_limit
    if suspect.deaths_alone and 2 * receives >= most:
        # What moves on after each death isn't bounded by them. Later SQS would move it, without a reason.
        return Reason.WORKER_LOST, f"its workers die again and again: {receives} receives of {most} are used up"
    return None


def _tell_of_lost_worker(
    task: Task[..., Any, Any], held: lease.Lease, suspect: lease.CrashSuspected, wanted: Claim, received: Received
) -> None:
    # The record may be of another message of the key: it is that one whose worker died.
    died = str(suspect.found.get("task_id", wanted.task_id))
    run = RunInfo(task.name, died, held.attempt, received.worker.request_id)
    log_lost_worker(run, received.queue.name, deaths_alone=int(suspect.found.get("crashes", 0)))
    metrics.count_lost_worker(received.queue.name, task.name)
