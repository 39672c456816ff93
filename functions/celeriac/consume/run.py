"""The run of one message, from its body to its outcome. This module sends nothing."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from celeriac.consume import hooked, late_firing, quarantine, visiting
from celeriac.consume.admission.admit import Admission, Flow
from celeriac.consume.arguments import ReadingTimeoutError, read_arguments
from celeriac.consume.claiming import claim_of_message, claimed, wanted_claim
from celeriac.consume.decide import failed
from celeriac.consume.duplicate import key_in_use
from celeriac.consume.insist import while_there_is_time
from celeriac.consume.outcome import Dead, HandedBack, Outcome, RunAlone, Skipped, Succeeded
from celeriac.consume.received import Received, as_it_came, failure, waited
from celeriac.consume.turn import turn
from celeriac.consume.unrun import given_up, invalid, misplaced, newer, quarantined, too_late, unknown
from celeriac.declare import probe, registry
from celeriac.declare.context import Context
from celeriac.declare.signature import InvalidArgumentsError
from celeriac.declare.task import Task
from celeriac.execute import ending
from celeriac.execute.call import EndTurn, TaskCall, TaskCalls
from celeriac.hooks import registered
from celeriac.leases import lease
from celeriac.leases.claim import Claim
from celeriac.leases.result import NotStorableError, storable
from celeriac.leases.store import LeaseLostError
from celeriac.leases.visit import Visit
from celeriac.model import foreign_events
from celeriac.model.failure import Failure, error_type, fingerprint
from celeriac.model.message import MalformedMessageError, Message, NewerVersionError
from celeriac.model.payload import PayloadError
from celeriac.model.reason import Reason
from celeriac.model.retry import Throttled
from celeriac.observe.log import logger
from celeriac.observe.running import RunInfo

TAKEN_OVER = HandedBack("its lease ran out, another worker has taken over")


class _Ready(Struct, frozen=True):
    """A task that is claimed and may start."""

    task: Task[..., Any, Any]
    message: Message
    original: Message
    """As it came, for a hand-back."""
    arguments: dict[str, Any]
    needed: timedelta
    """How much time there must be for it to start, unless it need not wait."""
    admission: Admission
    held: lease.Lease | None = None


def run(received: Received, flow: Flow) -> TaskCalls[tuple[Message | None, Outcome | RunAlone]]:
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
        message, prepared = yield from _prepared(received, flow)
    except Exception:
        if visit is not None:
            visiting.close(visit, received)
        raise
    if visit is not None:
        visiting.close(visit, received)
    if not isinstance(prepared, _Ready):
        return message, prepared
    try:
        outcome = yield from _attempt(prepared, received, flow)
    except Exception:
        prepared.admission.give_back()
        raise
    prepared.admission.give_back()
    return message, hooked.carrying(outcome, received)


def _prepared(received: Received, flow: Flow) -> TaskCalls[tuple[Message | None, Outcome | RunAlone | _Ready]]:
    """Everything before the task's function: the message, and its outcome if the task must not start."""
    sqs_record = received.sqs_record
    try:
        message = as_it_came(sqs_record)
    except MalformedMessageError as error:
        if foreign_events.is_test_event(sqs_record.body):
            return None, Skipped("test_event")
        return None, Dead(None, failure(Reason.MALFORMED, error, sqs_record, received))
    except NewerVersionError as error:
        return None, newer(error, received)
    return message, (yield from _checked(message, received, flow))


