"""The transactional outbox: business items and their events are written in one TransactWriteItems.

An event is a row of the outbox table. The table's stream brings the row to the relay, which publishes it. No event is
published for a transaction that was rolled back. Every event of a committed transaction is published, even if workers
crash in between.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from itertools import count
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import msgspec
from boto3.dynamodb.conditions import ConditionBase, ConditionExpressionBuilder

from celeriac.aws import refusals
from celeriac.aws.client import client
from celeriac.aws.items import item_of, plain, size_of, value_of
from celeriac.enqueue.outbox_row import WAITING, new_row
from celeriac.enqueue.send import Enqueueable, fitted_message
from celeriac.leases.lease import Lease
from celeriac.leases.result import NotStorableError, storable
from celeriac.leases.store import LeaseLostError
from celeriac.model import declared, names, settings
from celeriac.model.errors import CeleriacError
from celeriac.model.message import new_id
from celeriac.model.values import difference

if TYPE_CHECKING:
    from botocore.exceptions import ClientError

# https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html
MOST_ACTIONS = 100
MOST_BYTES = 4 * 1024 * 1024
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ServiceQuotas.html
MOST_ITEM_BYTES = 400 * 1024
# Marking makes a row of the outbox larger: it adds the time of publication, or the reason why the row is parked.
HEADROOM_BYTES = 2048
# Below DynamoDB's limit for a partition key. The key is the aggregate itself: only as a message group is it hashed.
MOST_AGGREGATE_BYTES = 1024
# Temporary refusals: another transaction writes one of the items, or a table is short of capacity.
PASSING = frozenset({"TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"})
# The reason why a task that committed has no result, unless it called `tx.result`.
NO_RESULT = "its transaction recorded the success before the task returned; keep a result with tx.result(value)"
# The waits between the tries start at 0.1 s and double each time: about three seconds in all.
MOST_TRIES = 6

type Condition = str | ConditionBase
"""A condition expression of DynamoDB. Without values it is a text, such as `attribute_not_exists(pk)`. With values it
is built by boto3: `Attr("balance").gte(5)` (`from boto3.dynamodb.conditions import Attr`)."""


class TransactionError(CeleriacError, RuntimeError):
    """A transaction that can't be carried out as it was written."""


class ConditionFailedError(CeleriacError, RuntimeError):
    """A condition of the transaction didn't hold: nothing was written.

    `action` names the action whose condition failed. `item` is the item that the table holds (None if there is none).
    """

    def __init__(self, action: str, item: dict[str, Any] | None) -> None:
        super().__init__(f"the condition of {action} doesn't hold; nothing was written")
        self.action = action
        self.item = item


