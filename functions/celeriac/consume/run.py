"""The run of one message, from its body to its outcome. This module sends nothing."""

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

# A task becomes a dead letter after this many workers died while they ran only this task.
MOST_CRASHES = 3
TAKEN_OVER = HandedBack("its lease ran out, another worker has taken over")


class WorkerCrashedError(CeleriacError):
    """The worker of a task died, out of memory or killed, so no code could record why."""


def run(received: Received) -> Steps[tuple[Message | None, Outcome]]:
    """Decode a message, find its task, validate, run, and return the outcome.

    The message is None if the body can't be read. The generator yields the call of the task's function; its driver
    makes the call.

    Raises only AWS's errors (the store of leases or payloads can't be reached): the message is then handed back,
    uncharged.
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
    original, redriven_from = message, message.failure
    if redriven_from is not None:
        # A redriven dead letter starts with fresh attempts, whichever tool redrove it.
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
    # A task that can't end in time isn't started. One without a timeout is taken to need half of its queue's timeout.
    # The first task of an invocation always starts: no other invocation would have more time for it.
    worker = received.worker
    needed = min(task.timeout or queue.timeout / 2, queue.timeout - 2 * worker.margin)
    if worker.has_started and worker.left < needed:
        return HandedBack("no time left in this invocation", datetime.now(UTC), original)
    worker.has_started = True
    # On a FIFO queue the same message is retried: only a record tells whether an attempt was charged.
    if task.guarantee == "at_least_once" and record.receives == 1 and not queue.fifo:
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
        return HandedBack("another worker is running it", busy.until, original)
    received.observed.replaced = held.replaced
    message = replace(message, attempt=held.attempt)
    before = held.last_failure
    if before is not None and quarantine.holds(quarantine.of_failure(fingerprint(task.name, before))):
        return Dead(message, _quarantined(f"this kind of failure, {before.type},", message, received), held)
    return (yield from _attempt(task, message, arguments, held, received))


def _wanted(
    task: Task[..., Any, Any], key: str, message: Message, redriven_from: Failure | None, received: Received
) -> lease.Claim:
    if task.guarantee == "at_least_once":
        # Messages of an at_least_once task don't exclude each other. But a message that SQS delivers again may have
        # crashed its worker. The record keeps this for the run, also in a fresh copy of the message; a redrive has
        # another date, so it starts without it.
        key = f"{message.id} {message.enqueued_at} {message.turn}"
    return lease.Claim(
        task=task.name,
        key=key,
        task_id=message.id,
        attempt=message.attempt,
        step=message.step,
        for_crashes=task.guarantee == "at_least_once",
        key_from=MESSAGE if message.key is not None else "",
        until=received.worker.deadline,
        retention=received.queue.record_retention,
        # A call that overran and still runs in the background may be the one that crashes the worker.
        alone=received.alone and not left_behind(),
        redriven_from=redriven_from,
        once=task.guarantee == "at_most_once",
        comes_back=received.queue.fifo,
    )


def _claim(task: Task[..., Any, Any], wanted: lease.Claim, received: Received) -> lease.Lease:
    try:
        return lease.claim(wanted)
    except lease.CrashSuspected as suspect:
        if task.guarantee == "at_most_once" or not received.alone or suspect.crashes >= MOST_CRASHES:
            raise
        held = lease.take_over(wanted)
        _tell_of_lost_worker(task, held, suspect, wanted, received)
        return held


def _crashed(
    task: Task[..., Any, Any], message: Message, suspect: lease.CrashSuspected, wanted: lease.Claim, received: Received
) -> Outcome:
    """The outcome of a task whose last worker died during the run."""
    if task.guarantee == "at_most_once":
        reason = Reason.INTERRUPTED
        error = WorkerCrashedError("its worker died during the run; whether the work was done is unknown")
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
    # The transaction of an `at_least_once` task doesn't depend on a lease: it can't make the task run only once.
    fence = held if task.guarantee != "at_least_once" else None
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
            # The transaction wrote the effects and recorded the success: another run would write the effects twice.
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
    if task.guarantee == "at_most_once" and isinstance(error, TaskTimeoutError):
        reason = Reason.INTERRUPTED  # the call may go on in its thread: a person must judge whether the work was done
    why = failure(reason, error, message, received)
    if isinstance(decision, Again):
        return Retried(_successor(message, decision), decision.delay, why.type, held, why, decision.charged)
    return Dead(message, why, held)


def _successor(message: Message, again: Again) -> Message:
    if again.charged:
        return replace(message, attempt=message.attempt + 1, step=0, waits_since=None)
    return replace(message, step=message.step + 1, waits_since=_waits_since(message))


def _waits_since(message: Message) -> datetime:
    """When the message's first uncharged wait began: the date in the message, but not one in the future."""
    now = datetime.now(UTC)
    return min(message.waits_since or now, now)


def _decide(task: Task[..., Any, Any], message: Message, error: BaseException, received: Received) -> Decision:
    queue, record, now = received.queue, received.record, datetime.now(UTC)
    decision = _decide_by_policy(task, message, error, queue.retention - (now - _waits_since(message)))
    if isinstance(decision, GiveUp):
        return decision
    if task.guarantee == "at_most_once":
        return GiveUp(Reason.EXHAUSTED)  # the task ran, charged or not
    if queue.fifo:
        # The same message is retried. After its last receive SQS would move it without a reason. At the end of its
        # retention, which counts from its only send, SQS would delete it.
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
    except BaseException as broken:  # noqa: BLE001 - the user's function may raise anything
        logger.error(
            "its retry policy failed, the default one decides",
            extra={"task": task.name, "error": error_type(broken), "where": error_place(broken)},
        )
        return Backoff().decide(error, attempt=message.attempt, age=age, left=left)


def _refuse_misplaced(task: Task[..., Any, Any], arguments: dict[str, Any], body: str) -> None:
    """Raise InvalidArgumentsError for arguments beside `args`: the task would run with its defaults instead."""
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
    """The message with one attempt less, because the attempt that was due isn't made."""
    return replace(message, attempt=message.attempt - 1)


def _wait(age: timedelta) -> timedelta:
    """The wait before the next try: the message's age, so that it doubles each time and no attempt is charged."""
    return min(max(age, timedelta(minutes=1)), MAX_DELAY)


def _kept(task: Task[..., Any, Any], result: Any) -> tuple[Any, str]:
    """The result to keep, or None and why it can't be kept. The work is done and must not be repeated for a result."""
    try:
        return storable(result), ""
    except NotStorableError as error:
        logger.error("its result is not kept", extra={"task": task.name, "why": str(error)})
        return None, str(error)