def _checked(message: Message, received: Received, flow: Flow) -> TaskCalls[Outcome | RunAlone | _Ready]:
    sqs_record, queue = received.sqs_record, received.queue
    received.facts.waited = waited(message, sqs_record)
    task = registry.tasks.get(message.task) or probe.named(message.task, queue)
    if task is None:
        return unknown(message, received)
    if not task.runs_from(queue):
        return misplaced(task, message, received)
    received.facts.task = task.name
    original, redriven_from = message, message.failure
    if redriven_from is not None:
        # A redriven dead letter starts with fresh attempts, whichever tool redrove it. Its fresh copies keep the date
        # of the redrive: it names the record that knows of its crashes.
        redriven_at = sqs_record.first_sent_at
        message = replace(
            message, attempt=1, step=0, waits_since=None, due_at=None, failure=None, enqueued_at=redriven_at
        )
    try:
        raw, arguments = yield from read_arguments(task, message, received)
        key = task.key_of(arguments, message, raw)
    except (InvalidArgumentsError, PayloadError) as error:
        return invalid(error, original, received)
    except ReadingTimeoutError as error:
        return _overran(task, message, original, redriven_from, error, received)
    received.facts.key = key.full
    first = received.worker.keys.setdefault(key.full, sqs_record.message_id)
    is_duplicate = first != sqs_record.message_id and task.guarantee != "at_least_once"
    if is_duplicate or task.guarantee == "at_most_once":
        # A duplicate waits for what becomes of the first. Of an at_most_once task's run a claim is all that its record
        # says, so it must start at once.
        yield from turn(received, after_others=is_duplicate)
    if (why := ending.reason()) is not None:
        return HandedBack(f"the worker ends: {why}", datetime.now(UTC), original)
    # A task that can't end in time isn't started. One without a timeout is taken to need half of its queue's timeout.
    # The first task of an invocation that has its turn always starts: no other invocation would have more time for it.
    worker = received.worker
    needed = min(task.timeout or queue.timeout / 2, queue.timeout - 2 * worker.margin)
    has_turn = yield from turn(received, 0)
    if not has_turn and worker.left < needed:
        has_turn = yield from turn(received)
    if worker.has_started and worker.left < needed:
        return HandedBack("no time left in this invocation", datetime.now(UTC), original)
    planned = late_firing.planned_for(task, original)
    if planned is not None and not late_firing.may_start(task, message, planned, key, received):
        return Skipped("missed")
    if quarantine.holds(quarantine.of_task(task.name)):
        return Dead(message, quarantined(f"the task {task.name!r}", message, received))
    worker.has_started = worker.has_started or has_turn
    key = key_in_use(key, task, message)
    received.facts.key = key.full
    message = key.carried_by(message)
    # On a FIFO queue the same message is retried: only a record tells whether an attempt was charged.
    # A late firing that has begun must be known when it comes again.
    wanted: Claim | None = None
    if task.guarantee != "at_least_once" or not sqs_record.is_first_receive or queue.fifo or planned is not None:
        hashes = task.signature.hashes(raw, arguments)
        wanted = wanted_claim(task, key, message, redriven_from, received, hashes=hashes)
    record_key = wanted.key if wanted is not None else ""
    admission = yield from flow.admit(task, message, original, arguments, record_key, received)
    if not isinstance(admission, Admission):
        return admission
    try:
        ready = _claimed(_Ready(task, message, original, arguments, needed, admission), wanted, received)
    except Exception:
        admission.give_back()
        raise
    if not isinstance(ready, _Ready):
        admission.give_back()
    return ready


def _claimed(ready: _Ready, wanted: Claim | None, received: Received) -> Outcome | RunAlone | _Ready:
    """Claim the task of a message that its limits have admitted. No claim ever waits for a limit."""
    task, message, original, worker = ready.task, ready.message, ready.original, received.worker
    if wanted is None:
        late = given_up(task, message, received)
        return Dead(message, late) if late is not None else ready
    before_claim = worker.left
    held = claimed(task, message, original, wanted, received)
    if not isinstance(held, lease.Lease):
        return held
    received.facts.replaced = held.replaced
    message = replace(message, attempt=held.attempt)
    if received.queue.fifo and datetime.now(UTC) > received.must_end_by:
        return Dead(message, too_late(message, received), held)
    if (late := given_up(task, message, received)) is not None:
        return Dead(message, late, held)
    before = held.last_failure
    if before is not None and quarantine.holds(quarantine.of_failure(fingerprint(task.name, before))):
        return Dead(message, quarantined(f"this kind of failure, {before.type},", message, received), held)
    if not ready.admission.is_certain:
        # What the look had seen is gone since: the next delivery asks the limits.
        with suppress(LeaseLostError):
            held.release()
        return HandedBack("its limits weren't asked", datetime.now(UTC), original)
    if worker.left < ready.needed and before_claim - worker.left > worker.margin:
        # The claim took too long. The task would be cut off, so the next invocation runs it.
        with suppress(LeaseLostError):
            held.release()
        return HandedBack("its claim took too long", datetime.now(UTC), original)
    return replace(ready, message=message, held=held)


