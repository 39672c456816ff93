"""A task: the decorated function is at once the declaration, the entry in the registry, and the way to enqueue."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cached_property, update_wrapper
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Never, overload

import msgspec
from msgspec.structs import replace

from celeriac.declare import leaving
from celeriac.declare.bound import Bound, holds_result, split
from celeriac.declare.chunks import chunks
from celeriac.declare.context import Context
from celeriac.declare.handle import Handle
from celeriac.declare.key import Key, key_of_value, source_of
from celeriac.declare.options import Options
from celeriac.declare.signature import InvalidArgumentsError, KeyText, Signature
from celeriac.enqueue.send import NOW, Parcel, send, send_many
from celeriac.execute.off_loop import off_loop
from celeriac.hooks import registered
from celeriac.model import canonical, celery_names
from celeriac.model.aws_event import AwsEvent
from celeriac.model.continuing import refusal
from celeriac.model.cron import scheduled
from celeriac.model.crontab import ScheduleError
from celeriac.model.errors import CeleriacError, TaskError
from celeriac.model.event import Event
from celeriac.model.firings import CatchUp
from celeriac.model.following import OfBatch, OfChain
from celeriac.model.guarantee import Guarantee, OnMismatch
from celeriac.model.limits import Limit
from celeriac.model.message import Message, new_id
from celeriac.model.once import Debounce, Unique
from celeriac.model.queue import Queue, RetiredQueueError
from celeriac.model.retry import Policy
from celeriac.observe import running

if TYPE_CHECKING:
    from celeriac.declare.enqueue_unique import Sender, Sending
    from celeriac.flow.unique import Holder
    from celeriac.leases.history import Ended
    from celeriac.leases.runs import Run


class PartialFailureError(CeleriacError, RuntimeError):
    """Some messages of `enqueue_many` were not sent. `sent` holds handles; `unsent` holds arguments and reasons.

    Both are in the order of the items. On a FIFO queue `unsent` is all from the first message that wasn't sent, so
    sending it again keeps the group's order. If SQS's answer was lost, that first message may have been sent.
    """

    def __init__(self, task: str, sent: "list[Handle[Any]]", unsent: list[tuple[dict[str, Any], str]]) -> None:
        super().__init__(
            f"{len(unsent)} of {len(sent) + len(unsent)} messages for {task} were not taken, "
            f"the first because of: {unsent[0][1]}"
        )
        self.sent = sent
        self.unsent = unsent


class Task[**P, C, R]:
    """A function that runs on a queue. `P` are its parameters, `C` is what a call returns, `R` its result."""

    def __init__(
        self,
        function: Callable[..., C],
        queue: Queue,
        *,
        name: str,
        key: str | None,
        delivery: Guarantee,
        policy: Policy,
        timeout: timedelta | None,
        on: str | Event[...] | None,
        cron: str | None,
        timezone: str,
        former_queues: Sequence[Queue] = (),
        on_mismatch: OnMismatch = "skip",
        catch_up: CatchUp = "one",
        limits: Sequence[Limit] = (),
        unique: Unique | None = None,
        debounce: Debounce | None = None,
        on_aws: AwsEvent | None = None,
        expires: timedelta | None = None,
    ) -> None:
        self.function = function
        self.module = function.__module__
        """Where it was declared: the function may have been imported from elsewhere."""
        self.queue = queue
        self.former_queues = former_queues
        self.name = name
        self.key = key
        self.guarantee = delivery
        self.policy = policy
        self.timeout = timeout
        self.on = on.name if isinstance(on, Event) else on
        self.event = on if isinstance(on, Event) else None
        """The event that it subscribes to, if a declared one was given."""
        self.cron = _schedule_of(name, cron)
        self.timezone = timezone
        self.on_mismatch = on_mismatch
        self.catch_up = catch_up
        self.limits = limits
        self.unique = unique
        self.debounce = debounce
        self.on_aws = on_aws
        self.expires = expires
        self._options = Options()
        update_wrapper(self, function)

    @cached_property
    def signature(self) -> Signature:
        """The schema of its payload."""
        return Signature(self.function, self.name)

    @property
    def all_queues(self) -> "tuple[Queue, ...]":
        """The queues that it runs from: its own, where its messages are sent, then its former ones."""
        return (self.queue, *self.former_queues)

    def runs_from(self, queue: Queue) -> bool:
        """Whether it runs from the queue of this name."""
        return any(own.name == queue.name for own in self.all_queues)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> C:
        """Call the function here and now. If it takes a context that wasn't given, it gets one made for this call."""
        if not self.signature.takes_context or (args and isinstance(args[0], Context)):
            return self.function(*args, **kwargs)
        arguments = self.signature.named(args, kwargs)
        run_id = new_id()
        context = Context(
            id=run_id,
            key=self.key_of(arguments, Message(id=run_id, task=self.name)).full,
            task=self.name,
            attempt=1,
            deadline=datetime.now(UTC) + (self.timeout or self.queue.timeout),
            _refusal=refusal(self.name, self.guarantee),
        )
        return self.function(context, *args, **kwargs)

    def options(
        self,
        *,
        delay: timedelta = NOW,
        at: datetime | None = None,
        group: str | None = None,
        key: str | None = None,
        expires: timedelta | datetime | None = None,
        **unknown: Never,
    ) -> "Task[P, C, R]":
        """The same task, to be enqueued with options.

        delay: how long the message waits before its first run, at most a year.
        at: the earliest time of the run, with a time zone, at most a year from now; a time in the past means now.
        group: on a standard queue the tenant; on a FIFO queue the messages of one group run in order.
        key: the idempotency key, in place of the key parameter or the id.
        expires: how long after now, or when, with a time zone, the message is worth nothing any more. If its first run
            hasn't started by then, it never starts: `status().state` is then `cancelled`. It must be later than the
            delay. It comes in place of the task's own `expires`.

        Raises ValueError for a wrong value, TypeError for a wrong type or an unknown option, both with the cure.
        """
        options = Options(delay, at, group, key, expires)
        options.check(self.name, getattr(self.function, "__name__", self.name), self.queue, unknown, self.expires)
        if self.debounce is not None:
            options.check_of_debounced(self.name, self.debounce.period)
        bound = object.__new__(type(self))
        bound.__dict__.update(self.__dict__, _options=options)
        return bound

    def enqueue(self, *args: P.args, **kwargs: P.kwargs) -> Handle[R]:
        """Send a message for this task. When this returns, AWS has the message.

        If the task is `Unique`, and another message waits or runs, this returns the handle of that one, whose
        `duplicate` is true.

        Raises InvalidArgumentsError for arguments that the signature can't read, NoSuchQueueError if the stage isn't
        deployed.
        """
        parcel, key = self._parcel(self.signature.named(args, kwargs))
        if self.unique is not None:
            return self._held_or_sent(parcel, key, self._sender(self.unique).send(self._sending(parcel, key)))
        send(parcel)
        return self._handle(parcel, key)

    async def aenqueue(self, *args: P.args, **kwargs: P.kwargs) -> Handle[R]:
        """Like `enqueue`, for async code: all of it runs in a thread, so it doesn't block the event loop.

        The thread reads the arguments: don't change them before this returns. If this is cancelled, the message is
        sent or not: one whose call had begun may have been. With a key, enqueue it again, and it runs once.

        It needs asyncio's event loop (anyio on asyncio too), not trio's. Raises what `enqueue` raises.
        """
        return await off_loop(self.enqueue, *args, **kwargs)

    @overload
    def enqueue_many(self, items: Iterable[Mapping[str, Any]]) -> list[Handle[R]]: ...

    @overload
    def enqueue_many(
        self, items: Iterable[Mapping[str, Any]], *, progress: Callable[[list[Handle[R]]], object]
    ) -> int: ...

    def enqueue_many(
        self, items: Iterable[Mapping[str, Any]], *, progress: Callable[[list[Handle[R]]], object] | None = None
    ) -> list[Handle[R]] | int:
        """Send one message for each item, in batches of ten, several at once. All items are checked before any is sent.

        progress: for more items than fit into memory. They are taken from `items`, checked and sent a thousand at a
        time. `progress` is called with the handles of each thousand, and their number is returned in the end. If an
        item is wrong, those before it are sent, and none after it is taken.

        On a FIFO queue the messages are sent in order, by one call after another with one message each. After a message
        that wasn't sent, no later one is sent (docs/decisions/0021-a-group-is-sent-one-by-one.md).

        Raises InvalidArgumentsError as `enqueue` does, and PartialFailureError if some messages were not sent. With
        `progress`, the error holds those of its thousand. To go on, send its `unsent`, and then the rest of `items`.
        """
        if progress is not None and not callable(progress):
            raise TypeError(
                f"task {self.name!r}: progress is {progress!r}, write a function that takes a list of handles"
            )
        made = (self._made(number, item) for number, item in enumerate(items))
        if progress is None:
            return self._send_many(list(made))
        count = 0
        for chunk, error in chunks(made, lambda one: len(bytes(one[1].message.args))):
            try:
                handles = self._send_many(chunk)
            except PartialFailureError as failed:
                raise failed from error  # else nobody would hear of the item that ended `items`
            count += len(handles)
            progress(handles)
            if error is not None:
                raise error
        return count

    @overload
    async def aenqueue_many(self, items: Iterable[Mapping[str, Any]]) -> list[Handle[R]]: ...

    @overload
    async def aenqueue_many(
        self, items: Iterable[Mapping[str, Any]], *, progress: Callable[[list[Handle[R]]], object]
    ) -> int: ...

    async def aenqueue_many(
        self, items: Iterable[Mapping[str, Any]], *, progress: Callable[[list[Handle[R]]], object] | None = None
    ) -> list[Handle[R]] | int:
        """Like `enqueue_many`, for async code: see `aenqueue`. Raises what `enqueue_many` raises.

        Another thread takes the items and calls `progress`.
        """
        if progress is None:
            return await off_loop(self.enqueue_many, items)
        return await off_loop(self.enqueue_many, items, progress=progress)

    def bind(self, *args: P.args, **kwargs: P.kwargs) -> Bound[R]:
        """The task with its arguments and options, for a batch or a chain: nothing is sent yet.

        An argument may be `celeriac.RESULT`, in every step of a chain but the first. Raises what `enqueue` raises for
        its arguments.
        """
        given, results = split(self.signature.named(args, kwargs))
        if any(holds_result(value) for value in given.values()):
            raise InvalidArgumentsError(
                f"task {self.name!r}: RESULT stands inside a value: pass it as a whole argument, and let the task take "
                "it apart"
            )
        if results:
            self.signature.encode_some(given)
        else:
            self.signature.encode(given)
        return Bound(self, given, results)

    @property
    def has_time(self) -> bool:
        """Whether its options name an instant, for its run or its expiry."""
        return self._options.at is not None or isinstance(self._options.expires, datetime)

    @property
    def has_own_key(self) -> bool:
        """Whether its options name its key."""
        return self._options.key is not None

    def composed(
        self,
        arguments: Mapping[str, Any],
        message_id: str,
        *,
        batch: OfBatch | None = None,
        chain: OfChain | None = None,
        has_gaps: bool = False,
    ) -> tuple[Parcel, Handle[R]]:
        """The parcel and the handle of a member of a batch, a step of a chain, or a callback.

        has_gaps: some of the arguments are yet to come. Raises what `enqueue` raises.
        """
        parcel, key = self._parcel(dict(arguments), message_id=message_id, of=(batch, chain), has_gaps=has_gaps)
        return parcel, self._handle(parcel, key)

    def _made(self, number: int, item: object) -> tuple[dict[str, Any], Parcel, Key]:
        """An item, with its message and key."""
        try:
            arguments = self._arguments_of(item)
            return arguments, *self._parcel(self.signature.named((), arguments))
        except InvalidArgumentsError as error:
            error.add_note(f"It is item {number} of enqueue_many, if the first one is item 0.")
            raise

    def _send_many(self, made: list[tuple[dict[str, Any], Parcel, Key]]) -> list[Handle[R]]:
        parcels = [parcel for _, parcel, _ in made]
        if self.unique is not None:
            answers = self._sender(self.unique).send_many([self._sending(parcel, key) for _, parcel, key in made])
            refusals = [answer if isinstance(answer, str) else None for answer in answers]
            handles = [
                self._held_or_sent(parcel, key, answer if not isinstance(answer, str) else None)
                for (_, parcel, key), answer in zip(made, answers, strict=True)
            ]
        else:
            refusals = send_many(parcels)
            handles = [self._handle(parcel, key) for _, parcel, key in made]
        if any(refusals):
            sent = [handle for handle, refusal in zip(handles, refusals, strict=True) if refusal is None]
            unsent = [(item, refusal) for (item, *_), refusal in zip(made, refusals, strict=True) if refusal]
            raise PartialFailureError(self.name, sent, unsent)
        return handles

    def _arguments_of(self, item: object) -> dict[str, Any]:
        if not isinstance(item, Mapping):
            name = next(iter(self.signature.fields), "name")
            raise InvalidArgumentsError(
                f"task {self.name!r}: enqueue_many takes a dict of arguments for each message, such as "
                f'{{"{name}": ...}}, and got {type(item).__name__}'
            )
        return dict(item)

    @overload
    def handle(self, *, key: object, id: str = "") -> Handle[R]: ...

    @overload
    def handle(self, *, id: str) -> Handle[R]: ...

    def handle(self, *, key: object = None, id: str = "") -> Handle[R]:  # noqa: A002 - its name everywhere
        """The handle of a message that was sent before, by its idempotency key, or by its id if the id is the key.

        key: the value of the task's key parameter, or of `options(key=...)`.
        id: the message's id. With a key, `status().duplicate_of` says whether another message ran in its place.

        A handle is no proof that a message was sent: if nothing is stored about the message, the status is `unknown`.
        That is so until its first run, too. The handle of a `ref` knows when the message was sent, and says `queued`.

        Raises ValueError if the key is needed and missing, and for the key alone of an at_least_once task, of which
        nothing is stored by key; TypeError for an id that isn't a text.
        """
        if not isinstance(id, str):
            raise TypeError(f"task {self.name!r}: handle(id=...) takes a text, not {type(id).__name__}: write str(...)")
        value = self._key_text(key)
        if not value.text and (self.key is not None or not id):
            wanted = f"handle(key=...), the value of {self.key!r}" if self.key else "handle(id=...) or handle(key=...)"
            raise ValueError(f"task {self.name!r}: write {wanted}; or keep handle.ref and use celeriac.handle(ref)")
        if self.guarantee == "at_least_once" and not id:
            raise ValueError(
                f"task {self.name!r} is at_least_once, and nothing is stored of it by key: write handle(key=..., "
                "id=...), which finds its dead letter; or keep handle.ref and use celeriac.handle(ref)"
            )
        former = f"{self.name}:{value.former}" if value.former != value.text else None
        return self.handle_of(id, f"{self.name}:{value.text or id}", former=former)

    def runs(
        self,
        *,
        state: "Ended | None" = None,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int = 100,
    ) -> "list[Run]":
        """The last runs that have ended, the latest first. Its queue needs `history=True`.

        state: those that ended as succeeded, dead or cancelled. since, until: when they ended, with their zones.
        limit: at most 1,000. To read on, ask again with the last one's `ended_at` as `until`: what ended in the same
        millisecond comes again.

        The list is a second or so behind. It has one row for each key: its last message's. Raises NoHistoryError if the
        queue keeps no history, or for an at_least_once task; ValueError for a wrong value; and AWS's errors.
        """
        from celeriac.leases.runs import NoHistoryError, ended  # noqa: PLC0415 - most producers don't need it

        if self.guarantee == "at_least_once":
            raise NoHistoryError(f"task {self.name!r} is at_least_once: nothing is recorded of its runs")
        if not self.queue.history:
            raise NoHistoryError(
                f"task {self.name!r}: its queue {self.queue.name!r} keeps no history: declare it with history=True, "
                "and deploy"
            )
        return ended(self.name, [state] if state is not None else [], since=since, until=until, limit=limit)

    def handle_of(
        self,
        message_id: str,
        key: str,
        due: datetime | None = None,
        *,
        former: str | None = None,
        limited_by: Mapping[str, str] | None = None,
    ) -> Handle[R]:
        """The handle of a message whose id and whole idempotency key, `<task>:<value>`, are known.

        former: the key under which an older release may have recorded the same work. limited_by: what the message's
        arguments say of the limits that have a `by`, if they are known.
        """
        return Handle(
            message_id,
            key,
            self.name,
            self.queue,
            self.guarantee,
            lambda: self.signature,
            due,
            self.former_queues,
            former,
            self.limits,
            limited_by or {},
        )

    def _sender(self, declared: Unique) -> "Sender":
        from celeriac.declare.enqueue_unique import Sender  # noqa: PLC0415 - most producers don't need it

        return Sender(declared, self.guarantee)

    def _sending(self, parcel: Parcel, key: Key) -> "Sending":
        from celeriac.declare.enqueue_unique import Sending  # noqa: PLC0415 - see above
        from celeriac.flow import rows  # noqa: PLC0415 - see above

        arrived = self.signature.decode(parcel.message.args)
        names = self.unique.names if self.unique is not None else ()
        return Sending(parcel, key.full, rows.of_unique(self.queue.name, self.name, self.text_of(names, arrived)))

    def _held_or_sent(self, parcel: Parcel, key: Key, holder: "Holder | None") -> Handle[R]:
        if holder is None:
            return self._handle(parcel, key)
        return replace(self.handle_of(holder.id, holder.key, holder.due), duplicate=True)

    def _handle(self, parcel: Parcel, key: Key) -> Handle[R]:
        former = key.former if not key.is_of_message else None
        due, limited_by = datetime.now(UTC) + parcel.delay, self._limited_by(parcel.message)
        handle = self.handle_of(parcel.message.id, key.full, due, former=former, limited_by=limited_by)
        if self.debounce is None:
            return handle
        raw, names = parcel.message.args, self.debounce.names
        return replace(handle, _debounced_by=lambda: self.text_of(names, self.signature.decode(raw)))

    def _limited_by(self, message: Message) -> dict[str, str]:
        """What a message's arguments say of the limits that have a `by`, as its consumer reads them."""
        limits = [limit for limit in self.limits if limit.names]
        if not limits:
            return {}
        try:
            arguments = self.signature.decode(message.args)
            return {limit.name: self.text_of(limit.names, arguments) for limit in limits}
        except InvalidArgumentsError:
            return {}  # the message was sent: whatever is wrong with it is told by its consumer

    def key_for(self, value: object) -> str:
        """The idempotency key `<task>:<value>` of a value of the key parameter, spelled as the consumer spells it."""
        return f"{self.name}:{self._key_text(value).text}"

    def _key_text(self, value: object) -> KeyText:
        if self.key is None:
            return self.signature.key("", value)
        try:
            return self.signature.key(self.key, self.signature.arrived(self.key, canonical.unordered(value)))
        except Exception:  # noqa: BLE001 - a key of `options(key=...)`, or a value whose own code may raise anything
            return self.signature.key("", value)

    def key_of(self, arguments: Mapping[str, Any], message: Message, raw: bytes | msgspec.Raw | None = None) -> Key:
        """The idempotency key of a message: `<task>:<its own key, its key parameter, or its id>`.

        If the key parameter says nothing, such as None or an empty list, the id is used. The task's name is part of the
        key because a provider sees the keys of all tasks: a charge and a refund of one payment must not look like the
        same request.

        arguments: as they arrived. raw: as they were sent, if the message doesn't hold them. Raises
        InvalidArgumentsError for a value without a JSON form.
        """
        if self.key is None or (message.key is not None and not message.key_source):
            value = message.key if message.key is not None else message.id
            return Key(self.name, value, is_chosen=message.key is not None)
        source = source_of(message.args if raw is None else raw, self.key)
        own = self.signature.key(self.key, arguments.get(self.key, self.signature.default(self.key)))
        return key_of_value(self.name, own, source, message)

    def text_of(self, names: Sequence[str], arguments: Mapping[str, Any]) -> str:
        """The values that arguments have for some parameters, as one text: equal values make the same one.

        Raises InvalidArgumentsError for a value without a JSON form.
        """
        values = ((name, arguments.get(name, self.signature.default(name))) for name in names)
        return canonical.of_texts([self.signature.key(name, value).text for name, value in values])

    def parcel(self, *args: P.args, **kwargs: P.kwargs) -> Parcel:
        """The parcel that `enqueue` would send, for a transaction. Raises what `enqueue` raises for its arguments."""
        return self._parcel(self.signature.named(args, kwargs))[0]

    def _parcel(
        self,
        arguments: dict[str, Any],
        *,
        message_id: str = "",
        of: tuple[OfBatch | None, OfChain | None] = (None, None),
        has_gaps: bool = False,
    ) -> tuple[Parcel, Key]:
        options = self._options
        if self.queue.retired:
            raise RetiredQueueError(
                f"task {self.name!r}: its queue {self.queue.name!r} is retired, so nothing new is sent to it: declare "
                f"the task on another queue, with former_queues=[{self.queue.name}]"
            )
        if (run := running.current()) is not None:
            leaving.check(run.queue, self.queue, f"task {self.name!r} is")
        if self.queue.fifo and options.group is None:
            raise ValueError(
                f"task {self.name!r}: its queue {self.queue.name!r} is FIFO, enqueue it with options(group=...)"
            )
        raw, arrived = self.signature.encode_some(arguments) if has_gaps else self.signature.encode(arguments)
        message = Message(
            id=message_id or new_id(),
            task=self.name,
            args=msgspec.Raw(raw),
            key=options.key,
            enqueued_at=datetime.now(UTC),
            due_at=datetime.now(UTC) + options.wait if options.wait else None,
            expires_at=options.expires_at(self.expires),
            batch=of[0],
            chain=of[1],
        )
        key = self.key_of(arrived, message)  # as the consumer reads it
        message = key.carried_by(message)
        hooks = registered.of_application(self.module)
        if hooks.before_enqueue:
            message = replace(message, headers=self._headers(hooks, message, arguments, key))
        return Parcel(self.queue, message, options.wait, options.group), key

    def _headers(
        self, hooks: registered.Registered, message: Message, arguments: dict[str, Any], key: Key
    ) -> dict[str, str] | None:
        # A producer without hooks need not load them.
        from celeriac.hooks import before_enqueue  # noqa: PLC0415
        from celeriac.hooks.events import BeforeEnqueue  # noqa: PLC0415

        options = self._options

        def event(headers: dict[str, str]) -> BeforeEnqueue:
            return BeforeEnqueue(
                headers=headers,
                id=message.id,
                task=self.name,
                queue=self.queue.name,
                key=key.full,
                arguments=MappingProxyType(arguments),
                delay=options.wait,
                group=options.group,
            )

        return before_enqueue.headers(hooks, event)

    def __repr__(self) -> str:
        """Name and queue."""
        return f"<task {self.name} on {self.queue.name}>"


for _name, _cure in celery_names.METHODS.items():
    setattr(Task, _name, celery_names.Missing(_name, _cure))


def _schedule_of(name: str, cron: str | None) -> str | None:
    """The `cron` of a task as EventBridge Scheduler takes it. Raises TaskError, which quotes the `cron`."""
    try:
        return scheduled(cron) if cron is not None else None
    except ScheduleError as error:
        raise TaskError(f"task {name!r}: {cron!r} is no schedule, {error}") from None
