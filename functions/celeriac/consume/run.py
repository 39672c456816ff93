"""The run of one message, from its body to its outcome. This module sends nothing."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

from celeriac.consume import debouncing, expiry, hooked, stopping, uniqueness, visiting
from celeriac.consume.admission.admit import Flow
from celeriac.consume.debouncing import Gathering
from celeriac.consume.decide import failed
from celeriac.consume.insist import while_there_is_time
from celeriac.consume.outcome import HandedBack, Outcome, RunAlone, Skipped, Succeeded
from celeriac.consume.prepare import Ready, prepared
from celeriac.consume.received import Received
from celeriac.consume.stopping import TAKEN_OVER
from celeriac.consume.turn import turn
from celeriac.declare.context import Context
from celeriac.declare.task import Task
from celeriac.execute import ending
from celeriac.execute.call import EndTurn, TaskCall, TaskCalls, TaskTimeoutError
from celeriac.hooks import registered
from celeriac.leases.checkpoints import Checkpoints
from celeriac.leases.claim import redrive_of
from celeriac.leases.result import Kept, NotStorableError, storable
from celeriac.leases.store import LeaseLostError
from celeriac.leases.visit import Visit
from celeriac.model.continuing import goes_on, refusal
from celeriac.model.failure import error_type
from celeriac.model.message import Message
from celeriac.model.retry import Throttled
from celeriac.model.stop import Cancelled
from celeriac.observe.log import logger
from celeriac.observe.running import RunInfo


def run(received: Received, flow: Flow, gathering: Gathering) -> TaskCalls[tuple[Message | None, Outcome | RunAlone]]:
    """Decode a message, find its task, validate, run, and return the outcome.

    The message is None if its body can't be read or wasn't touched. The generator yields the call of the task's
    function; its driver makes the call.

    Raises only AWS's errors (the store of leases or payloads can't be reached): the message is then handed back,
    uncharged.
    """
    sqs_record = received.sqs_record
    if received.alone or received.queue.fifo or not sqs_record.is_first_receive or sqs_record.deaths_alone is not None:
        # Any other message may be read, and its task claimed, while other tasks run. This one may have killed a worker,
        # or must keep its place.
        yield from turn(received)
    visit = visiting.begin(received)
    if not (visit is None or isinstance(visit, Visit)):
        return None, visit
    try:
        message, ready = yield from prepared(received, flow, gathering)
    except Exception:
        if visit is not None:
            visiting.close(visit, received)
        raise
    if visit is not None:
        visiting.close(visit, received)
    if not isinstance(ready, Ready):
        return message, ready
    try:
        outcome = yield from _attempt(ready, received, flow)
    except Exception:
        ready.admission.give_back()
        raise
    ready.admission.give_back()
    return message, hooked.carrying(outcome, received)


def _attempt(ready: Ready, received: Received, flow: Flow) -> TaskCalls[Outcome]:
    longest = (received.worker.left - ready.needed).total_seconds()
    has_turn = yield from turn(received, max(longest, 0.0))
    if (why := ending.reason()) is not None:
        return _unstarted(ready, f"the worker ends: {why}", received)
    with flow.body():
        return (yield from _called(ready, received, flow, has_turn=has_turn))


def _called(ready: Ready, received: Received, flow: Flow, *, has_turn: bool) -> TaskCalls[Outcome]:
    task, message, arguments, held = ready.task, ready.message, ready.arguments, ready.held
    worker = received.worker
    if not has_turn or (worker.has_called and worker.left < ready.needed):
        return _unstarted(ready, "no time was left when its turn came", received)
    worker.has_called = True
    left = worker.left
    if left <= timedelta():
        # It would be cut off at once, and charged. A worker that was frozen since its claim may even have a successor.
        return _unstarted(ready, "its worker's time was over before it started", received)
    limit = min(task.timeout or left, left)
    if expiry.is_past(ready.expires_at) and (late := _expired(ready, received)) is not None:
        return late
    if _is_overtaken(ready, received):
        return Skipped("superseded")
    if received.unique is not None and _is_replaced(ready, received):
        return Skipped("duplicate")
    if held is not None and held.stop.asked:
        return stopping.stopped(held, Cancelled(held.stop.why), message, received)
    context = _context(ready, received, limit)
    args = (context,) if task.signature.takes_context else ()
    received.facts.has_run = True
    if message.turn == "1":
        received.facts.age = datetime.now(UTC) - (message.enqueued_at or received.sqs_record.sent_at)
    if (follows := received.follows) is not None:
        follows.lease = held
        if held is not None and message.chain is not None:
            held.must_keep_result = message.chain.takes
    its, hooks = _run_info(ready, received), registered.of_application()
    its_lease = context._lease  # noqa: SLF001 - made above
    with stopping.watched(task, its_lease, worker) as stop:
        made = TaskCall(task.function, args, arguments, limit, its, left, stop=stop)
        result, error = yield from hooked.call(made, message, received)
    raised, error = error, stopping.as_cancelled(error, its_lease)
    if isinstance(error, Throttled):
        received.facts.throttled_by = flow.throttled(task, ready.admission, error) or "its provider"
    ready.admission.ended(raised if isinstance(raised, TaskTimeoutError) else error)
    has_error = error is not None and not (goes_on(error) or isinstance(error, Cancelled))
    received.facts.error = error if has_error and (hooks.after_outcome or hooks.on_dead_letter) else None
    if isinstance(error, LeaseLostError):
        return TAKEN_OVER
    if error is not None:
        if held is not None and held.committed:
            # The transaction wrote the effects and recorded the success: another run would write the effects twice.
            logger.error("raised after its transaction", extra={"task": task.name, "error": error_type(error)})
            return Succeeded(message.attempt)
        if isinstance(error, Cancelled):
            return stopping.stopped(held, error, message, received)
        return failed(task, message, error, held, received)
    if held is not None and not held.committed:
        kept, not_kept = _kept(task, result)  # before another task runs: it may change what this one returned
        if received.queue.record_behind and not received.queue.fifo and task.guarantee != "at_most_once":
            yield EndTurn()  # all that is left is to write the success
        try:
            while_there_is_time(lambda: held.complete(kept, not_kept=not_kept), worker)
        except LeaseLostError:
            if held.is_completed():
                return Succeeded(message.attempt)  # an earlier try was carried out, and its answer was lost
            return TAKEN_OVER
    if follows is not None and held is None:
        follows.kept = Kept(*_kept(task, result))
    return Succeeded(message.attempt)


def _run_info(ready: Ready, received: Received) -> RunInfo:
    held, message = ready.held, ready.message
    is_its_keys = held is not None and held.is_of_its_key
    redriven = held.redriven if held is not None and is_its_keys else redrive_of(ready.redriven_from)
    life = sha256(redriven.encode()).hexdigest()[:12] if redriven else ""
    return RunInfo(
        ready.task.name,
        message.id,
        message.attempt,
        received.worker.request_id,
        life=life,
        queue=received.queue,
        sent_as=message.task,
        has_cursor=held is not None and held.cursor is not None,
    )


def _context(ready: Ready, received: Received, limit: timedelta) -> Context:
    task, message, held = ready.task, ready.message, ready.held
    refused = refusal(task.name, task.guarantee)
    watch = received.worker.watch if held is not None and not refused else None
    ends_at = datetime.now(UTC) + limit
    return Context(
        message.id,
        received.facts.key or "",
        task.name,
        message.attempt,
        received.worker.deadline,
        group=received.sqs_record.group,
        # The transaction of an `at_least_once` task doesn't depend on a lease: it can't make the task run only once.
        _lease=held if task.guarantee != "at_least_once" else None,
        _checkpoints=Checkpoints(held, ends_at, watch) if held is not None and not refused else None,
        _watch=watch,
        _is_without_record=task.guarantee == "at_least_once",
        _refusal=refused,
        _batch_id=message.batch.id if message.batch is not None else "",
    )


def _unstarted(ready: Ready, why: str, received: Received) -> HandedBack:
    """Give the claim back. Raises AWS's errors: the claim then looks like a crash, which charges nothing."""
    if ready.held is not None:
        with suppress(LeaseLostError):
            while_there_is_time(ready.held.release, received.worker)
    return HandedBack(why, datetime.now(UTC), ready.original)


