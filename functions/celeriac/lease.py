"""The lease on a task: Powertools' idempotency record, fenced, and with the memory of what went before.

Powertools keeps one DynamoDB item for each idempotency key: INPROGRESS until its worker must be dead, COMPLETED with
the result once the task has succeeded. Its own writes of the end state carry no condition, so a worker that outlived
its lease would complete or delete its successor's. Here each claim carries a token, and every later write is
conditioned on it. Two more states, RETRYING and DEAD, remember what Powertools would delete.
"""

import copy
import datetime as dt
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

import msgspec
from aws_lambda_powertools.utilities.idempotency import DynamoDBPersistenceLayer, IdempotencyConfig
from aws_lambda_powertools.utilities.idempotency.exceptions import IdempotencyItemAlreadyExistsError
from aws_lambda_powertools.utilities.idempotency.persistence.datarecord import STATUS_CONSTANTS, DataRecord

from celeriac import names, settings
from celeriac.aws import client, error_code
from celeriac.failure import Failure

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.type_defs import TransactWriteItemTypeDef

INPROGRESS = STATUS_CONSTANTS["INPROGRESS"]
COMPLETED = STATUS_CONSTANTS["COMPLETED"]
RETRYING = "RETRYING"
"""An attempt has failed and another is on its way: free to be claimed."""
DEAD = "DEAD"
"""The message is a dead letter: only a redrive may claim it."""
# A DynamoDB item holds 400 KB; a result of more than half of it belongs into a store of the task's own.
RESULT_BYTES = 200_000


class AlreadyDone(Exception):  # noqa: N818 - not an error: a duplicate of a task that has succeeded
    """The task has succeeded before."""


class AlreadyDead(Exception):  # noqa: N818 - not an error: a stray copy of a dead letter
    """The task is a dead letter already, and this copy of its message is not the redriven one."""


class AlreadyTried(Exception):  # noqa: N818 - not an error: a stray copy of a failed attempt
    """This very attempt has been made and has failed; the next one is on its way."""


class Busy(Exception):  # noqa: N818 - not an error: another worker is at it
    """Another worker holds the lease until `until`."""

    def __init__(self, until: dt.datetime) -> None:
        super().__init__(f"another worker holds the lease until {until:%H:%M:%S}")
        self.until = until


class Suspect(Exception):  # noqa: N818 - what it is
    """Its last worker died at work. `crashes` of them died while they ran nothing else."""

    def __init__(self, crashes: int) -> None:
        super().__init__("the last worker of this task died at work")
        self.crashes = crashes


class LeaseLost(Exception):  # noqa: N818 - what happened
    """This worker outlived its lease, another has taken over: nothing that this one did may be recorded."""


@dataclass(frozen=True, slots=True)
class Claim:
    """What a worker wants to run, and what it knows of it."""

    task: str
    key: str
    task_id: str
    attempt: int
    until: dt.datetime
    """When this worker will be dead."""
    retention: dt.timedelta
    alone: bool = False
    """Nothing else runs in this worker, so that if it dies, it is by this task."""
    redriven_from: Failure | None = None
    """What the dead letter that this message was redriven from died of; None for any other message."""
    comes_back: bool = False
    """Its queue is FIFO: after a failed attempt the same message comes again, and the record counts the attempts."""