def _overran(  # noqa: PLR0917 - the arguments are those of its only caller
    task: Task[..., Any, Any],
    message: Message,
    original: Message,
    redriven_from: Failure | None,
    error: ReadingTimeoutError,
    received: Received,
) -> Outcome | RunAlone:
    """The outcome of a message whose arguments couldn't be read in time. Without them its task's key isn't known.

    On a FIFO queue the same message is retried, so a record of the message counts the attempts.
    """
    if not received.queue.fifo:
        return failed(task, message, error, None, received)
    held = claimed(task, message, original, claim_of_message(task, message, redriven_from, received), received)
    if not isinstance(held, lease.Lease):
        return held
    return failed(task, replace(message, attempt=held.attempt), error, held, received)


def _attempt(ready: _Ready, received: Received, flow: Flow) -> TaskCalls[Outcome]:
    longest = (received.worker.left - ready.needed).total_seconds()
    has_turn = yield from turn(received, max(longest, 0.0))
    if (why := ending.reason()) is not None:
        return _unstarted(ready, f"the worker ends: {why}", received)
    with flow.body():
        return (yield from _called(ready, received, flow, has_turn=has_turn))


def _called(ready: _Ready, received: Received, flow: Flow, *, has_turn: bool) -> TaskCalls[Outcome]:
    task, message, arguments, held = ready.task, ready.message, ready.arguments, ready.held
    worker = received.worker
    if not has_turn or (worker.has_called and worker.left < ready.needed):
        return _unstarted(ready, "no time was left when its turn came", received)
    worker.has_called = True
    # The transaction of an `at_least_once` task doesn't depend on a lease: it can't make the task run only once.
    fence = held if task.guarantee != "at_least_once" else None
    group, key = received.sqs_record.group, received.facts.key or ""
    context = Context(message.id, key, task.name, message.attempt, worker.deadline, group=group, _lease=fence)
    args = (context,) if task.signature.takes_context else ()
    left = worker.left
    if left <= timedelta():
        # It would be cut off at once, and charged. A worker that was frozen since its claim may even have a successor.
        return _unstarted(ready, "its worker's time was over before it started", received)
    limit = min(task.timeout or left, left)
    received.facts.has_run = True
    if message.turn == "1":
        received.facts.age = datetime.now(UTC) - (message.enqueued_at or received.sqs_record.sent_at)
    its, hooks = RunInfo(task.name, message.id, message.attempt, worker.request_id), registered.of_application()
    made = TaskCall(task.function, args, arguments, limit, its, left)
    result, error = yield from hooked.call(made, message, received)
    if isinstance(error, Throttled):
        received.facts.throttled_by = flow.throttled(task, ready.admission, error) or "its provider"
    ready.admission.ended(error)
    received.facts.error = error if hooks.after_outcome or hooks.on_dead_letter else None
    if isinstance(error, LeaseLostError):
        return TAKEN_OVER
    if error is not None:
        if held is not None and held.committed:
            # The transaction wrote the effects and recorded the success: another run would write the effects twice.
            logger.error("raised after its transaction", extra={"task": task.name, "error": error_type(error)})
            return Succeeded(message.attempt)
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
    return Succeeded(message.attempt)


def _unstarted(ready: _Ready, why: str, received: Received) -> HandedBack:
    """Give the claim back. Raises AWS's errors: the claim then looks like a crash, which charges nothing."""
    if ready.held is not None:
        with suppress(LeaseLostError):
            while_there_is_time(ready.held.release, received.worker)
    return HandedBack(why, datetime.now(UTC), ready.original)


def _kept(task: Task[..., Any, Any], result: Any) -> tuple[Any, str]:
    """The result to keep, or None and why it can't be kept. The work is done and must not be repeated for a result."""
    try:
        return storable(result), ""
    except NotStorableError as error:
        logger.error("its result is not kept", extra={"task": task.name, "why": str(error)})
        return None, str(error)
