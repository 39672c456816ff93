"""`@task`: what makes a function a task."""

import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Concatenate, Never, overload

from celeriac.declare import registry
from celeriac.declare.check import check
from celeriac.declare.context import Context
from celeriac.declare.task import Task
from celeriac.model import celery_names, declared
from celeriac.model.aws_event import AwsEvent
from celeriac.model.errors import TaskError
from celeriac.model.event import Event
from celeriac.model.firings import CatchUp
from celeriac.model.guarantee import Guarantee, OnMismatch
from celeriac.model.limits import Limit
from celeriac.model.once import Debounce, Unique
from celeriac.model.queue import Queue
from celeriac.model.retry import Backoff, Custom, CustomPolicy, Policy


class _Decorator:
    """The decorator that `task(queue, ...)` returns. Its overloads remove the context from the parameters and the
    coroutine from the result, so that a type checker knows the parameters of `enqueue` and the type of the result.
    """

    def __init__(self, queue: Queue, unknown: Mapping[str, object], **declared: Any) -> None:
        self._queue = queue
        self._unknown = unknown
        self._declared = declared

    @overload
    def __call__[**P, R](
        self, function: Callable[Concatenate[Context, P], Awaitable[R]]
    ) -> Task[P, Awaitable[R], R]: ...
    @overload
    def __call__[**P, R](self, function: Callable[Concatenate[Context, P], R]) -> Task[P, R, R]: ...
    @overload
    def __call__[**P, R](self, function: Callable[P, Awaitable[R]]) -> Task[P, Awaitable[R], R]: ...
    @overload
    def __call__[**P, R](self, function: Callable[P, R]) -> Task[P, R, R]: ...
    def __call__(self, function: Callable[..., Any]) -> Any:
        declared = dict(self._declared)
        name = declared.pop("name") or getattr(function, "__name__", "")
        if not name:
            raise TaskError(f"{function!r} has no name: give the task one with `name=`")
        if self._unknown:
            cures = celery_names.cures(self._unknown, celery_names.DECLARING, name)
            known = f"it takes {', '.join(['name', *declared]).replace('policy', 'retry')}"
            raise TaskError(f"task {name!r}: @task(...) has no {', '.join(self._unknown)}; {cures or known}")
        made: Task[..., Any, Any] = Task(function, self._queue, name=name, **declared)
        check(made)
        registry.add(made, sys._getframe(1).f_globals)  # noqa: SLF001 - the module that declares the task, at once
        return made


def task(
    queue: Queue,
    *,
    name: str | None = None,
    key: str | None = None,
    delivery: Guarantee = "effectively_once",
    retry: Backoff | CustomPolicy | None = None,
    timeout: timedelta | None = None,
    on: str | Event[...] | AwsEvent | None = None,
    cron: str | None = None,
    timezone: str = "UTC",
    former_queues: Sequence[Queue] = (),
    on_mismatch: OnMismatch = "skip",
    catch_up: CatchUp = "one",
    limits: Sequence[Limit] = (),
    unique: Unique | None = None,
    debounce: Debounce | None = None,
    on_aws: AwsEvent | None = None,
    expires: timedelta | None = None,
    **unknown: Never,
) -> _Decorator:
    """Make a function a task of `queue`.

    name: the task's name in messages; the function's name by default. After a rename, messages under way find no task.
    key: the parameter whose value is the idempotency key; the message's id by default.
    delivery: effectively_once (Powertools idempotency), at_least_once (no DynamoDB call, unless SQS delivers the
        message again or the queue is FIFO: then a record keeps crashes and attempts), or at_most_once.
    retry: a Backoff, or a callable (error, attempt) -> delay or None. By default five attempts, the first wait 60 s.
    timeout: how long one run may take, at most the queue's timeout.
    on: the outbox event that the task subscribes to: an `Event`, its exact name, or a pattern such as `order.*`. An
        `AwsEvent` is the same as `on_aws`.
    cron: when the task runs regularly: five fields as in a crontab, `0 3 * * *`, or a name such as `@daily`, or
        EventBridge Scheduler's own `rate(5 minutes)` and `cron(0 3 * * ? *)`. All but `rate` use the time zone
        `timezone`, such as `Europe/Berlin`. The stacks build the schedule. All parameters of the task need defaults.
    former_queues: the queues that the task was moved away from. What waits in them still runs, by their consumers; no
        new message goes there. A message of the task in any other queue isn't run: it is a dead letter, `wrong queue`.
    catch_up: which firings of `cron` run that come late: by more than five minutes, or when the next one is due. `one`:
        a late firing runs if no other late one has started since it was planned, so after a pause one of them runs,
        whichever comes first. `all`: each of them. `none`: none. A firing that was left out is counted in the metric
        Missed.
    on_mismatch: what becomes of a message that is a duplicate by its key, though its arguments are other ones. `skip`
        drops it like any duplicate, `dead_letter` makes it a dead letter with the reason `key mismatch`. Both log a
        warning and count it in the metric KeyMismatch.
    limits: the `Rate`, `Concurrent` and `Breaker` of `tasks/limits.py` that the task waits for. Waiting is no attempt.
    unique: of messages with equal values, one waits or runs at a time.
    debounce: of messages with equal values, the last one runs, once no other has come for a time.
    on_aws: the events of AWS that call the task, such as an upload to S3: an `AwsEvent`.
    expires: how long after it was enqueued, or sent by its schedule, a message is worth nothing any more. If its first
        run hasn't started by then, it never starts. Of an event, the time counts from when it occurred.

    Raises TaskError or SignatureError at once, naming the task and the cure, for a declaration that can't work.
    """
    if not isinstance(queue, Queue):
        raise TaskError(
            f"task(): {queue!r} is no Queue: declare one in {declared.file('queues')}, and write @task(that_queue)"
        )
    if isinstance(on, AwsEvent):
        if on_aws is not None:
            raise TaskError("task(): on and on_aws are both an AwsEvent: declare a second task, or write one pattern")
        on, on_aws = None, on
    policy: Policy
    if delivery == "at_most_once" and retry is None:
        policy = Backoff(attempts=1)
    else:
        policy = retry if isinstance(retry, Backoff) else Backoff() if retry is None else Custom(retry)
    return _Decorator(
        queue,
        unknown,
        name=name,
        key=key,
        delivery=delivery,
        policy=policy,
        timeout=timeout,
        on=on,
        cron=cron,
        timezone=timezone,
        former_queues=former_queues,
        on_mismatch=on_mismatch,
        catch_up=catch_up,
        limits=limits,
        unique=unique,
        debounce=debounce,
        on_aws=on_aws,
        expires=expires,
    )
