"""The run of one message, from its body to its outcome. This module sends nothing."""

from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec
from msgspec.structs import replace

from celeriac.aws import payloads
from celeriac.consume import quarantine, visiting
from celeriac.consume.decide import failed, unsent
from celeriac.consume.duplicate import dropped, key_in_use
from celeriac.consume.insist import while_there_is_time
from celeriac.consume.outcome import Dead, HandedBack, Outcome, RunAlone, Skipped, Succeeded
from celeriac.consume.received import Received, as_it_came, failure
from celeriac.consume.report import log_lost_worker
from celeriac.consume.unrun import given_up, invalid, misplaced, missed, newer, quarantined, too_late, unknown
from celeriac.declare import registry
from celeriac.declare.context import Context
from celeriac.declare.key import Key
from celeriac.declare.signature import InvalidArgumentsError
from celeriac.declare.task import Task
from celeriac.execute import ending
from celeriac.execute.call import Call, TaskCalls, TaskTimeoutError
from celeriac.execute.threads import left_behind
from celeriac.leases import lease
from celeriac.leases.argument_hashes import ArgumentHashes
from celeriac.leases.claim import MESSAGE, Claim
from celeriac.leases.result import NotStorableError, storable
from celeriac.leases.store import LeaseLostError
from celeriac.leases.visit import Visit
from celeriac.model import foreign, sender
from celeriac.model.failure import Failure, error_type, fingerprint
from celeriac.model.message import MalformedMessageError, Message, NewerVersionError
from celeriac.model.payload import PayloadError
from celeriac.model.reason import Reason
from celeriac.observe import metrics
from celeriac.observe.log import logger
from celeriac.observe.running import RunInfo

TAKEN_OVER = HandedBack("its lease ran out, another worker has taken over")


@dataclass(frozen=True, slots=True)
class _Ready:
    """A task that is claimed and may start."""

    task: Task[..., Any, Any]
    message: Message
    arguments: dict[str, Any]
    held: lease.Lease | None = None


def run(received: Received) -> TaskCalls[tuple[Message | None, Outcome]]:
    """Decode a message, find its task, validate, run, and return the outcome.

    The message is None if its body can't be read or wasn't touched. The generator yields the call of the task's
    function; its driver makes the call.

    Raises only AWS's errors (the store of leases or payloads can't be reached): the message is then handed back,
    uncharged.
    """
    visit = visiting.begin(received)
    if not (visit is None or isinstance(visit, Visit)):
        return None, visit
    try:
        message, prepared = yield from _prepared(received)
    except Exception:
        if visit is not None:
            visit.close()
        raise
    if visit is not None:
        visit.close()
    return message, ((yield from _attempt(prepared, received)) if isinstance(prepared, _Ready) else prepared)


def _prepared(received: Received) -> TaskCalls[tuple[Message | None, Outcome | _Ready]]:
    """Everything before the task's function: the message, and its outcome if the task must not start."""
    record = received.record
    try:
        message = as_it_came(record)
    except MalformedMessageError as error:
        if foreign.is_test_event(record.body):
            return None, Skipped("test_event")
        return None, Dead(None, failure(Reason.MALFORMED, error, record, received))
    except NewerVersionError as error:
        return None, newer(error, received)
    return message, (yield from _claimed(message, received))


