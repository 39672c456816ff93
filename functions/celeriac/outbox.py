"""The transactional outbox: business items and the events that tell of them, written in one TransactWriteItems.

An event is a row of the outbox table; its stream brings it to the relay. An order that is rolled back tells nobody,
an order that is committed tells everybody, whatever crashes in between.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import msgspec
from boto3.dynamodb.types import TypeSerializer

from celeriac import names, registry, settings
from celeriac.aws import client
from celeriac.deliver import fitted_message
from celeriac.lease import Lease, LeaseLost
from celeriac.message import new_id

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.type_defs import TransactWriteItemTypeDef

    from celeriac.task import Task


# https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html
MOST_ACTIONS = 100


class TransactionError(RuntimeError):
    """A transaction that can't be made as it was asked for."""


class ConditionFailed(RuntimeError):  # noqa: N818 - DynamoDB's name for it
    """A condition of the transaction didn't hold: nothing of it was written.

    `action` says which one, `item` is what lies there instead (None where there is nothing).
    """

    def __init__(self, action: str, item: dict[str, Any] | None) -> None:
        super().__init__(f"the condition of {action} doesn't hold; nothing was written")
        self.action = action
        self.item = item


class Transaction:
    """Collects actions; leaving the `with` block commits them all, or none. An exception inside writes nothing.

    Tables are named as `tasks/tables.py` declares them, or by their physical names.
    """

    def __init__(self, lease: Lease | None = None) -> None:
        self._lease = lease
        self._actions: list[TransactWriteItemTypeDef] = []
        self._labels: list[str] = []

    def put(self, table: str, item: Mapping[str, Any], *, condition: str | None = None) -> None:
        """Write a whole item, if `condition` (a DynamoDB condition expression) holds for what lies there."""
        action = {"TableName": _physical(table), "Item": _attributes(item)} | _condition(condition)
        self._add(f"put into {table}", {"Put": action})  # type: ignore[typeddict-item]  # mypy can't see through |

    def update(
        self,
        table: str,
        *,
        key: Mapping[str, Any],
        set: Mapping[str, Any],  # noqa: A002 - DynamoDB's word for it
        condition: str | None = None,
    ) -> None:
        """Set some attributes of an item, made if it isn't there."""
        assignments = [f"#set{i} = :set{i}" for i in range(len(set))]
        action = {
            "TableName": _physical(table),
            "Key": _attributes(key),
            "UpdateExpression": "SET " + ", ".join(assignments),
            "ExpressionAttributeNames": {f"#set{i}": name for i, name in enumerate(set)},
            "ExpressionAttributeValues": {f":set{i}": _serialize(value) for i, value in enumerate(set.values())},
        } | _condition(condition)
        self._add(f"update of {table}", {"Update": action})  # type: ignore[typeddict-item]  # mypy can't see through |

    def delete(self, table: str, *, key: Mapping[str, Any], condition: str | None = None) -> None:
        """Remove an item, if `condition` holds for it."""
        action = {"TableName": _physical(table), "Key": _attributes(key)} | _condition(condition)
        self._add(f"delete from {table}", {"Delete": action})  # type: ignore[typeddict-item]  # mypy can't see through |

    def check(self, table: str, *, key: Mapping[str, Any], condition: str) -> None:
        """Commit only if `condition` holds for an item that the transaction doesn't write."""
        action = {"TableName": _physical(table), "Key": _attributes(key)} | _condition(condition)
        self._add(f"check of {table}", {"ConditionCheck": action})  # type: ignore[typeddict-item]  # mypy can't see through |

    def emit(self, event: str, data: Mapping[str, Any], *, aggregate: str | None = None) -> str:
        """Publish `event` to every task subscribed to it, if the transaction commits; returns the event's id.

        Events of one aggregate are published in the order of their transactions.
        """
        return self._row(event, aggregate, data=msgspec.json.encode(data).decode())

    def enqueue(self, task: "Task[..., Any, Any]", *args: Any, **kwargs: Any) -> str:
        """Enqueue `task`, with its options, if the transaction commits; returns its id.

        Raises what `task.enqueue` raises.
        """
        parcel = task.parcel(*args, **kwargs)
        row: dict[str, str] = {"message": fitted_message(parcel)}
        if parcel.delay:
            row["due_at"] = (datetime.now(UTC) + parcel.delay).isoformat()
        if parcel.group is not None:
            row["group"] = parcel.group
        self._row(f"task:{task.name}", None, **row)
        return parcel.message.id

    def _row(self, event: str, aggregate: str | None, **content: str) -> str:
        row_id = new_id()
        row = {
            # All rows of an aggregate lie in one partition, hence in one shard of the stream, in order.
            "pk": aggregate if aggregate is not None else row_id,
            "sk": row_id,
            "type": event,
            "occurred_at": datetime.now(UTC).isoformat(),
            **content,
        }
        table = names.outbox_table(settings.stage())
        self._add(f"event {event}", {"Put": {"TableName": table, "Item": _attributes(row)}})
        return row_id

    def _add(self, label: str, action: "TransactWriteItemTypeDef") -> None:
        self._labels.append(label)
        self._actions.append(action)

    def __enter__(self) -> Self:
        if self._lease is not None:
            if self._lease.in_transaction or self._lease.committed:
                raise TransactionError(
                    "a run commits one transaction, and with it its success: put what two would do into one"
                )
            self._lease.in_transaction = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if kind is None and self._actions:
                self._commit()
        finally:
            if self._lease is not None:
                self._lease.in_transaction = False

    def _commit(self) -> None:
        lease = self._lease
        actions = [*self._actions, *([lease.completion()] if lease is not None else [])]
        if len(actions) > MOST_ACTIONS:
            raise TransactionError(
                f"{len(actions)} actions, events, tasks and the task's own record included, don't fit into a "
                f"transaction of DynamoDB, which takes {MOST_ACTIONS}: write less in one"
            )
        dynamodb = client("dynamodb")
        try:
            # The token makes a retry of this call, its answer lost, the same transaction (for ten minutes).
            dynamodb.transact_write_items(TransactItems=actions, ClientRequestToken=new_id())
        except dynamodb.exceptions.TransactionCanceledException as canceled:
            reasons = canceled.response.get("CancellationReasons", [])
            if lease is not None and reasons and _failed(reasons[-1]):
                raise LeaseLost from canceled
            for label, reason in zip(self._labels, reasons, strict=False):
                if _failed(reason):
                    raise ConditionFailed(label, _plain(reason.get("Item"))) from canceled
            raise
        except Exception:
            # No answer is no refusal: it may have been carried out. The record, written with it, knows.
            if lease is None or not lease.is_completed():
                raise
        if lease is not None:
            lease.committed = True


def _failed(reason: Mapping[str, Any]) -> bool:
    return reason.get("Code") == "ConditionalCheckFailed"


def _physical(table: str) -> str:
    declared = registry.tables().get(table)
    return declared.physical_name(settings.stage()) if declared is not None else table


def _condition(condition: str | None) -> dict[str, Any]:
    if condition is None:
        return {}
    return {"ConditionExpression": condition, "ReturnValuesOnConditionCheckFailure": "ALL_OLD"}


def _serialize(value: Any) -> Any:
    return TypeSerializer().serialize(value)


def _attributes(item: Mapping[str, Any]) -> Any:
    return {name: _serialize(value) for name, value in item.items()}


def _plain(item: Any) -> dict[str, Any] | None:
    if not item:
        return None
    from boto3.dynamodb.types import TypeDeserializer  # noqa: PLC0415 - only on the way to an error

    return {name: TypeDeserializer().deserialize(value) for name, value in item.items()}
