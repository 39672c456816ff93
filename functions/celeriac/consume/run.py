"""One message's run, from its body to its outcome. Nothing is sent from here."""

from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec.structs import replace

from celeriac.aws import payloads
from celeriac.consume import quarantine
from celeriac.consume.outcome import Dead, HandedBack, Outcome, Postponed, Retried, RunAlone, Skipped, Succeeded
from celeriac.consume.received import Received, as_it_came, failure
from celeriac.consume.report import log_lost_worker
from celeriac.declare import registry
from celeriac.declare.context import Context
from celeriac.declare.signature import InvalidArgumentsError
from celeriac.declare.task import Task
from celeriac.execute.call import Call, Steps, TaskTimeoutError, WorkerLost
from celeriac.execute.threads import left_behind
from celeriac.leases import lease
from celeriac.leases.result import NotStorableError, storable
from celeriac.leases.store import MESSAGE
from celeriac.model import foreign, sender
from celeriac.model.errors import CeleriacError
from celeriac.model.failure import Failure, error_place, error_type, fingerprint
from celeriac.model.message import MalformedMessageError, Message, NewerVersionError
from celeriac.model.queue import MAX_DELAY
from celeriac.model.reason import Reason
from celeriac.model.retry import Again, Backoff, Decision, GiveUp
from celeriac.observe import metrics
from celeriac.observe.log import logger
from celeriac.observe.running import Run

# Workers that died while they ran nothing but this task, before it is given up.
MOST_CRASHES = 3
TAKEN_OVER = HandedBack("its lease ran out, another worker has taken over")


class WorkerCrashedError(CeleriacError):
    """The worker of a task died, out of memory or killed, where no code of ours could say why."""


def run(received: Received) -> Steps[tuple[Message | None, Outcome]]:
    """Decode, look up, validate, run, and say how it ended; the message is None where the body can't be read.

    The call of the task's function is left to who drives the run.

    Raises only what AWS raised on the way (the store of leases or payloads is out of reach): the message then
    goes back, uncharged.
    """
    record = received.record
    try:
        message = as_it_came(record)
    except MalformedMessageError as error:
        if foreign.is_test_event(record.body):
            return None, Skipped("test_event")
        return None, Dead(None, failure(Reason.MALFORMED, error, record, received))
    except NewerVersionError as error:
        return None, _newer(error, received)
    return message, (yield from _run(message, received))


def _run(message: Message, received: Received) -> Steps[Outcome]:
    task = registry.tasks.get(message.task)
    if task is None:
        return _unknown(message, received)
    record, queue = received.record, received.queue
    received.observed.task = task.name
    as_it_came, redriven_from = message, message.failure
    if redriven_from is not None:
        # A dead letter that came back, by whatever tool, starts anew.
        message = replace(message, attempt=1, step=0, waits_since=None, failure=None, enqueued_at=record.sent_at)
    try:
        raw = payloads.load(record.queue_name, message.stored) if message.stored else message.args
        arguments = task.signature.decode(raw)
        _refuse_misplaced(task, arguments, record.body)
        key = received.observed.key = task.key_of(arguments, message)
    except (InvalidArgumentsError, payloads.PayloadGoneError) as error:
        return Dead(message, failure(Reason.MALFORMED, error, _unrun(message), received))
    if quarantine.holds(quarantine.of_task(task.name)):
        return Dead(message, _quarantined(f"the task {task.name!r}", message, received))
    # A task that can't end in time isn't started. Without a limit of its own it needs half of what its queue gives.
    # The first of an invocation always starts: nobody will ever give it more.
    worker = received.worker
    needed = min(task.timeout or queue.timeout / 2, queue.timeout - 2 * worker.margin)
    if worker.has_started and worker.left < needed:
        return HandedBack("no time left in this invocation", datetime.now(UTC), as_it_came)
    worker.has_started = True
    # On a FIFO queue a failed attempt stays the same message: only a record tells whether it was charged.
    if task.delivery == "at_least_once" and record.receives == 1 and not queue.fifo:
        return (yield from _attempt(task, message, arguments, None, received))
    wanted = _wanted(task, key, message, redriven_from, received)
    try:
        held = _claim(task, wanted, received)
    except lease.CrashSuspected as suspect:
        return _crashed(task, message, suspect, wanted, received)
    except (lease.AlreadyDone, lease.AlreadyTried):
        return Skipped("duplicate")
    except lease.AlreadyDead:
        return Skipped("poison")
    except lease.Busy as busy:
        return HandedBack("another worker is at it", busy.until, as_it_came)
    received.observed.replaced = held.replaced
    message = replace(message, attempt=held.attempt)
    before = held.last_failure
    if before is not None and quarantine.holds(quarantine.of_failure(fingerprint(task.name, before))):
        return Dead(message, _quarantined(f"what failed like this, {before.type},", message, received), held)
    return (yield from _attempt(task, message, arguments, held, received))


