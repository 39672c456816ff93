"""`@task`: the decorated function is the declaration, the registry's entry and the producer's handle in one."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from functools import cached_property, update_wrapper
from typing import Any, Concatenate, Never, overload

import msgspec

from celeriac import habits, registry
from celeriac.check import Delivery, TaskError, check, schedule_of
from celeriac.context import Context
from celeriac.deliver import NOW, Parcel, deliver, deliver_many
from celeriac.handles import Handle
from celeriac.message import Message, new_id
from celeriac.options import Options
from celeriac.queue import Queue
from celeriac.retry import Backoff, Custom, CustomPolicy, Policy
from celeriac.signature import InvalidArgs, Signature, key_text


class PartialFailure(RuntimeError):  # noqa: N818 - it is what happened
    """Some messages of `enqueue_many` were not taken. `sent` are handles; `unsent` pairs the arguments with why."""

    def __init__(self, task: str, sent: "list[Handle[Any]]", unsent: list[tuple[dict[str, Any], str]]) -> None:
        super().__init__(
            f"{len(unsent)} of {len(sent) + len(unsent)} messages for {task} were not taken, "
            f"the first because of: {unsent[0][1]}"
        )
        self.sent = sent
        self.unsent = unsent


class Task[**P, C, R]:
    """A function that runs on a queue. `P` are its parameters, `C` what a call returns, `R` its result."""

    def __init__(
        self,
        function: Callable[..., C],
        queue: Queue,
        *,
        name: str,
        key: str | None,
        delivery: Delivery,
        policy: Policy,
        timeout: timedelta | None,
        on: str | None,
        cron: str | None,
        timezone: str,
    ) -> None:
        self.function = function
        self.queue = queue
        self.name = name
        self.key = key
        self.delivery = delivery
        self.policy = policy
        self.timeout = timeout
        self.on = on
        self.cron = schedule_of(name, cron)
        self.timezone = timezone
        self._options = Options()
        update_wrapper(self, function)

    @cached_property
    def signature(self) -> Signature:
        """The schema of its payload."""
        return Signature(self.function, self.name)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> C:
        """Run it here and now, as the plain function it is, with a stand-in for its context."""
        if not self.signature.takes_context or (args and isinstance(args[0], Context)):
            return self.function(*args, **kwargs)
        arguments = self.signature.named(args, kwargs)
        run_id = new_id()
        context = Context(
            id=run_id,
            key=self.key_of(arguments, Message(id=run_id, task=self.name)),
            task=self.name,
            attempt=1,
            deadline=datetime.now(UTC) + (self.timeout or self.queue.timeout),
        )
        return self.function(context, *args, **kwargs)

    def options(
        self,
        *,
        delay: timedelta = NOW,
        at: datetime | None = None,
        group: str | None = None,
        key: str | None = None,
        **unknown: Never,
    ) -> "Task[P, C, R]":
        """The same task, to be enqueued with options.

        delay: how long it waits first, at most a year.
        at: when it is to run at the earliest, with a time zone, at most a year from now; what has passed means now.
        group: the tenant on a standard queue, what is kept in order on a FIFO queue.
        key: an idempotency key of one's own.

        Raises ValueError for what can't be kept, TypeError for what is no option, both with the cure.
        """
        options = Options(delay, at, group, key)
        options.check(self, unknown)
        bound = object.__new__(type(self))
        bound.__dict__.update(self.__dict__, _options=options)
        return bound

    def enqueue(self, *args: P.args, **kwargs: P.kwargs) -> Handle[R]:
        """Send it to its queue. When this returns, SQS has it.

        Raises InvalidArgs for arguments that its signature can't read, NoSuchQueue where the stage isn't deployed.
        """
        parcel = self._parcel(self.signature.named(args, kwargs))
        deliver(parcel)
        return self._handle(parcel)

    def enqueue_many(self, items: Iterable[Mapping[str, Any]]) -> list[Handle[R]]:
        """Send one message for each item, in batches of ten, several at once. Every item is checked before any is sent.

        Raises InvalidArgs as `enqueue` does, and PartialFailure when SQS didn't take them all.
        """
        arguments = [self._arguments_of(item) for item in items]
        parcels = [self._parcel(self.signature.named((), item)) for item in arguments]
        problems = deliver_many(parcels)
        handles = [self._handle(parcel) for parcel in parcels]
        if any(problems):
            sent = [handle for handle, problem in zip(handles, problems, strict=True) if problem is None]
            unsent = [(item, problem) for item, problem in zip(arguments, problems, strict=True) if problem]
            raise PartialFailure(self.name, sent, unsent)
        return handles

    def _arguments_of(self, item: object) -> dict[str, Any]:
        if not isinstance(item, Mapping):
            name = next(iter(self.signature.fields), "name")
            raise InvalidArgs(
                f"task {self.name!r}: enqueue_many takes a dict of arguments for each message, such as "
                f'{{"{name}": ...}}, and got {type(item).__name__}'
            )
        return dict(item)

    def handle(self, *, key: object = None, id: str = "") -> Handle[R]:  # noqa: A002 - what it is everywhere
        """The handle of a message that was sent before, by its idempotency key, or by its id where that is the key.

        key: the value of the task's key parameter, or of `options(key=...)`.
        id: the message's id. With a key, `status().duplicate_of` says whether another message ran in its place.

        Whether a message was ever sent can't be known: of one that nothing is stored of, the status is `unknown`.
        Raises ValueError where the key is needed and missing.
        """
        value = self._key_value(key)
        if value in (None, "") and (self.key is not None or not id):
            wanted = f"handle(key=...), the value of {self.key!r}" if self.key else "handle(id=...) or handle(key=...)"
            raise ValueError(f"task {self.name!r}: write {wanted}; or keep handle.ref and use celeriac.handle(ref)")
        return Handle(id, f"{self.name}:{id if value in (None, '') else value}", self)

    def _handle(self, parcel: Parcel) -> Handle[R]:
        # The key as the consumer will compute it: 5 for a `float` arrives as 5.0, a text for a `datetime` as that.
        arguments = self.signature.decode(parcel.message.args) if self.key is not None else {}
        due = datetime.now(UTC) + parcel.delay
        return Handle(parcel.message.id, self.key_of(arguments, parcel.message), self, due)

    def key_for(self, value: object) -> str:
        """The idempotency key `<task>:<value>` of a value of the key parameter, spelled as the consumer spells it."""
        return f"{self.name}:{self._key_value(value)}"

    def _key_value(self, value: object) -> Any:
        plain = key_text(value)
        if self.key is None or plain in (None, ""):
            return plain
        try:
            return key_text(self.signature.arrived(self.key, plain))
        except InvalidArgs:
            return plain  # one of `options(key=...)`

    def key_of(self, arguments: Mapping[str, Any], message: Message) -> str:
        """The idempotency key of a message: `<task>:<its own key, its key parameter, or its id>`.

        A key parameter that is None or empty names nothing, so the id serves. The task's name is part of it because a
        provider sees the keys of all tasks: a charge and a refund of one payment must not look like the same request.
        """
        value: Any = message.key
        if value is None and self.key is not None:
            value = key_text(arguments.get(self.key, self.signature.default(self.key)))
        return f"{self.name}:{message.id if value in (None, '') else value}"

    def parcel(self, *args: P.args, **kwargs: P.kwargs) -> Parcel:
        """What `enqueue` would send, for a transaction to send later. Raises as `enqueue` does."""
        return self._parcel(self.signature.named(args, kwargs))

    def _parcel(self, arguments: dict[str, Any]) -> Parcel:
        options = self._options
        if self.queue.fifo and options.group is None:
            raise ValueError(
                f"task {self.name!r}: its queue {self.queue.name!r} is FIFO, enqueue it with options(group=...)"
            )
        message = Message(
            id=new_id(),
            task=self.name,
            args=msgspec.Raw(self.signature.encode(arguments)),
            key=options.key,
            enqueued_at=datetime.now(UTC),
        )
        return Parcel(self.queue, message, options.wait, options.group)

    def __repr__(self) -> str:
        """Name and queue."""
        return f"<task {self.name} on {self.queue.name}>"


for _name, _cure in habits.METHODS.items():
    setattr(Task, _name, habits.Missing(_name, _cure))


class _Decorator:
    """What `task(queue, ...)` returns. Its overloads take the context off the signature and the coroutine off
    the result, so that a type checker knows `enqueue` as it knows the function.
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
            raise TaskError(f"{function!r} has no name of its own: give the task one, `name=`")
        if self._unknown:
            cures = habits.cures(self._unknown, habits.DECLARING, name)
            known = f"it takes {', '.join(['name', *declared]).replace('policy', 'retry')}"
            raise TaskError(f"task {name!r}: @task(...) has no {', '.join(self._unknown)}; {cures or known}")
        made: Task[..., Any, Any] = Task(function, self._queue, name=name, **declared)
        check(made)
        registry.add(made)
        return made


