"""The hooks of an attempt: around the call of its task, and after its outcome.

Each hook runs in a call of its own, with a time limit: one that hangs is left behind, and its message goes on.
"""

from collections.abc import Callable
from contextvars import Context
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any

from msgspec.structs import replace

from celeriac.consume.outcome import Dead, Gathered, HandedBack, Outcome, Postponed, Retried, RunAlone, Skipped, Waiting
from celeriac.consume.received import Received
from celeriac.consume.report import attempt_of
from celeriac.declare.probe import is_probe
from celeriac.execute.call import Result, TaskCall, TaskCalls, TaskTimeoutError
from celeriac.hooks import broken, registered
from celeriac.hooks.around import Around
from celeriac.hooks.events import AfterOutcome, AroundTask, OnDeadLetter
from celeriac.hooks.hook import Hooks
from celeriac.model import headers
from celeriac.model.continuing import goes_on
from celeriac.model.failure import Failure
from celeriac.model.message import Message
from celeriac.model.stop import cancels
from celeriac.observe.running import RunInfo

LONGEST = timedelta(seconds=5)
"""How long a hook may take at most."""
SHARE = 10
"""A hook may take at most this part of its queue's timeout."""
NOTHING: MappingProxyType[str, str] = MappingProxyType({})


def longest(received: Received) -> timedelta:
    """How long a hook may take in a worker of this queue."""
    return min(LONGEST, received.queue.timeout / SHARE)


def call(made: TaskCall, message: Message, received: Received) -> TaskCalls[Result]:
    """Make the call of a task's function, with the hooks around it. The result is the function's, whatever they do."""
    hooks = registered.of_application().around_task
    if not hooks or is_probe(message.task):
        return (yield made)
    around = Around(hooks, _event(made, message, received))
    limit = min(longest(received), received.worker.left / SHARE)
    # Those that were entered before the one that hangs are left by its thread, when that goes on.
    entering = TaskCall(around.enter, (), {}, limit, made.run, context=around.context, late=lambda: around.leave(None))
    _, overran = yield entering
    if overran is not None:
        broken.report(around.at, "around_task", overran)
        return (yield replace(made, limit=min(made.limit, received.worker.left)))

    def late() -> None:
        around.leave(TaskTimeoutError(made.limit))

    left = received.worker.left
    result, error = yield replace(made, limit=min(made.limit, left), most=left, context=around.context, late=late)
    if isinstance(error, TaskTimeoutError) and error.runs_on:
        return result, error  # its thread leaves the hooks, when it has ended
    is_stopped = made.stop is not None and made.stop.asked
    raised = error if not (is_stopped or goes_on(error) or cancels(error)) else None  # nothing has failed
    limit = max(min(longest(received), received.worker.left), received.worker.margin / 4)
    _, overran = yield TaskCall(lambda: around.leave(raised), (), {}, limit, made.run, context=around.context)
    if overran is not None:
        broken.report(around.at, "around_task", overran)
    return result, error


def _event(made: TaskCall, message: Message, received: Received) -> AroundTask:
    facts = received.facts
    return AroundTask(
        task=message.task,
        queue=received.queue.name,
        id=message.id,
        key=facts.key or "",
        attempt=message.attempt,
        arguments=MappingProxyType(made.kwargs),
        headers=MappingProxyType(message.headers) if message.headers else NOTHING,
        group=received.sqs_record.group,
        enqueued_at=message.enqueued_at,
        receives=received.sqs_record.receives,
        notes=facts.notes,
        carried=facts.carried,
    )


def carrying(outcome: Outcome | RunAlone, received: Received) -> Outcome | RunAlone:
    """The outcome, with the headers that hooks have added for the message that follows."""
    carried = dict(received.facts.carried)
    match outcome:
        case Retried(successor=successor) if carried:
            return replace(outcome, successor=_with(successor, carried))
        case Dead(message=Message() as message) if carried:
            return replace(outcome, message=_with(message, carried))
        case _:
            return outcome


def _with(message: Message, carried: dict[str, str]) -> Message:
    return replace(
        message,
        # What the sender gave comes first: if there isn't room for all, nothing of it is lost.
        headers=headers.kept(
            {name: value for name, value in (message.headers or {}).items() if name not in carried} | carried
        ),
    )


def after(outcome: Outcome, message: Message | None, received: Received, seconds: float) -> TaskCalls[None]:
    """Tell the hooks of an outcome that is carried out. The message must be marked as settled before."""
    hooks = registered.of_application()
    if not (hooks.after_outcome or hooks.on_dead_letter) or is_probe(received.facts.task):
        return
    if outcome.name == "tick":
        return  # a tick without a body is no message of anybody's
    task, run_id = received.facts.task or "", message.id if message is not None else received.sqs_record.message_id
    run = RunInfo(task, run_id, attempt_of(outcome, message), received.worker.request_id)
    told = _outcome(outcome, message, received, seconds)
    for hook in hooks.after_outcome:
        yield from _told(hook, "after_outcome", hook.after_outcome, told, run, received)
    if isinstance(outcome, Dead):
        letter = _letter(outcome.failure, told)
        for hook in hooks.on_dead_letter:
            yield from _told(hook, "on_dead_letter", hook.on_dead_letter, letter, run, received)


def _told(  # noqa: PLR0917 - the arguments are those of its only caller
    hook: Hooks, method: str, function: Callable[[Any], None], event: object, run: RunInfo, received: Received
) -> TaskCalls[None]:
    # The rest of the margin is for the answer.
    limit = min(longest(received), received.worker.left + received.worker.margin / 2)
    if limit <= timedelta():
        broken.report(hook, method, TimeoutError("no time was left for it"))
        return
    _, error = yield TaskCall(function, (event,), {}, limit, run, limit, Context())
    if error is not None:
        broken.report(hook, method, error)


def _outcome(outcome: Outcome, message: Message | None, received: Received, seconds: float) -> AfterOutcome:
    facts, delay, reason, error_type = received.facts, None, "", ""
    match outcome:
        case Retried():
            delay, error_type = outcome.delay, outcome.error
        case Dead(failure=failure):
            reason, error_type = str(failure.reason), failure.type
        case Postponed():
            delay, reason = outcome.delay, outcome.why
        case Waiting():
            delay, reason = outcome.delay, outcome.limit
        case HandedBack(why=why, until=until):
            delay = max(until - datetime.now(UTC), timedelta()) if until is not None else None
            reason = why
        case Gathered() | Skipped() | _:
            pass
    return AfterOutcome(
        outcome=outcome.name,
        task=facts.task or "",
        queue=received.queue.name,
        id=message.id if message is not None else received.sqs_record.message_id,
        key=facts.key or "",
        attempt=attempt_of(outcome, message),
        duration=timedelta(seconds=seconds),
        has_run=facts.has_run,
        headers=MappingProxyType(message.headers) if message is not None and message.headers else NOTHING,
        delay=delay,
        reason=reason,
        error=facts.error,
        error_type=error_type,
        notes=facts.notes,
    )


def _letter(failure: Failure, told: AfterOutcome) -> OnDeadLetter:
    return OnDeadLetter(
        reason=told.reason,
        task=told.task,
        queue=told.queue,
        id=told.id,
        key=told.key,
        attempts=failure.attempts,
        headers=told.headers,
        error_type=failure.type,
        error=told.error,
        notes=told.notes,
    )
