"""Everything of a message before its task's function: from its body to a claimed task, or to its outcome."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from celeriac.consume import debouncing, expiry, late_firing, quarantine, uniqueness
from celeriac.consume.admission import asked
from celeriac.consume.admission.admit import Admission, Flow
from celeriac.consume.arguments import ReadingTimeoutError, read_arguments
from celeriac.consume.claiming import claim_of_message, claimed, wanted_claim
from celeriac.consume.debouncing import Burst, Gathering
from celeriac.consume.decide import failed
from celeriac.consume.duplicate import key_in_use
from celeriac.consume.facts import Follows
from celeriac.consume.outcome import Dead, HandedBack, Outcome, Retried, RunAlone, Skipped, Waiting
from celeriac.consume.received import Received, as_it_came, failure, waited
from celeriac.consume.turn import turn
from celeriac.consume.unrun import given_up, invalid, misplaced, newer, quarantined, too_late, unknown
from celeriac.declare import probe, registry
from celeriac.declare.key import Key
from celeriac.declare.signature import InvalidArgumentsError
from celeriac.declare.task import Task
from celeriac.execute import ending
from celeriac.execute.call import TaskCalls
from celeriac.leases import lease
from celeriac.leases.claim import Claim
from celeriac.leases.store import LeaseLostError
from celeriac.model import foreign_events
from celeriac.model.failure import Failure, fingerprint
from celeriac.model.message import MalformedMessageError, Message, NewerVersionError
from celeriac.model.payload import PayloadError
from celeriac.model.reason import Reason


class Ready(Struct, frozen=True):
    """A task that is claimed and may start."""

    task: Task[..., Any, Any]
    message: Message
    original: Message
    """As it came, for a hand-back."""
    arguments: dict[str, Any]
    needed: timedelta
    """How much time there must be for it to start, unless it need not wait."""
    admission: Admission
    key: Key
    expires_at: datetime | None = None
    held: lease.Lease | None = None
    redriven_from: Failure | None = None


class Addressed(Struct, frozen=True):
    """A message, its arguments and its key."""

    message: Message
    """With fresh attempts, if it was redriven."""
    redriven_from: Failure | None
    raw: bytes | msgspec.Raw
    arguments: dict[str, Any]
    key: Key
    expires_at: datetime | None = None


def prepared(
    received: Received, flow: Flow, gathering: Gathering
) -> TaskCalls[tuple[Message | None, Outcome | RunAlone | Ready]]:
    """Everything before the task's function: the message, and its outcome if the task must not start."""
    sqs_record = received.sqs_record
    try:
        message = debouncing.dated(as_it_came(sqs_record), sqs_record)
        burst = debouncing.opened(message, received)
    except MalformedMessageError as error:
        if foreign_events.is_test_event(sqs_record.body):
            return None, Skipped("test_event")
        return None, Dead(None, failure(Reason.MALFORMED, error, sqs_record, received))
    except NewerVersionError as error:
        return None, newer(error, received)
    if burst is None:
        if message.is_composed:
            received.follows = Follows()
        return message, (yield from _checked(message, received, flow, gathering))
    if not isinstance(burst, Burst):
        return message, burst
    outcome = yield from _of_burst(burst, received, flow, gathering)
    return burst.body, outcome


def _of_burst(
    burst: Burst, received: Received, flow: Flow, gathering: Gathering
) -> TaskCalls[Outcome | RunAlone | Ready]:
    """The last message of a burst. What ends its tick also ends the burst: else what comes next waited for nothing."""
    before = burst.body.id
    outcome = yield from _checked(burst.body, received, flow, gathering, burst)
    if (isinstance(outcome, Dead | Retried) or outcome == expiry.EXPIRED) and not burst.is_taken:
        if (other := burst.take()) is not None:
            return other
        if burst.body.id != before:
            return debouncing.handed_back(burst)
    if isinstance(outcome, Dead) and outcome.message is not None and debouncing.is_bare(outcome.message):
        return replace(outcome, message=burst.body)
    return outcome