def task(
    queue: Queue,
    *,
    name: str | None = None,
    key: str | None = None,
    delivery: Delivery = "effectively_once",
    retry: Backoff | CustomPolicy | None = None,
    timeout: timedelta | None = None,
    on: str | None = None,
    cron: str | None = None,
    timezone: str = "UTC",
    **unknown: Never,
) -> _Decorator:
    """Make a function a task of `queue`.

    name: what messages call it; the function's own name by default. Renaming it orphans what is under way.
    key: the parameter whose value is the idempotency key; the message's id by default.
    delivery: effectively_once (Powertools idempotency), at_least_once (no DynamoDB call, unless SQS
        delivers its message again: then it remembers crashes), or at_most_once.
    retry: a Backoff, or a callable (error, attempt) -> delay or None; five attempts from 60 s on by default.
    timeout: how long one run may take, at most its queue's.
    on: the outbox event that calls it, by its exact name or a pattern such as `order.*`.
    cron: when it is called again and again: five fields as in a crontab, `0 3 * * *`, or a name such as `@daily`, or
        EventBridge Scheduler's own `rate(5 minutes)` and `cron(0 3 * * ? *)`; all but `rate` by the clock of
        `timezone`, such as `Europe/Berlin`. The stacks make it a schedule. Its parameters all have defaults.

    Raises TaskError or SignatureError at once, naming the task and the cure, for what can't be kept.
    """
    if not isinstance(queue, Queue):
        raise TaskError(f"task(): {queue!r} is no Queue: declare one in tasks/queues.py, and write @task(that_queue)")
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
    )


__all__ = ["PartialFailure", "Task", "TaskError", "task"]