class Transaction:
    """Collects actions. Leaving the `with` block commits all of them or none. If the block raises, nothing is written.

    Tables are named as `tasks/tables.py` declares them, or by their physical names.
    """

    def __init__(self, lease: Lease | None = None, *, in_run: bool = False) -> None:
        self._lease = lease
        self._actions: list[dict[str, Any]] = []
        self._labels: list[str] = []
        self._bytes = 0
        self._is_over = False
        self._in_run = in_run
        self._result: Any = None
        self._has_result = False

    def put(self, table: str, item: Mapping[str, Any], *, condition: Condition | None = None) -> None:
        """Write a whole item, if `condition` holds for the item that the table holds."""
        self._put(f"put into {table}", _physical(table), item_of(item), condition)

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
        clauses = {"SET": ("set", " = ", set or {}), "ADD": ("add", " ", add or {})}
        expression: list[str] = []
        names: dict[str, str] = {}
        values: dict[str, Any] = {}
        for clause, (mark, between, wanted) in clauses.items():
            if wanted:
                parts = [f"#{mark}{i}{between}:{mark}{i}" for i in range(len(wanted))]
                expression.append(f"{clause} {', '.join(parts)}")
                names |= {f"#{mark}{i}": name for i, name in enumerate(wanted)}
                values |= {f":{mark}{i}": value_of(value) for i, value in enumerate(wanted.values())}
        if not expression:
            raise TransactionError(f"an update of {table} that changes nothing: give it set= or add=")
        on = {"TableName": _physical(table), "Key": item_of(key), "UpdateExpression": " ".join(expression)}
        self._count(f"update of {table}", size_of(on["Key"]) + size_of(values))
        self._add(f"update of {table}", "Update", on, condition, names=names, values=values)

    def delete(self, table: str, *, key: Mapping[str, Any], condition: Condition | None = None) -> None:
        """Remove an item, if `condition` holds for it."""
        self._add(f"delete from {table}", "Delete", {"TableName": _physical(table), "Key": item_of(key)}, condition)

    def check(self, table: str, *, key: Mapping[str, Any], condition: Condition) -> None:
        """Commit only if `condition` holds for an item that the transaction doesn't write."""
        on = {"TableName": _physical(table), "Key": item_of(key)}
        self._add(f"check of {table}", "ConditionCheck", on, condition)

    def emit(self, event: str, data: Mapping[str, Any], *, aggregate: str | None = None) -> str:
        """Publish `event` to every task subscribed to it, if the transaction commits. Returns the event's id.

        Events of one aggregate are published in the order of their transactions. Raises TransactionError for data that
        isn't an object of plain JSON, and for an aggregate that is empty or longer than 1,024 bytes.
        """
        if not isinstance(data, Mapping):
            raise TransactionError(f"event {event}: its data is a {type(data).__name__}, write a dict of its fields")
        if aggregate is not None and not 0 < len(aggregate.encode()) <= MOST_AGGREGATE_BYTES:
            raise TransactionError(f"event {event}: an aggregate is a text of 1 to {MOST_AGGREGATE_BYTES} bytes")
        return self._row(event, aggregate, data=_json(event, dict(data)))

    def enqueue(self, task: Enqueueable, *args: Any, **kwargs: Any) -> str:
        """Enqueue `task`, with its options, if the transaction commits. Returns the message's id.

        Raises what `task.enqueue` raises.
        """
        parcel = task.parcel(*args, **kwargs)
        content = {"message": fitted_message(parcel), "queue": parcel.queue.name}
        if parcel.delay:
            content["due_at"] = (datetime.now(UTC) + parcel.delay).isoformat()
        if parcel.group is not None:
            content["group"] = parcel.group
        # SQS keeps the order of a group, so the stream must deliver the group's rows in order: they share an aggregate.
        aggregate = f"{parcel.queue.name}/{parcel.group}" if parcel.queue.fifo else None
        self._row(f"task:{task.name}", aggregate, **content)
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

    def _row(self, event: str, aggregate: str | None, **content: str) -> str:
        row = new_row(event, aggregate, **content)
        self._put(f"event {event}", names.outbox_table(settings.stage()), row, None)
        return str(row["sk"]["S"])

    def _put(self, label: str, table: str, item: dict[str, Any], condition: Condition | None) -> None:
        self._count(label, size_of(item) + (HEADROOM_BYTES if WAITING in item else 0))
        self._add(label, "Put", {"TableName": table, "Item": item}, condition)

    def _count(self, label: str, size: int) -> None:
        if size > MOST_ITEM_BYTES:
            raise TransactionError(
                f"{label}: {size} bytes, and an item of DynamoDB holds {MOST_ITEM_BYTES} (400 KB): "
                "keep the bulk in S3, and its key in the item"
            )
        self._bytes += size

    def _add(
        self,
        label: str,
        kind: str,
        on: dict[str, Any],
        condition: Condition | None,
        *,
        names: dict[str, str] | None = None,
        values: dict[str, Any] | None = None,
    ) -> None:
        names, values = names or {}, values or {}
        if isinstance(condition, ConditionBase):
            built = ConditionExpressionBuilder().build_expression(condition)
            on["ConditionExpression"] = built.condition_expression
            names |= built.attribute_name_placeholders
            values |= {name: value_of(value) for name, value in built.attribute_value_placeholders.items()}
        elif condition is not None:
            on["ConditionExpression"] = condition
        if condition is not None:
            on["ReturnValuesOnConditionCheckFailure"] = "ALL_OLD"
        if names:
            on["ExpressionAttributeNames"] = names
        if values:
            on["ExpressionAttributeValues"] = values
        self._labels.append(f"action {len(self._actions) + 1}, {label}")
        self._actions.append({kind: on})

    def __enter__(self) -> Self:
        if self._is_over:
            raise TransactionError("a transaction can only be entered once: make another one for further writes")
        self._is_over = True
        if self._lease is not None:
            if self._lease.in_transaction or self._lease.committed:
                raise TransactionError(
                    "a run commits only one transaction, and its success with it: put all writes into one"
                )
            self._lease.in_transaction = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if kind is None and (self._actions or (self._has_result and self._lease is not None)):
                self._commit()
        finally:
            if self._lease is not None:
                self._lease.in_transaction = False

    def _commit(self) -> None:
        lease = self._lease
        actions: list[Any] = [*self._actions]
        if lease is not None:
            actions.append(lease.completion(self._result, not_kept="" if self._has_result else NO_RESULT))
        if len(actions) > MOST_ACTIONS:
            raise TransactionError(
                f"{len(actions)} actions, events, tasks and the task's own record included, don't fit into a "
                f"transaction of DynamoDB, which takes {MOST_ACTIONS}: write less in one"
            )
        if self._bytes > MOST_BYTES:
            raise TransactionError(
                f"{self._bytes} bytes, those of events and tasks included, don't fit into a transaction of DynamoDB, "
                f"which takes {MOST_BYTES} (4 MB): write less in one, or keep the bulk in S3"
            )
        dynamodb = client("dynamodb")
        # If the answer is lost, a retry with this token is the same transaction. A token is valid for ten minutes.
        token = new_id()
        for attempt in count(1):
            try:
                dynamodb.transact_write_items(TransactItems=actions, ClientRequestToken=token)
                break
            except dynamodb.exceptions.TransactionCanceledException as canceled:
                self._give_up_unless_it_passes(canceled, attempt)
                refusals.wait(attempt)
            except Exception:
                # A lost answer is not a failure: the transaction may have been carried out. Then it has also written
                # the task's record, which is read here.
                if lease is None or not lease.is_completed():
                    raise
                break
        if lease is not None:
            lease.committed = True

    def _give_up_unless_it_passes(self, canceled: "ClientError", attempt: int) -> None:
        """Raise the error of a canceled transaction, or return if another try may succeed."""
        reasons: list[Mapping[str, Any]] = canceled.response.get("CancellationReasons", [])  # type: ignore[assignment]  # only this error has it
        if self._lease is not None and reasons and _failed(reasons[-1]):
            raise LeaseLostError from canceled
        for label, reason in zip(self._labels, reasons, strict=False):
            if _failed(reason):
                raise ConditionFailedError(label, plain(reason.get("Item"))) from canceled
        passes = any(reason.get("Code") in PASSING for reason in reasons)
        if not passes or attempt == MOST_TRIES:
            raise canceled


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


def _failed(reason: Mapping[str, Any]) -> bool:
    return reason.get("Code") == "ConditionalCheckFailed"


def _physical(table: str) -> str:
    known = declared.tables().get(table)
    return known.physical_name(settings.stage()) if known is not None else table
