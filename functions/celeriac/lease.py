"""The lease on a task: Powertools' idempotency record, fenced.

Powertools keeps one DynamoDB item for each idempotency key: INPROGRESS until its worker must be dead, then free to
be taken over; COMPLETED, with the result, once the task has succeeded. Its own writes of the end state carry no
condition, so a worker that outlived its lease would complete or delete its successor's. Here each claim carries a
token, and every later write is conditioned on it.
"""

import copy
import datetime as dt
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools.utilities.idempotency import DynamoDBPersistenceLayer, IdempotencyConfig
from aws_lambda_powertools.utilities.idempotency.exceptions import IdempotencyItemAlreadyExistsError
from aws_lambda_powertools.utilities.idempotency.persistence.datarecord import STATUS_CONSTANTS, DataRecord

from celeriac import names, settings
from celeriac.aws import client, error_code

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.type_defs import TransactWriteItemTypeDef

INPROGRESS = STATUS_CONSTANTS["INPROGRESS"]
COMPLETED = STATUS_CONSTANTS["COMPLETED"]
# A DynamoDB item holds 400 KB; a result of more than half of it belongs into a store of the task's own.
RESULT_BYTES = 200_000


class AlreadyDone(Exception):  # noqa: N818 - not an error: a duplicate of a task that has succeeded
    """The task has succeeded before."""


class Busy(Exception):  # noqa: N818 - not an error: another worker is at it
    """Another worker holds the lease until `until`."""

    def __init__(self, until: dt.datetime) -> None:
        super().__init__(f"another worker holds the lease until {until:%H:%M:%S}")
        self.until = until


class LeaseLost(Exception):  # noqa: N818 - what happened
    """This worker outlived its lease, another has taken over: nothing that this one did may be recorded."""


class FencedStore(DynamoDBPersistenceLayer):
    """Powertools' persistence layer, with every write of a claim's end conditioned on that claim's token."""

    token: str

    def _put_record(self, data_record: DataRecord) -> None:
        now = dt.datetime.now(dt.UTC)
        try:
            self.client.put_item(
                TableName=self.table_name,
                Item={
                    **self._get_key(data_record.idempotency_key),
                    "status": {"S": data_record.status},
                    "expiration": {"N": str(data_record.expiry_timestamp)},
                    "in_progress_expiration": {"N": str(data_record.in_progress_expiry_timestamp)},
                    "token": {"S": self.token},
                },
                # The key is new; or its record has expired and TTL hasn't come by yet; or its worker is dead.
                ConditionExpression=(
                    "attribute_not_exists(id) OR expiration < :now"
                    " OR (#status = :inprogress AND in_progress_expiration < :now_ms)"
                ),
                ExpressionAttributeNames={"#status": "status"},
                ExpressionAttributeValues={
                    ":now": {"N": str(int(now.timestamp()))},
                    ":now_ms": {"N": str(int(now.timestamp() * 1000))},
                    ":inprogress": {"S": INPROGRESS},
                },
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except self.client.exceptions.ConditionalCheckFailedException as error:
            item: Any = error.response.get("Item")
            if item is not None and item.get("token") == {"S": self.token}:
                return  # an earlier try of this very call was carried out, its answer lost
            old = self._item_to_data_record(item) if item is not None else None
            raise IdempotencyItemAlreadyExistsError(old_data_record=old) from error

    def _update_record(self, data_record: DataRecord) -> None:
        with _fenced():
            self.client.update_item(TableName=self.table_name, **self._completion(data_record))

    def _delete_record(self, data_record: DataRecord) -> None:
        with _fenced():
            self.client.delete_item(
                TableName=self.table_name,
                Key=self._get_key(data_record.idempotency_key),
                # An earlier try of this call may have deleted it, its answer lost.
                ConditionExpression="attribute_not_exists(id) OR #token = :token",
                ExpressionAttributeNames={"#token": "token"},
                ExpressionAttributeValues={":token": {"S": self.token}},
            )

    def _completion(self, data_record: DataRecord) -> Any:
        return {
            "Key": self._get_key(data_record.idempotency_key),
            "UpdateExpression": "SET #status = :status, #data = :data, expiration = :expiration",
            "ConditionExpression": "#token = :token",
            "ExpressionAttributeNames": {"#status": "status", "#data": "data", "#token": "token"},
            "ExpressionAttributeValues": {
                ":status": {"S": data_record.status},
                ":data": {"S": data_record.response_data},
                ":expiration": {"N": str(data_record.expiry_timestamp)},
                ":token": {"S": self.token},
            },
        }

    def completion(self, key: str) -> "TransactWriteItemTypeDef":
        """The same write, for a transaction that commits the task's effects together with its success."""
        record = DataRecord(
            idempotency_key=str(self._get_hashed_idempotency_key(key)),  # type: ignore[arg-type]  # any JSON value
            status=COMPLETED,
            expiry_timestamp=self._get_expiry_timestamp(),
            response_data="null",
        )
        update: Any = {"TableName": self.table_name} | self._completion(record)
        return {"Update": update}


@dataclass(slots=True)
class Lease:
    """One worker's claim on one task."""

    _store: FencedStore
    _key: str
    committed: bool = False
    """Set by the transaction that has committed the task's effects and its success."""

    def complete(self, result: Any) -> None:
        """Record success. `result` must be JSON. Raises LeaseLost."""
        self._store.save_success(data=self._key, result=result)  # type: ignore[arg-type]  # any JSON value

    def release(self, error: BaseException) -> None:
        """Let the next attempt in. Raises LeaseLost."""
        self._store.delete_record(data=self._key, exception=error)  # type: ignore[arg-type]  # only its type is read

    def completion(self) -> "TransactWriteItemTypeDef":
        """`complete`, as an action of a transaction."""
        return self._store.completion(self._key)


def claim(task: str, key: str, *, until: dt.datetime, retention: dt.timedelta) -> Lease:
    """Claim the task named `task` for this worker, which will be dead at `until`.

    Raises AlreadyDone for a duplicate of a success, and Busy while another worker may be at it.
    """
    # One store for each claim: they share client and configuration, and nothing that a claim changes.
    store = copy.copy(_store(task, names.idempotency_table(settings.stage()), retention))
    store.token = os.urandom(12).hex()
    left = max(until - dt.datetime.now(dt.UTC), dt.timedelta())
    try:
        store.save_inprogress(data=key, remaining_time_in_millis=int(left / dt.timedelta(milliseconds=1)))  # type: ignore[arg-type]  # any JSON value
    except IdempotencyItemAlreadyExistsError as exists:
        record = exists.old_data_record
        if record is not None and record.status == COMPLETED:
            raise AlreadyDone from None
        expiry = (record.in_progress_expiry_timestamp or 0) if record is not None else 0
        raise Busy(dt.datetime.fromtimestamp(int(expiry) / 1000, dt.UTC)) from None
    return Lease(store, key)


@cache
def _store(task: str, table: str, retention: dt.timedelta) -> FencedStore:
    store = FencedStore(table_name=table, boto3_client=client("dynamodb"))
    store.configure(
        IdempotencyConfig(
            raise_on_no_idempotency_key=True,
            expires_after_seconds=int(retention.total_seconds()),
            # Keys are often chosen by users of the application: with md5 they could make two of them collide.
            hash_function="sha256",
        ),
        key_prefix=task,
    )
    return store


@contextmanager
def _fenced() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        if error_code(error) == "ConditionalCheckFailedException":
            raise LeaseLost from error
        raise