def _wanted(
    task: Task[..., Any, Any], key: str, message: Message, redriven_from: Failure | None, received: Received
) -> lease.Claim:
    if task.delivery == "at_least_once":
        # No two messages exclude each other. What SQS delivers again may have killed its worker, and that is to be
        # remembered: of this run, also in a fresh copy of it, but not beyond a redrive, which has its own date.
        key = f"{message.id} {message.enqueued_at} {message.turn}"
    return lease.Claim(
        task=task.name,
        key=key,
        task_id=message.id,
        attempt=message.attempt,
        step=message.step,
        for_crashes=task.delivery == "at_least_once",
        key_from=MESSAGE if message.key is not None else "",
        until=received.worker.deadline,
        retention=received.queue.record_retention,
        # What hangs in the background may be what kills the worker.
        alone=received.alone and not left_behind(),
        redriven_from=redriven_from,
        once=task.delivery == "at_most_once",
        comes_back=received.queue.fifo,
    )


def _claim(task: Task[..., Any, Any], wanted: lease.Claim, received: Received) -> lease.Lease:
    try:
        return lease.claim(wanted)
    except lease.CrashSuspected as suspect:
        if task.delivery == "at_most_once" or not received.alone or suspect.crashes >= MOST_CRASHES:
            raise
        held = lease.take_over(wanted)
        _tell_of_lost_worker(task, held, suspect, wanted, received)
        return held


def _crashed(
    task: Task[..., Any, Any], message: Message, suspect: lease.CrashSuspected, wanted: lease.Claim, received: Received
) -> Outcome:
    """What becomes of a task whose last worker died at work."""
    if task.delivery == "at_most_once":
        reason = Reason.INTERRUPTED
        error = WorkerCrashedError("its worker died at work; whether it did its work is unknown")
    elif suspect.crashes >= MOST_CRASHES:
        reason = Reason.WORKER_LOST
        error = WorkerCrashedError(f"{suspect.crashes} workers died while they ran it alone")
    else:
        return RunAlone()
    held = lease.take_over(wanted)
    _tell_of_lost_worker(task, held, suspect, wanted, received)
    return Dead(message, failure(reason, error, replace(message, attempt=held.attempt), received), held)


def _tell_of_lost_worker(
    task: Task[..., Any, Any], held: lease.Lease, suspect: lease.CrashSuspected, wanted: lease.Claim, received: Received
) -> None:
    run = Run(task.name, wanted.task_id, held.attempt, received.worker.request_id)
    log_lost_worker(run, received.queue.name, deaths_alone=suspect.crashes)
    metrics.count_lost_worker(received.queue.name, task.name)


def _attempt(
    task: Task[..., Any, Any], message: Message, arguments: dict[str, Any], held: lease.Lease | None, received: Received
) -> Steps[Outcome]:
    worker = received.worker
    key = task.key_of(arguments, message)
    # A transaction of an `at_least_once` task is its own affair: it can't make the task happen once.
    fence = held if task.delivery != "at_least_once" else None
    context = Context(
        message.id, key, task.name, message.attempt, worker.deadline, group=received.record.group, _lease=fence
    )
    args = (context,) if task.signature.takes_context else ()
    limit = min(task.timeout or worker.left, worker.left)
    received.observed.has_run = True
    if message.turn == "1":
        received.observed.age = datetime.now(UTC) - (message.enqueued_at or received.record.sent_at)
    its = Run(task.name, message.id, message.attempt, worker.request_id)
    result, error = yield Call(task.function, args, arguments, limit, its)
    if isinstance(error, lease.LeaseLostError):
        return TAKEN_OVER
    if error is not None:
        if held is not None and held.committed:
            # Its effects are there and its success is recorded: to run it again would double them.
            logger.error("raised after its transaction", extra={"task": task.name, "error": error_type(error)})
            return Succeeded(message.attempt)
        return _failed(task, message, error, held, received)
    if held is not None and not held.committed:
        kept, not_kept = _kept(task, result)
        try:
            held.complete(kept, not_kept=not_kept)
        except lease.LeaseLostError:
            return TAKEN_OVER
    return Succeeded(message.attempt)