def _addressed(task: Task[..., Any, Any], message: Message, received: Received) -> TaskCalls[Addressed]:
    """Read the arguments, and find the key. Raises what `read_arguments` raises."""
    redriven_from, expires_at = message.failure, expiry.time_of(task, message)
    if redriven_from is not None:
        # A redriven dead letter starts with fresh attempts, whichever tool redrove it. Its fresh copies keep the date
        # of the redrive: it names the record that knows of its crashes.
        redriven_at = received.sqs_record.first_sent_at
        message = replace(
            message, attempt=1, step=0, waits_since=None, due_at=None, failure=None, enqueued_at=redriven_at
        )
    raw, arguments = yield from read_arguments(task, message, received)
    return Addressed(message, redriven_from, raw, arguments, task.key_of(arguments, message, raw), expires_at)


def _checked(
    message: Message, received: Received, flow: Flow, gathering: Gathering, burst: Burst | None = None
) -> TaskCalls[Outcome | RunAlone | Ready]:
    sqs_record, queue = received.sqs_record, received.queue
    original = burst.tick if burst is not None else message
    received.facts.waited = waited(original, sqs_record)
    task = registry.tasks.get(message.task) or probe.named(message.task, queue)
    if task is None:
        return unknown(message, received)
    if not task.runs_from(queue):
        return misplaced(task, message, received)
    received.facts.task = task.name
    try:
        found = yield from _addressed(task, message, received)
        if task.unique is not None:
            received.unique = uniqueness.mine_of(task, found.message, found.arguments, found.redriven_from)
    except (InvalidArgumentsError, PayloadError) as error:
        return invalid(error, original, received)
    except ReadingTimeoutError as error:
        return _overran(task, message, original, message.failure, error, received)
    message, key = found.message, found.key
    received.facts.key = key.full
    if debouncing.is_gathered(task, message):
        return _gathered(task, original, found, gathering, received)
    if (ended := expiry.expired(task, message, found.expires_at, key, received)) is not None:
        return ended
    first = received.worker.keys.setdefault(key.full, sqs_record.message_id)
    is_duplicate = first != sqs_record.message_id and task.guarantee != "at_least_once"
    if is_duplicate or task.guarantee == "at_most_once":
        # A duplicate waits for what becomes of the first. Of an at_most_once task's run a claim is all that its record
        # says, so it must start at once.
        yield from turn(received, after_others=is_duplicate)
    if (why := ending.reason()) is not None:
        return HandedBack(f"the worker ends: {why}", datetime.now(UTC), original)
    # A task that can't end in time isn't started. One without a timeout is taken to need half of its queue's timeout.
    worker = received.worker
    needed = min(task.timeout or queue.timeout / 2, queue.timeout - 2 * worker.margin)
    has_turn = (yield from turn(received, 0)) or (worker.left < needed and (yield from turn(received)))
    # The first task of an invocation that has its turn always starts: no other invocation would have more time for it.
    if worker.has_started and worker.left < needed:
        return HandedBack("no time left in this invocation", datetime.now(UTC), original)
    planned = late_firing.planned_for(task, original)
    if (unwanted := _unwanted(task, message, planned, key, received)) is not None:
        return unwanted
    worker.has_started = worker.has_started or has_turn
    if burst is None and task.limits and debouncing.is_superseded(task, message, received):
        return Skipped("superseded")  # before it takes a start in vain
    found = _with_key_in_use(found, task, received)
    message, key = found.message, found.key
    holds = uniqueness.asked(task, message, original, key, received, flow) if received.unique is not None else ()
    if (other_holds := (yield from holds)) is not None:
        return _or_expired(other_holds, task, found, received)
    wanted = _wanted(task, found, planned, received)
    record_key = wanted.key if wanted is not None else ""
    admission = yield from flow.admit(task, message, original, found.arguments, record_key, received)
    if not isinstance(admission, Admission):
        return _or_expired(admission, task, found, received)
    try:
        ready: Outcome | RunAlone | Ready | Addressed = yield from _last(task, found, burst, received)
        if isinstance(ready, Addressed):
            wanted = wanted if ready is found else _wanted(task, ready, planned, received)
            made = Ready(
                task,
                ready.message,
                original,
                ready.arguments,
                needed,
                admission,
                ready.key,
                ready.expires_at,
                redriven_from=ready.redriven_from,
            )
            ready = _claimed(made, wanted, received)
    except Exception:
        admission.give_back()
        raise
    if not isinstance(ready, Ready):
        admission.give_back()
    return ready