def _expired(ready: Ready, received: Received) -> Outcome | None:
    """The outcome of a task that has expired while it waited for its turn. Its claim is then given back.

    None if it may have started before. Raises AWS's errors.
    """
    if ready.task.guarantee == "at_least_once":
        return expiry.expired(ready.task, ready.message, ready.expires_at, ready.key, received)
    if ready.held is not None and ready.held.has_begun_before:
        return None
    handed_back = _unstarted(ready, "it has expired, and its claim was lost", received)
    return expiry.expired(ready.task, ready.message, ready.expires_at, ready.key, received) or handed_back


def _is_overtaken(ready: Ready, received: Received) -> bool:
    """Whether newer arguments of a debounced task have come while it was claimed. The claim is then given back.

    Raises AWS's errors.
    """
    is_last = False
    try:
        is_last = not debouncing.is_overtaken(ready.task, ready.message, received)
    finally:
        if not is_last:
            _unstarted(ready, "", received)
    return not is_last


def _is_replaced(ready: Ready, received: Received) -> bool:
    """Whether another message has taken the place of one that is unique until it starts. Its claim is then given back.

    Raises AWS's errors.
    """
    has_place = False
    try:
        has_place = uniqueness.starts(received, ready.held)
    finally:
        if not has_place:
            _unstarted(ready, "", received)
    return not has_place


def _kept(task: Task[..., Any, Any], result: Any) -> tuple[Any, str]:
    """The result to keep, or None and why it can't be kept. The work is done and must not be repeated for a result."""
    try:
        return storable(result), ""
    except NotStorableError as error:
        logger.error("its result is not kept", extra={"task": task.name, "why": str(error)})
        return None, str(error)