def _failed(
    task: Task[..., Any, Any], message: Message, error: BaseException, held: lease.Lease | None, received: Received
) -> Outcome:
    decision = _decide(task, message, error, received)
    reason = decision.reason if isinstance(decision, GiveUp) else "failed"
    if task.delivery == "at_most_once" and isinstance(error, TaskTimeoutError):
        reason = Reason.INTERRUPTED  # it may go on in its thread: whether it does its work is for a person to judge
    why = failure(reason, error, message, received)
    if isinstance(decision, Again):
        return Retried(_successor(message, decision), decision.delay, why.type, held, why, decision.charged)
    return Dead(message, why, held)


def _successor(message: Message, again: Again) -> Message:
    if again.charged:
        return replace(message, attempt=message.attempt + 1, step=0, waits_since=None)
    return replace(message, step=message.step + 1, waits_since=_waits_since(message))


def _waits_since(message: Message) -> datetime:
    """When its first wait that isn't charged began: by a message's word, but never in the future."""
    now = datetime.now(UTC)
    return min(message.waits_since or now, now)


def _decide(task: Task[..., Any, Any], message: Message, error: BaseException, received: Received) -> Decision:
    queue, record, now = received.queue, received.record, datetime.now(UTC)
    decision = _decide_by_policy(task, message, error, queue.retention - (now - _waits_since(message)))
    if isinstance(decision, GiveUp):
        return decision
    if task.delivery == "at_most_once":
        return GiveUp(Reason.EXHAUSTED)  # charged or not, it ran
    if queue.fifo:
        # The message itself comes back. At its last receive SQS would move it without a word; and at the end of its
        # retention, which counts from its only send, delete it.
        forgotten_at = record.sent_at + queue.retention - queue.timeout
        if record.receives >= queue.receive_limit or now + decision.delay > forgotten_at:
            return GiveUp(Reason.EXPIRED)
    return decision


def _decide_by_policy(task: Task[..., Any, Any], message: Message, error: BaseException, left: timedelta) -> Decision:
    age = datetime.now(UTC) - (message.enqueued_at or datetime.now(UTC))
    try:
        return task.policy.decide(error, attempt=message.attempt, age=age, left=left)
    except WorkerLost:
        raise
    except BaseException as broken:  # noqa: BLE001 - a function of the user's
        logger.error(
            "its retry policy failed, the default one decides",
            extra={"task": task.name, "error": error_type(broken), "where": error_place(broken)},
        )
        return Backoff().decide(error, attempt=message.attempt, age=age, left=left)


def _refuse_misplaced(task: Task[..., Any, Any], arguments: dict[str, Any], body: str) -> None:
    """A task whose arguments stand beside its `args` would run with its defaults, and do something else."""
    missing = [name for name in task.signature.fields if name not in arguments]
    if missing and (misplaced := sender.misplaced_args(body, missing, Message.__struct_fields__)):
        raise InvalidArgumentsError(
            f"task {task.name!r}: its parameters {', '.join(misplaced)} stand beside `args`: write them into it"
        )


def _unknown(message: Message, received: Received) -> Outcome:
    age = datetime.now(UTC) - (message.enqueued_at or datetime.now(UTC))
    wanted = message.task.strip().rpartition(".")[2].casefold()
    near = next((f"did you mean {name}? " for name in registry.tasks if name.casefold() == wanted), "")
    error = LookupError(
        f"no task is named {message.task!r} here; {near}known are {', '.join(sorted(registry.tasks)) or 'none'}"
    )
    if age > received.queue.patience:
        return Dead(message, failure(Reason.UNKNOWN_TASK, error, _unrun(message), received))
    return Postponed(message, _wait(age), Reason.UNKNOWN_TASK)


def _newer(error: NewerVersionError, received: Received) -> Outcome:
    age = datetime.now(UTC) - received.record.first_sent_at
    if age > received.queue.patience:
        return Dead(None, failure(Reason.NEWER_VERSION, error, received.record, received))
    return Postponed(None, _wait(age), Reason.NEWER_VERSION)


def _quarantined(what: str, message: Message, received: Received) -> Failure:
    error = LookupError(f"{what} is in quarantine: it wasn't run")
    return failure(Reason.QUARANTINED, error, _unrun(message), received)


def _unrun(message: Message) -> Message:
    """Its attempts, when the one that was due is not made."""
    return replace(message, attempt=message.attempt - 1)


def _wait(age: timedelta) -> timedelta:
    """Doubling by age, so that no attempt of the task's own is charged."""
    return min(max(age, timedelta(minutes=1)), MAX_DELAY)


def _kept(task: Task[..., Any, Any], result: Any) -> tuple[Any, str]:
    """What to keep of a result, and why if that is nothing: the work is done and must not be repeated for it."""
    try:
        return storable(result), ""
    except NotStorableError as error:
        logger.error("its result is not kept", extra={"task": task.name, "why": str(error)})
        return None, str(error)
