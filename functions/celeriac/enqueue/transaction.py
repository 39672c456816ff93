"""The transactional outbox: business items and their events are written in one TransactWriteItems.

An event is a row of the outbox table. The table's stream brings the row to the relay, which publishes it. No event is
published for a transaction that was rolled back. Every event of a committed transaction is published, even if workers
crash in between.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from types import MappingProxyType, TracebackType
from typing import Any, Self, overload

import msgspec

from celeriac.aws.client import may_have_been_carried_out
from celeriac.aws.items import item_of
from celeriac.aws.stored_values import UnsupportedValueError
from celeriac.enqueue import action, batches
from celeriac.enqueue.action import Action, Condition, TransactionError
from celeriac.enqueue.commit import ConditionFailedError, Ending, commit
from celeriac.enqueue.current import entered
from celeriac.enqueue.outbox_row import TASKS, new_row
from celeriac.enqueue.send import Enqueueable, fitted_message
from celeriac.execute.off_loop import off_loop
from celeriac.hooks import registered
from celeriac.leases.checkpoints import Checkpoints
from celeriac.leases.lease import Lease
from celeriac.leases.result import NotStorableError, storable
from celeriac.leases.store import LeaseLostError
from celeriac.model import names, settings
from celeriac.model.continuing import Continue, cursor_text
from celeriac.model.event import Emission, Event
from celeriac.model.stop import Cancelled
from celeriac.model.values import difference
from celeriac.observe import running

# Below DynamoDB's limit for a partition key. The key is the aggregate itself: only as a message group is it hashed.
MOST_AGGREGATE_BYTES = 1024
# The reason why a task that committed has no result, unless it called `tx.result`.
NO_RESULT = "its transaction recorded the success before the task returned; keep a result with tx.result(value)"


class Transaction:
    """Collects actions. Leaving the `with` block commits all of them or none. If the block raises, nothing is written.

    `with` and `async with` both work. `async with` commits in a thread, so it doesn't block the event loop. Its large
    arguments of tasks are stored at the commit too, so the end of the block raises what that raises.

    Tables are named as `tasks/tables.py` declares them, or by their physical names.
    """

    def __init__(
        self,
        lease: Lease | None = None,
        *,
        in_run: bool = False,
        checkpoints: Checkpoints | None = None,
        refusal: str = "",
    ) -> None:
        self._lease = lease
        self._checkpoints, self._refusal = checkpoints, refusal
        self._cursor: str | None = None
        self._actions: list[Action | Callable[[], Action]] = []
        """The actions. One that needs a call to AWS is made at the commit of an `async with`."""
        self._is_async = False
        self._is_over = False
        self.is_open = False
        self._in_run = in_run
        self._result: Any = None
        self._has_result = False

    def put(self, table: str, item: Mapping[str, Any], *, condition: Condition | None = None) -> None:
        """Write a whole item, if `condition` holds for the item that the table holds."""
        self._actions.append(action.put(table, item, condition))

    def update(
        self,
        table: str,
        *,
        key: Mapping[str, Any],
        set: Mapping[str, Any] | None = None,  # noqa: A002 - DynamoDB's word for it
        add: Mapping[str, Any] | None = None,
        condition: Condition | None = None,
    ) -> None:
        """Set attributes of an item, and add to its numbers or sets. A missing number counts as 0.

        A missing item is created, unless `condition` forbids it.
        """
        self._actions.append(action.update(table, key=key, set_=set, add=add, condition=condition))

    def delete(self, table: str, *, key: Mapping[str, Any], condition: Condition | None = None) -> None:
        """Remove an item, if `condition` holds for it."""
        self._actions.append(action.delete(table, key=key, condition=condition))

    def check(self, table: str, *, key: Mapping[str, Any], condition: Condition) -> None:
        """Commit only if `condition` holds for an item that the transaction doesn't write."""
        self._actions.append(action.check(table, key=key, condition=condition))

    @overload
    def emit(self, event: Emission, *, aggregate: str | None = None) -> str: ...

    @overload
    def emit(self, event: str, data: Mapping[str, Any], *, aggregate: str | None = None) -> str: ...

    def emit(
        self, event: Emission | str, data: Mapping[str, Any] | None = None, *, aggregate: str | None = None
    ) -> str:
        """Publish `event` to every task subscribed to it, if the transaction commits. Returns the event's id.

        event: a declared event with its data, such as `OrderCreated(order_id="o-1")`; or a name, with `data`.

        Events of one aggregate are published in the order of their transactions. Raises TransactionError for data that
        isn't an object of plain JSON, and for an aggregate that is empty or longer than 1,024 bytes.
        """
        name, written = _named(event, data)
        if aggregate is not None and not 0 < len(aggregate.encode(errors="surrogatepass")) <= MOST_AGGREGATE_BYTES:
            raise TransactionError(f"event {name}: an aggregate is a text of 1 to {MOST_AGGREGATE_BYTES} bytes")
        if aggregate is not None and aggregate.startswith(TASKS):
            raise TransactionError(f"event {name}: an aggregate can't begin with {TASKS!r}, as tasks' rows do")
        return self._row(name, aggregate, {"data": written})

    def enqueue(self, task: Enqueueable, *args: Any, **kwargs: Any) -> str:
        """Enqueue `task`, with its options, if the transaction commits. Returns the message's id.

        Raises what `task.enqueue` raises.
        """
        parcel = task.parcel(*args, **kwargs)
        content = {"message": "" if self._is_async else fitted_message(parcel), "queue": parcel.queue.name}
        if parcel.delay:
            content["due_at"] = (datetime.now(UTC) + parcel.delay).isoformat()
        if parcel.group is not None:
            content["group"] = parcel.group
        # SQS keeps the order of a group, so the stream must deliver the group's rows in order: they share an aggregate.
        aggregate = parcel.group if parcel.queue.fifo else None
        row_type = f"task:{task.name}"
        if self._is_async:
            row = self._new_row(row_type, aggregate, content)
            self._actions.append(lambda: _action(row_type, row | item_of({"message": fitted_message(parcel)})))
        else:
            self._row(row_type, aggregate, content)
        return parcel.message.id

    def result(self, value: Any) -> None:
        """Keep `value` as the task's result, if the transaction commits: `handle.result()` then returns it.

        The task's return value can't be kept: the success is recorded before the task returns. The last call counts.
        An at_least_once task keeps no result. Raises TransactionError outside a task, and for a value that isn't JSON
        or is larger than 200,000 bytes.
        """
        if not self._in_run:
            raise TransactionError("tx.result(...) keeps the result of a task: outside a task there is none to keep")
        try:
            self._result = storable(value)
        except NotStorableError as error:
            raise TransactionError(f"tx.result(...): the result can't be kept, {error}") from error
        self._has_result = True

    def checkpoint(self, cursor: Any) -> None:
        """Save how far the task is, if the transaction commits: its writes, its events and the cursor, or nothing.

        The run may commit any number of such transactions, and then one without a checkpoint, which records its
        success. After the commit the run ends if its time is almost over, and goes on in the next invocation with
        `ctx.cursor`. cursor: JSON of at most 8 KB, not None; the last call counts.

        Raises TransactionError outside a task, TypeError in one that isn't effectively once, and ValueError for a
        cursor that can't be kept.
        """
        if not self._in_run:
            raise TransactionError(
                "tx.checkpoint(...) saves how far a task is: outside a task there is no record for it"
            )
        if self._refusal:
            raise TypeError(self._refusal)
        batches.begin_part("tx.checkpoint(...)")
        self._cursor = cursor_text(cursor)

    def _row(self, row_type: str, aggregate: str | None, content: Mapping[str, str]) -> str:
        row = self._new_row(row_type, aggregate, content)
        # Those of a task are in its message.
        if "data" in content and (headers := _headers(row_type, row["sk"]["S"], content["data"])) is not None:
            row["headers"] = {"S": msgspec.json.encode(headers).decode()}
        self._actions.append(_action(row_type, row))
        return str(row["sk"]["S"])

    def _new_row(self, row_type: str, aggregate: str | None, content: Mapping[str, str]) -> dict[str, Any]:
        try:
            return new_row(row_type, aggregate, **content)
        except (UnsupportedValueError, UnicodeEncodeError) as error:
            raise TransactionError(f"event {row_type!a}: {error}") from error

    def __enter__(self) -> Self:
        if self._is_over:
            raise TransactionError("a transaction can only be entered once: make another one for further writes")
        self._is_over = True
        if self._lease is not None:
            if self._lease.in_transaction or self._lease.committed:
                raise TransactionError(
                    "a run commits only one transaction without tx.checkpoint(...), and its success with it: put all "
                    "writes into one"
                )
            if self._lease.is_unsure:
                raise TransactionError(
                    "it isn't known whether an earlier transaction of this run was carried out, so this one may be the "
                    "same again: let the run end, the next one goes on from what was saved"
                )
            self._lease.in_transaction = True
        self.is_open = True
        entered.set(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if kind is None and (self._actions or (self._lease is not None and (self._has_result or self._cursor))):
                self._commit()
        finally:
            self.is_open = False
            if self._lease is not None:
                self._lease.in_transaction = False
        if kind is None and self._cursor is not None and self._checkpoints is not None:
            self._checkpoints.committed()

    async def __aenter__(self) -> Self:
        self._is_async = True
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is not None:
            self.__exit__(kind, error, traceback)  # it writes nothing
            return
        # A cancelled task doesn't wait for the end of its commit. The commit may still be carried out, as after a lost
        # answer: it has then recorded the success, and no other run of the task follows.
        try:
            await off_loop(self.__exit__, kind, error, traceback)
        except BaseException as left:
            self._note(left)
            raise

    def _note(self, error: BaseException) -> None:
        """After a commit with a cursor: whether it may have been carried out, though it raised this."""
        known = (TransactionError, ConditionFailedError, LeaseLostError, Continue, Cancelled)
        if self._lease is None or self._cursor is None or isinstance(error, known):
            return
        if not isinstance(error, Exception) or may_have_been_carried_out(error):
            self._lease.is_unsure = True

    def _commit(self) -> None:
        if self._cursor is None and self._lease is not None and self._lease.iterating:
            raise TransactionError(
                "this transaction would end the task, and ctx.iterate(...) has more items: call tx.checkpoint(cursor) "
                "in it, with the cursor of its item. After a `break`, keep no variable that holds the iterator"
            )
        lease, actions = self._lease, [each if isinstance(each, Action) else each() for each in self._actions]
        if self._cursor is not None and self._has_result:
            raise TransactionError(
                "tx.result(...) belongs into the task's last transaction, which has no tx.checkpoint(...)"
            )
        if lease is None:
            commit(actions, None)
        elif self._cursor is not None:
            try:
                commit(actions, Ending(lease.checkpointing(self._cursor), lease.is_saved))
            except BaseException as error:
                self._note(error)
                raise
            lease.has_saved(self._cursor)
        else:
            if lease.must_keep_result and not self._has_result:
                raise TransactionError(
                    "the next step of the chain takes this task's result, and the transaction records the success "
                    "before the task returns: name the result with tx.result(value)"
                )
            completion = lease.completion(self._result, not_kept="" if self._has_result else NO_RESULT)
            commit(actions, Ending(completion, lease.is_completed))
            lease.committed = True
            if (run := running.current()) is not None:
                run.has_committed = True


def _action(row_type: str, row: dict[str, Any]) -> Action:
    return action.row(row_type, names.outbox_table(settings.stage()), row)


def _named(event: object, data: object) -> tuple[str, str]:
    """The name of an event, and its data as JSON."""
    if isinstance(event, Emission):
        if data is not None:
            raise TransactionError(f"event {event.type}: it has its data already, leave the dict out")
        return event.type, event.data
    if isinstance(event, Event):
        raise TransactionError(f"event {event.name}: call the event with its data, as in tx.emit(OrderCreated(...))")
    if not isinstance(event, str):
        raise TransactionError(
            f"tx.emit(...) got a {type(event).__name__}: write the event's name and a dict, or declare "
            "OrderCreated = Event(name, class) and write tx.emit(OrderCreated(...))"
        )
    if not isinstance(data, Mapping):
        raise TransactionError(f"event {event}: its data is a {type(data).__name__}, write a dict of its fields")
    return event, _json(event, dict(data))


def _headers(event: str, row_id: str, data: str) -> dict[str, str] | None:
    """The headers that the hooks give an event. The relay writes them into each subscriber's message."""
    hooks = registered.of_application()
    if not hooks.before_enqueue:
        return None
    # A sender without hooks need not load them.
    from celeriac.hooks import before_enqueue  # noqa: PLC0415
    from celeriac.hooks.events import BeforeEnqueue  # noqa: PLC0415

    its = MappingProxyType(msgspec.json.decode(data))
    return before_enqueue.headers(
        hooks, lambda headers: BeforeEnqueue(headers=headers, id=row_id, event=event, arguments=its)
    )


def _json(event: str, data: dict[str, Any]) -> str:
    """An event's data as JSON. The types of its readers aren't known here, so the data must be plain JSON."""
    try:
        raw = msgspec.json.encode(data)
    except Exception as error:
        raise TransactionError(f"event {event}: its data can't be written as JSON: {error}") from error
    found = difference("data", data, msgspec.json.decode(raw))
    if found is not None:
        raise TransactionError(f"event {event}: {found.problem}: an event is plain JSON, convert it yourself")
    return raw.decode()