class FencedStore(DynamoDBPersistenceLayer):
    """Powertools' persistence layer, with every write of a claim's end conditioned on that claim's token."""

    claim: Claim
    token: str
    # The record to take over, by its token; without one, only a key that is free.
    after: str | None = None
    crashes: int = 0
    # The record that stood in the way, or the one that a successful claim replaced.
    found: dict[str, Any]

    def _put_record(self, data_record: DataRecord) -> None:
        now = dt.datetime.now(dt.UTC)
        # The key is new; or its record has expired and TTL hasn't come by yet; or another message of this key has
        # failed, for now or for good; or an attempt of this message has failed, and this is a later one.
        condition = (
            "attribute_not_exists(id) OR expiration < :now"
            " OR (#status IN (:retrying, :dead) AND task_id <> :me)"
            " OR (#status = :retrying AND attempt < :attempt)"
        )
        values = {
            ":now": {"N": str(int(now.timestamp()))},
            ":retrying": {"S": RETRYING},
            ":dead": {"S": DEAD},
            ":me": {"S": self.claim.task_id},
            ":attempt": {"N": "999999" if self.claim.comes_back else str(self.claim.attempt)},
        }
        attributes = {"#status": "status"}
        if self.after is not None:
            condition, values, attributes = "#token = :after", {":after": {"S": self.after}}, {"#token": "token"}
        try:
            answer = self.client.put_item(
                TableName=self.table_name,
                Item={
                    **self._get_key(data_record.idempotency_key),
                    "status": {"S": data_record.status},
                    "expiration": {"N": str(data_record.expiry_timestamp)},
                    "in_progress_expiration": {"N": str(data_record.in_progress_expiry_timestamp)},
                    "token": {"S": self.token},
                    "task_id": {"S": self.claim.task_id},
                    "attempt": {"N": str(self.claim.attempt)},
                    "crashes": {"N": str(self.crashes)},
                },
                ConditionExpression=condition,
                ExpressionAttributeNames=attributes,
                ExpressionAttributeValues=values,
                ReturnValues="ALL_OLD",
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except self.client.exceptions.ConditionalCheckFailedException as error:
            self.found = _plain(error.response.get("Item"))
            if self.found.get("token") == self.token:
                return  # an earlier try of this very call was carried out, its answer lost
            raise IdempotencyItemAlreadyExistsError from error
        self.found = _plain(answer.get("Attributes"))

    def _update_record(self, data_record: DataRecord) -> None:
        with _fenced():
            self.client.update_item(TableName=self.table_name, **self._completion(data_record))

    def _completion(self, data_record: DataRecord) -> Any:
        return {
            "Key": self._get_key(data_record.idempotency_key),
            "UpdateExpression": "SET #status = :status, #data = :data, expiration = :expiration REMOVE failure",
            "ConditionExpression": "#token = :token",
            "ExpressionAttributeNames": {"#status": "status", "#data": "data", "#token": "token"},
            "ExpressionAttributeValues": {
                ":status": {"S": data_record.status},
                ":data": {"S": data_record.response_data},
                ":expiration": {"N": str(data_record.expiry_timestamp)},
                ":token": {"S": self.token},
            },
        }

    def completion(self) -> "TransactWriteItemTypeDef":
        """The write of success, for a transaction that commits the task's effects together with it."""
        record = DataRecord(
            idempotency_key=self.record_id(self.claim.key),
            status=COMPLETED,
            expiry_timestamp=self._get_expiry_timestamp(),
            response_data="null",
        )
        update: Any = {"TableName": self.table_name} | self._completion(record)
        return {"Update": update}

    def fail(self, status: str, failure: Failure, attempt: int) -> None:
        """Write the end of a failed attempt, where Powertools would delete the record. Raises LeaseLost."""
        with _fenced():
            self.client.update_item(
                TableName=self.table_name,
                Key=self._get_key(self.record_id(self.claim.key)),
                UpdateExpression="SET #status = :status, failure = :failure, attempt = :attempt, crashes = :none",
                # A transaction may have completed it, its answer lost.
                ConditionExpression="#token = :token AND #status = :inprogress",
                ExpressionAttributeNames={"#status": "status", "#token": "token"},
                ExpressionAttributeValues={
                    ":inprogress": {"S": INPROGRESS},
                    ":status": {"S": status},
                    ":failure": {"S": msgspec.json.encode(failure).decode()},
                    ":attempt": {"N": str(attempt)},
                    ":none": {"N": "0"},
                    ":token": {"S": self.token},
                },
            )

    def record_id(self, key: str) -> str:
        """The record's id in the table: `<task>#<hash of the key>`, as Powertools makes it."""
        return str(self._get_hashed_idempotency_key(key))  # type: ignore[arg-type]  # any JSON value

    def read(self, key: str) -> dict[str, Any]:
        """The record of `key`, strongly consistent; empty where there is none."""
        answer = self.client.get_item(
            TableName=self.table_name, Key=self._get_key(self.record_id(key)), ConsistentRead=True
        )
        return _plain(answer.get("Item"))


@dataclass(slots=True)
class Lease:
    """One worker's claim on one task."""

    _store: FencedStore
    attempt: int
    """Which attempt this is, by what the record remembers."""
    last_failure: Failure | None = None
    """How the attempt before this one failed, where it is remembered."""
    in_transaction: bool = field(default=False)
    """Set while the run's one transaction is open."""
    committed: bool = field(default=False)
    """Set by the transaction that has committed the task's effects and its success."""

    def complete(self, result: Any) -> None:
        """Record success. `result` must be JSON. Raises LeaseLost."""
        self._store.save_success(data=self._store.claim.key, result=result)  # type: ignore[arg-type]  # any JSON value

    def retrying(self, failure: Failure) -> None:
        """Record a failed attempt and let the next one in. Raises LeaseLost."""
        self._store.fail(RETRYING, failure, self.attempt)

    def dead(self, failure: Failure) -> None:
        """Record that it is a dead letter. Raises LeaseLost."""
        self._store.fail(DEAD, failure, self.attempt)

    def completion(self) -> "TransactWriteItemTypeDef":
        """`complete`, as an action of a transaction."""
        return self._store.completion()

    def is_completed(self) -> bool:
        """Whether the record says that this very claim has succeeded, by a strongly consistent read."""
        record = self._store.read(self._store.claim.key)
        return record.get("status") == COMPLETED and record.get("token") == self._store.token


def claim(wanted: Claim) -> Lease:
    """Claim a task for this worker.

    Raises AlreadyDone for a duplicate of a success, AlreadyTried and AlreadyDead for a stray copy of a failed attempt
    and of a dead letter, Busy while another worker may be at it, and Suspect if its last worker died at work; a
    suspect is claimed with `take_over`.
    """
    store = _new_store(wanted)
    store.crashes = int(wanted.alone)
    if _put(store):
        return _lease(store)
    found, status = store.found, store.found.get("status")
    if status == COMPLETED:
        raise AlreadyDone
    if status == RETRYING:
        raise AlreadyTried
    if status == DEAD:
        # A redrive brings back the very letter that the record remembers; older copies of it are stray ones.
        if wanted.redriven_from is None or not _same_death(wanted.redriven_from, found):
            raise AlreadyDead
        store.after = str(found["token"])
        if _put(store):
            return _lease(store)
    expiry = dt.datetime.fromtimestamp(int(found.get("in_progress_expiration", 0)) / 1000, dt.UTC)
    if expiry >= dt.datetime.now(dt.UTC):
        raise Busy(expiry)
    raise Suspect(int(found.get("crashes", 0)))


def take_over(wanted: Claim) -> Lease:
    """Claim a suspect, whose last worker died at work. Raises as `claim` does, but never Suspect."""
    try:
        return claim(wanted)
    except Suspect as suspect:
        store = _new_store(wanted)
        found = store.read(wanted.key)
        store.after = str(found.get("token", ""))
        store.crashes = suspect.crashes + int(wanted.alone)
        if not _put(store):
            raise Busy(wanted.until) from None
        return Lease(store, max(wanted.attempt, int(found.get("attempt", 1))))


def look_up(task: str, key: str, retention: dt.timedelta) -> dict[str, Any]:
    """The record of a task's key, as DynamoDB has it; empty where there is none."""
    return _store(task, names.idempotency_table(settings.stage()), retention).read(key)


def _new_store(wanted: Claim) -> FencedStore:
    """One store for each claim: they share client and configuration, and nothing that a claim changes."""
    store = copy.copy(_store(wanted.task, names.idempotency_table(settings.stage()), wanted.retention))
    store.claim, store.token = wanted, os.urandom(12).hex()
    return store


def _put(store: FencedStore) -> bool:
    left = max(store.claim.until - dt.datetime.now(dt.UTC), dt.timedelta())
    try:
        store.save_inprogress(store.claim.key, int(left / dt.timedelta(milliseconds=1)))  # type: ignore[arg-type]  # any JSON value
    except IdempotencyItemAlreadyExistsError:
        return False
    return True


def _lease(store: FencedStore) -> Lease:
    """The attempt is the message's, or, where the message itself comes back, one more than the last."""
    found, wanted = store.found, store.claim
    came_back = wanted.comes_back and found.get("status") == RETRYING and found.get("task_id") == wanted.task_id
    before = msgspec.json.decode(found["failure"], type=Failure) if found.get("status") == RETRYING else None
    return Lease(store, int(found["attempt"]) + 1 if came_back else wanted.attempt, before)


def _same_death(failure: Failure, found: dict[str, Any]) -> bool:
    remembered = msgspec.json.decode(found["failure"], type=Failure)
    return (failure.last_at, failure.request_id) == (remembered.last_at, remembered.request_id)


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


def _plain(item: Any) -> dict[str, Any]:
    """Our items hold strings and numbers only."""
    return {name: next(iter(value.values())) for name, value in (item or {}).items()}


@contextmanager
def _fenced() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        if error_code(error) == "ConditionalCheckFailedException":
            raise LeaseLost from error
        raise