def _claimed(message: Message, received: Received) -> TaskCalls[Outcome | _Ready]:
    task = registry.tasks.get(message.task)
    if task is None:
        return unknown(message, received)
    record, queue = received.record, received.queue
    if not task.runs_from(queue):
        return misplaced(task, message, received)
    received.observed.task = task.name
    original, redriven_from = message, message.failure
    if redriven_from is not None:
        # A redriven dead letter starts with fresh attempts, whichever tool redrove it.
        message = replace(
            message, attempt=1, step=0, waits_since=None, due_at=None, failure=None, enqueued_at=record.sent_at
        )
    try:
        raw, arguments = yield from _arguments(task, message, received)
        key = task.key_of(arguments, message, raw)
    except (InvalidArgumentsError, PayloadError) as error:
        return invalid(error, original, received)
    except TaskTimeoutError as error:
        return failed(task, message, error, None, received)
    received.observed.key = key.full
    if missed(task, message):
        return Skipped("missed")
    if quarantine.holds(quarantine.of_task(task.name)):
        return Dead(message, quarantined(f"the task {task.name!r}", message, received))
    if (why := ending.reason()) is not None:
        return HandedBack(f"the worker ends: {why}", datetime.now(UTC), original)
    # A task that can't end in time isn't started. One without a timeout is taken to need half of its queue's timeout.
    # The first task of an invocation always starts: no other invocation would have more time for it.
    worker = received.worker
    needed = min(task.timeout or queue.timeout / 2, queue.timeout - 2 * worker.margin)
    if worker.has_started and worker.left < needed:
        return HandedBack("no time left in this invocation", datetime.now(UTC), original)
    worker.has_started = True
    key = key_in_use(key, task, message)
    received.observed.key = key.full
    message = key.carried_by(message)
    # On a FIFO queue the same message is retried: only a record tells whether an attempt was charged.
    if task.guarantee == "at_least_once" and record.receives == 1 and not queue.fifo:
        late = given_up(task, message, received)
        return Dead(message, late) if late is not None else _Ready(task, message, arguments)
    hashes = task.signature.hashes(raw, arguments)
    wanted = _wanted(task, key, message, redriven_from, received, hashes=hashes)
    before_claim = worker.left
    try:
        held = _claim(task, message, wanted, received)
    except lease.AlreadyUsed as used:
        return dropped(task, message, used, wanted, received)
    except lease.Busy as busy:
        return HandedBack("another worker is running it", busy.until, original)
    except lease.TooEarly as early:
        return HandedBack("its next attempt isn't due yet", early.until, original)
    except lease.EndedUnsent as ended:
        return _resumed(message, wanted, ended, original)
    if not isinstance(held, lease.Lease):
        return held
    received.observed.replaced = held.replaced
    message = replace(message, attempt=held.attempt)
    if queue.fifo and datetime.now(UTC) > received.must_end_by:
        return Dead(message, too_late(message, received), held)
    if (late := given_up(task, message, received)) is not None:
        return Dead(message, late, held)
    before = held.last_failure
    if before is not None and quarantine.holds(quarantine.of_failure(fingerprint(task.name, before))):
        return Dead(message, quarantined(f"this kind of failure, {before.type},", message, received), held)
    if worker.left < needed and before_claim - worker.left > worker.margin:
        # The claim took too long. The task would be cut off, so the next invocation runs it.
        with suppress(LeaseLostError):
            held.release()
        return HandedBack("its claim took too long", datetime.now(UTC), original)
    return _Ready(task, message, arguments, held)


def _arguments(
    task: Task[..., Any, Any], message: Message, received: Received
) -> TaskCalls[tuple[bytes | msgspec.Raw, dict[str, Any]]]:
    """The arguments of the task, as JSON and as values.

    Raises InvalidArgumentsError, PayloadError, TaskTimeoutError, and AWS's errors.
    """
    record = received.record

    def read() -> tuple[bytes | msgspec.Raw, dict[str, Any]]:
        raw = payloads.load(record.queue_name, message.stored) if message.stored else message.args
        arguments = task.signature.decode(raw)
        _refuse_misplaced(task, arguments, record.body)
        return raw, arguments

    if task.signature.is_plain and not message.stored:
        return read()
    # A validator of the user's, a regular expression or S3 may take long. The thread's watch cuts this off.
    its = RunInfo(task.name, message.id, message.attempt, received.worker.request_id)
    left = received.worker.left
    result, error = yield Call(read, (), {}, left, its, left)
    if error is not None:
        raise error
    found: tuple[bytes | msgspec.Raw, dict[str, Any]] = result
    return found


def _resumed(message: Message, wanted: Claim, ended: lease.EndedUnsent, original: Message) -> Outcome:
    """The outcome of a run that another worker has ended and could not settle. The task doesn't run again."""
    try:
        held = lease.resume(wanted, ended)
    except lease.Busy as busy:
        return HandedBack("another worker is settling it", busy.until, original)
    return unsent(replace(message, attempt=held.attempt), ended, held)


def _wanted(
    task: Task[..., Any, Any],
    key: Key,
    message: Message,
    redriven_from: Failure | None,
    received: Received,
    *,
    hashes: ArgumentHashes | None,
) -> Claim:
    full = key.full
    if task.guarantee == "at_least_once":
        # Messages of an at_least_once task don't exclude each other. But a message that SQS delivers again may have
        # crashed its worker. The record keeps this for the run, also in a fresh copy of the message; a redrive has
        # another date, so it starts without it.
        full = f"{message.id} {message.enqueued_at} {message.turn}"
    return Claim(
        task=task.name,
        key=full,
        task_id=message.id,
        hashes=hashes,
        attempt=message.attempt,
        step=message.step,
        of_message=task.guarantee == "at_least_once",
        key_from=MESSAGE if key.is_chosen else "",
        until=received.worker.deadline,
        retention=received.queue.record_retention,
        # A call that overran and still runs in the background may be the one that crashes the worker.
        alone=received.alone and not left_behind(),
        redriven_from=redriven_from,
        once=task.guarantee == "at_most_once",
        comes_back=received.queue.fifo,
    )