def _or_expired(outcome: Outcome, task: Task[..., Any, Any], found: Addressed, received: Received) -> Outcome:
    """The same outcome. But a message that would wait until it has expired needn't wait for that."""
    if not isinstance(outcome, Waiting):
        return outcome
    return expiry.expired(task, found.message, found.expires_at, found.key, received, outcome.delay) or outcome


def _with_key_in_use(found: Addressed, task: Task[..., Any, Any], received: Received) -> Addressed:
    """The same, with the key under which it is to be claimed."""
    key = key_in_use(found.key, task, found.message)
    received.facts.key = key.full
    return replace(found, message=key.carried_by(found.message), key=key)


def _unwanted(
    task: Task[..., Any, Any], message: Message, planned: datetime | None, key: Key, received: Received
) -> Outcome | None:
    """The outcome of a firing that comes too late, or of a task that an operator holds back."""
    if planned is not None and not late_firing.may_start(task, message, planned, key, received):
        received.unique = None  # a firing takes its item when it is to run
        return Skipped("missed")
    if quarantine.holds(quarantine.of_task(task.name)):
        return Dead(message, quarantined(f"the task {task.name!r}", message, received))
    return None


def _gathered(
    task: Task[..., Any, Any], original: Message, found: Addressed, gathering: Gathering, received: Received
) -> Outcome:
    """The outcome of a message that runs, if at all, when its burst is over.

    If it has expired, it is skipped, and in quarantine it is a letter. Not so if it may have been gathered before: then
    others count on the tick that it sends.
    """
    is_new = received.sqs_record.is_first_receive and not gathering.has_written(original)
    if is_new and (ended := expiry.expired(task, found.message, found.expires_at, found.key, received)) is not None:
        return ended
    if is_new and quarantine.holds(quarantine.of_task(task.name)):
        return Dead(original, quarantined(f"the task {task.name!r}", found.message, received))
    return gathering.gather(task, original, found.arguments, received)


def _last(
    task: Task[..., Any, Any], found: Addressed, burst: Burst | None, received: Received
) -> TaskCalls[Addressed | Outcome | RunAlone]:
    """What is to run of a debounced task, just before it is claimed: the message, or a newer one of its burst.

    Not earlier: while the burst waits for its turn, or for limits, newer messages still join it, and none of them
    starts before it.
    """
    if task.debounce is None and burst is None:
        return found
    yield from turn(received)
    received.is_last_at = datetime.now(UTC)
    if burst is None:
        return Skipped("superseded") if debouncing.is_superseded(task, found.message, received) else found
    if (other := burst.take()) is not None:
        return other
    newer = burst.body
    last = found
    if newer.id != found.message.id:
        try:
            last = yield from _addressed(task, newer, received)
        except (InvalidArgumentsError, PayloadError) as error:
            return invalid(error, burst.tick, received)
        except ReadingTimeoutError as error:
            return _overran(task, newer, burst.tick, newer.failure, error, received)
        if task.limits and asked.of(task, last.arguments).keys != asked.of(task, found.arguments).keys:
            return debouncing.handed_back(burst)  # other limits than those that it has asked
        last = _with_key_in_use(last, task, received)
    received.facts.waited += debouncing.waited_for_quiet(burst)
    return last


def _wanted(task: Task[..., Any, Any], found: Addressed, planned: datetime | None, received: Received) -> Claim | None:
    """The claim that a message needs; None if it needs none."""
    # On a FIFO queue the same message is retried: only a record tells whether an attempt was charged.
    # A late firing that has begun must be known when it comes again.
    is_first = received.sqs_record.is_first_receive and not received.queue.fifo and planned is None
    if task.guarantee == "at_least_once" and is_first:
        return None
    hashes = task.signature.hashes(found.raw, found.arguments)
    return wanted_claim(task, found.key, found.message, found.redriven_from, received, hashes=hashes)


def _claimed(ready: Ready, wanted: Claim | None, received: Received) -> Outcome | RunAlone | Ready:
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
