"""The commit of a transaction: one TransactWriteItems, tried again while its refusal is temporary."""

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from itertools import count
from typing import TYPE_CHECKING, Any, NamedTuple

from celeriac.aws import refusals
from celeriac.aws.client import client, error_code
from celeriac.aws.items import plain
from celeriac.enqueue.action import SHORT, Action, TransactionError, key_name
from celeriac.enqueue.order import Order
from celeriac.leases.store import LeaseLostError
from celeriac.model.errors import CeleriacError
from celeriac.model.message import new_id

if TYPE_CHECKING:
    from botocore.exceptions import ClientError
    from mypy_boto3_dynamodb.type_defs import TransactWriteItemTypeDef

# https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html
MOST_ACTIONS = 100
MOST_BYTES = 4 * 1024 * 1024
# Temporary refusals: another transaction writes one of the items, or a table is short of capacity.
PASSING = frozenset({"TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"})
# The marks of the order may take so much beside the actions.
ROOM_BYTES = 256 * 1024
# The waits between the tries start at 0.1 s and double each time: about three seconds in all.
MOST_TRIES = 6


class ConditionFailedError(CeleriacError, RuntimeError):
    """A condition of the transaction didn't hold: nothing was written.

    `action` names the action whose condition failed. `item` is the item that the table holds (None if there is none).
    """

    def __init__(self, action: str, item: dict[str, Any] | None) -> None:
        super().__init__(f"the condition of {action} doesn't hold; nothing was written")
        self.action = action
        self.item = item


class Ending(NamedTuple):
    """What a transaction writes into the record of its task: its success, or how far it is."""

    write: "TransactWriteItemTypeDef"
    is_written: Callable[[], bool]
    """Asks the record, after a lost answer. Raises AWS's errors."""


def commit(actions: Sequence[Action], ending: Ending | None) -> None:
    """Carry out all actions, and the write into the record of the task with them, or none.

    Raises TransactionError for more than DynamoDB takes, for two actions on one item and for whatever else DynamoDB
    calls invalid; ConditionFailedError, LeaseLostError, and AWS's errors.
    """
    _refuse_item_twice(actions)
    writes: list[Any] = [action.write for action in actions]
    last: list[Any] = [ending.write] if ending is not None else []
    size = sum(action.size for action in actions)
    _refuse_too_much(len(writes) + len(last), size)
    order = Order(actions, room=MOST_ACTIONS - len(writes) - len(last) if size < MOST_BYTES - ROOM_BYTES else 0)
    dynamodb = client("dynamodb")
    # If the answer is lost, a retry with this token is the same transaction. A token is valid for ten minutes.
    token = new_id()
    for attempt in count(1):
        try:
            dynamodb.transact_write_items(TransactItems=writes + order.writes + last, ClientRequestToken=token)
            return
        except dynamodb.exceptions.TransactionCanceledException as canceled:
            passes = _passes(canceled, actions, has_lease=ending is not None)
            of_marks = _reasons(canceled)[len(actions) : len(actions) + len(order.writes)]
            moved = order.is_outrun(of_marks)
            if attempt == MOST_TRIES or not (passes or moved):
                raise
            if not moved:
                refusals.wait(attempt)
            if attempt == MOST_TRIES - 1 and any(reason.get("Code") != "None" for reason in of_marks):
                order.give_up()
                moved = True
            # Another instant or another set of marks is another transaction. The one before wasn't carried out.
            token = new_id() if moved else token
        except Exception as error:
            if order.writes and error_code(error) == "AccessDeniedException":
                order.give_up(refused=True)
                token = new_id()
                continue
            # A lost answer is not a failure: the transaction may have been carried out. Then it has also written
            # the task's record, which is read here.
            if ending is not None and ending.is_written():
                return
            if error_code(error) == "ValidationException":
                named = ", ".join(f"{number}, {action.label}" for number, action in enumerate(actions, 1))
                raise TransactionError(f"DynamoDB refuses the transaction: {error}. Its actions: {named}") from error
            raise


def _refuse_too_much(actions: int, size: int) -> None:
    if actions > MOST_ACTIONS:
        raise TransactionError(
            f"{actions} actions, events, tasks and the task's own record included, don't fit into a "
            f"transaction of DynamoDB, which takes {MOST_ACTIONS}: write less in one"
        )
    if size > MOST_BYTES:
        raise TransactionError(
            f"{size} bytes, those of events and tasks included, don't fit into a transaction of DynamoDB, "
            f"which takes {MOST_BYTES} (4 MB): write less in one, or keep the bulk in S3"
        )


def _refuse_item_twice(actions: Sequence[Action]) -> None:
    """Raise TransactionError if two actions write or check the same item. The error names both.

    The key of a table that isn't declared is known only from other actions, because a put has a whole item. If all of
    them are puts, only equal items are found here, and DynamoDB finds the rest.
    """
    targets = [target for action in actions for target in action.write.values()]
    keys = {target["TableName"]: sorted(target["Key"]) for target in targets if "Key" in target}
    seen: dict[object, int] = {}
    for number, target in enumerate(targets):
        table = target["TableName"]
        names = [name] if (name := key_name(table)) is not None else keys.get(table, sorted(target.get("Item", {})))
        item = target.get("Key") or target["Item"]
        key = {name: item[name] for name in names if name in item}
        first = seen.setdefault((table, *_comparable(key)), number)
        if first != number:
            raise TransactionError(
                f"action {first + 1}, {actions[first].label}, and action {number + 1}, {actions[number].label}, are of "
                f"one item, {_shown(key):.300}: DynamoDB takes one action for an item, so write one that does both"
            )


def _comparable(key: Mapping[str, Any]) -> list[tuple[str, str, object]]:
    """The key as DynamoDB compares it: 1 and 1.0 are the same number."""
    return [
        (name, kind, Decimal(content) if kind == "N" else bytes(content) if kind == "B" else repr(content))
        for name, value in key.items()
        for kind, content in value.items()
    ]


def _shown(key: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={SHORT.repr(value)}" for name, value in (plain(key) or {}).items())


def _passes(canceled: "ClientError", actions: Sequence[Action], *, has_lease: bool) -> bool:
    """Whether another try may succeed. Raises the error of a failed condition: it will fail again."""
    reasons = _reasons(canceled)
    if has_lease and reasons and _failed(reasons[-1]):
        raise LeaseLostError from canceled
    for number, (action, reason) in enumerate(zip(actions, reasons, strict=False), 1):
        if _failed(reason):
            raise ConditionFailedError(f"action {number}, {action.label}", plain(reason.get("Item"))) from canceled
    return any(reason.get("Code") in PASSING for reason in reasons)


def _reasons(canceled: "ClientError") -> list[Mapping[str, Any]]:
    """Why DynamoDB refused each action, in the order of the actions."""
    found: list[Mapping[str, Any]] = canceled.response.get("CancellationReasons", [])  # type: ignore[assignment]  # only this error has it
    return found


def _failed(reason: Mapping[str, Any]) -> bool:
    return reason.get("Code") == "ConditionalCheckFailed"