def _claim(
    task: Task[..., Any, Any], message: Message, wanted: Claim, received: Received
) -> lease.Lease | Dead | RunAlone:
    """The lease, or the outcome of a task whose last worker died during the run. Raises what `lease.claim` raises."""
    try:
        return lease.claim(wanted)
    except lease.CrashSuspected as suspect:
        verdict = _verdict(task, suspect)
        if verdict is None and not received.alone:
            return RunAlone(suspect.deaths_alone)
        held = lease.take_over(wanted, suspect)
        _tell_of_lost_worker(task, held, suspect, wanted, received)
        if verdict is None:
            return held
        reason, why = verdict
        its = replace(message, attempt=held.attempt)
        return Dead(message, failure(reason, visiting.WorkerCrashedError(why), its, received), held)


def _verdict(task: Task[..., Any, Any], suspect: lease.CrashSuspected) -> tuple[Reason, str] | None:
    """Why a task whose last worker died must not run again; None if it may."""
    if task.guarantee == "at_most_once":
        return Reason.INTERRUPTED, "its worker died during the run; whether the work was done is unknown"
    if suspect.deaths_alone >= visiting.MOST_DEATHS_ALONE:
        return Reason.WORKER_LOST, f"{suspect.deaths_alone} workers died while they ran it alone"
    return None


def _tell_of_lost_worker(
    task: Task[..., Any, Any], held: lease.Lease, suspect: lease.CrashSuspected, wanted: Claim, received: Received
) -> None:
    run = RunInfo(task.name, wanted.task_id, held.attempt, received.worker.request_id)
    log_lost_worker(run, received.queue.name, deaths_alone=suspect.deaths_alone)
    metrics.count_lost_worker(received.queue.name, task.name)


def _attempt(ready: _Ready, received: Received) -> TaskCalls[Outcome]:
    task, message, arguments, held = ready.task, ready.message, ready.arguments, ready.held
    worker = received.worker
    # The transaction of an `at_least_once` task doesn't depend on a lease: it can't make the task run only once.
    fence = held if task.guarantee != "at_least_once" else None
    group, key = received.record.group, received.observed.key or ""
    context = Context(message.id, key, task.name, message.attempt, worker.deadline, group=group, _lease=fence)
    args = (context,) if task.signature.takes_context else ()
    left = worker.left
    limit = min(task.timeout or left, left)
    received.observed.has_run = True
    if message.turn == "1":
        received.observed.age = datetime.now(UTC) - (message.enqueued_at or received.record.sent_at)
    its = RunInfo(task.name, message.id, message.attempt, worker.request_id)
    result, error = yield Call(task.function, args, arguments, limit, its, left)
    if isinstance(error, LeaseLostError):
        return TAKEN_OVER
    if error is not None:
        if held is not None and held.committed:
            # The transaction wrote the effects and recorded the success: another run would write the effects twice.
            logger.error("raised after its transaction", extra={"task": task.name, "error": error_type(error)})
            return Succeeded(message.attempt)
        return failed(task, message, error, held, received)
    if held is not None and not held.committed:
        kept, not_kept = _kept(task, result)
        try:
            while_there_is_time(lambda: held.complete(kept, not_kept=not_kept), worker)
        except LeaseLostError:
            if held.is_completed():
                return Succeeded(message.attempt)  # an earlier try was carried out, and its answer was lost
            return TAKEN_OVER
    return Succeeded(message.attempt)


def _refuse_misplaced(task: Task[..., Any, Any], arguments: dict[str, Any], body: str) -> None:
    """Raise InvalidArgumentsError for arguments beside `args`: the task would run with its defaults instead."""
    missing = [name for name in task.signature.fields if name not in arguments]
    if missing and (misplaced := sender.misplaced_args(body, missing, Message.__struct_fields__)):
        raise InvalidArgumentsError(
            f"task {task.name!r}: its parameters {', '.join(misplaced)} stand beside `args`: write them into it"
        )


def _kept(task: Task[..., Any, Any], result: Any) -> tuple[Any, str]:
    """The result to keep, or None and why it can't be kept. The work is done and must not be repeated for a result."""
    try:
        return storable(result), ""
    except NotStorableError as error:
        logger.error("its result is not kept", extra={"task": task.name, "why": str(error)})
        return None, str(error)
