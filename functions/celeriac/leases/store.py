"""The record of a lease in DynamoDB: Powertools' persistence layer, fenced.

Powertools keeps one item for each idempotency key: INPROGRESS until the invocation must have ended, COMPLETED with the
result once the task has succeeded. Powertools writes the end state without a condition, so a worker that outlived its
lease would complete or delete the record of the next worker. Here each claim carries a token, and every later write has
the condition that the record still holds this token. Two more states, RETRYING and DEAD, keep records that Powertools
would delete.
"""

import datetime as dt
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

import msgspec
from aws_lambda_powertools.utilities.idempotency import DynamoDBPersistenceLayer, IdempotencyConfig
from aws_lambda_powertools.utilities.idempotency.exceptions import IdempotencyItemAlreadyExistsError
from aws_lambda_powertools.utilities.idempotency.persistence.datarecord import DataRecord

from celeriac.aws.client import client, error_code
from celeriac.leases import argument_hashes, claim_write, counters, crashes, history, progress, tombstones
from celeriac.leases.claim import Claim, Found, Record
from celeriac.leases.progress import Moved
from celeriac.leases.states import BEGUN, COMPLETED, DEAD, INPROGRESS, RETRYING, has_begun
from celeriac.leases.status import milliseconds
from celeriac.model import progress_made
from celeriac.model.errors import CeleriacError
from celeriac.model.failure import Failure, recorded
from celeriac.model.forks import after_fork

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.type_defs import TransactWriteItemTypeDef


class LeaseLostError(CeleriacError):
    """This worker outlived its lease, and another worker has taken over. Nothing of this run may be recorded."""


class FencedStore(DynamoDBPersistenceLayer):
    """Powertools' persistence layer. Every write after a claim requires the claim's token."""

    claim: Claim
    token: str
    # The record to take over; None to claim a free key only.
    after: Found | None = None
    # The number of this attempt; known once the claim has succeeded.
    attempt: int = 0
    # Workers that died during this attempt before this claim, and how many of them ran nothing else.
    deaths: int = 0
    deaths_alone: int = 0
    # Those of other messages of the key, see `celeriac.leases.crashes`.
    crashes_of_others: str = ""
    # The redrive that started these attempts. Only the message of the first attempt says it.
    redriven: str = ""
    # Why the result of a success isn't stored; empty if it is.
    not_kept: str = ""
    # The run's progress, which its next write brings along; empty if the task says nothing of it.
    told: str = ""
    # When the claim was written.
    started_at: dt.datetime
    # The attributes that the claim writes.
    _claimed: tuple[str, ...] = ()
    # The record that prevented the claim, or the one that a successful claim replaced.
    found: Record

    def _put_record(self, data_record: DataRecord) -> None:
        self.redriven = self.claim.redriven or self.redriven
        self.started_at = dt.datetime.now(dt.UTC)
        item = {
            "status": {"S": data_record.status},
            "expiration": {"N": str(data_record.expiry_timestamp)},
            tombstones.STATE_UNTIL: {"N": str(data_record.expiry_timestamp)},
            "in_progress_expiration": {"N": str(data_record.in_progress_expiry_timestamp)},
            "token": {"S": self.token},
            "task_id": {"S": self.claim.task_id},
            "attempt": {"N": str(self.claim.attempt)},
            "step": {"N": str(self.claim.step)},
            "key_from": {"S": self.claim.key_from},
            **argument_hashes.attributes(self.claim.hashes, self.token),
            # The stored name is older than the other name.
            "crashes": {"N": str(self.deaths_alone)},
            "deaths": {"N": str(self.deaths)},
            "started_at": {"N": milliseconds(self.started_at)},
            "redriven": {"S": self.redriven},
        }
        if self.after is not None:  # a claim of a free key hasn't seen them
            met = claim_write.record_of(self.after.item)
            item[crashes.OTHERS] = {"S": self.crashes_of_others}
            if has_begun(met, self.claim.task_id):
                item[BEGUN] = {"S": self.claim.task_id}
            item |= history.of_take_over(met, self.claim, self.token)
        key, self._claimed = self._get_key(data_record.idempotency_key), tuple(item)
        try:
            self.found = claim_write.write(self.table_name, key, item, self.claim, self.after)
        except claim_write.Refused as refused:
            self.found = refused.found
            if self.found.get("token") == self.token:
                return  # AWS carried out an earlier try of this call, and its answer was lost
            raise IdempotencyItemAlreadyExistsError from refused
        self.redriven = self.redriven or self.found.get("redriven", "")

    def _update_record(self, data_record: DataRecord) -> None:
        with _fenced():
            client("dynamodb").update_item(TableName=self.table_name, **self._completion(data_record))

    def _completion(self, data_record: DataRecord) -> Any:
        kept = {":not_kept": {"S": self.not_kept}} if self.not_kept else {}
        counted = counters.all_of(self.found, self.claim.mark) if self.claim.comes_back else []
        removed = _named([*counted, *progress.ATTRIBUTES])
        remembered = history.of_success(self._ending)
        return {
            "Key": self._get_key(data_record.idempotency_key),
            "UpdateExpression": (
                f"SET #status = :status, #data = :data, expiration = {tombstones.KEPT}, "
                f"{tombstones.STATE_UNTIL} = :state_until, attempt = :attempt, ended_at = :ended"
                f"{', not_kept = :not_kept' if kept else ''}{self._telling}{_setting(remembered)} "
                f"REMOVE {', '.join(['failure', 'retry_at', 'unsent', *removed])}{'' if kept else ', not_kept'}"
            ),
            # The lease is still held and the attempt hasn't failed: a run that ends after its timeout is too late.
            "ConditionExpression": "#token = :token AND #status = :inprogress",
            "ExpressionAttributeNames": {"#status": "status", "#data": "data", "#token": "token"} | removed,
            "ExpressionAttributeValues": {
                ":inprogress": {"S": INPROGRESS},
                ":attempt": {"N": str(self.attempt)},
                ":status": {"S": data_record.status},
                ":data": {"S": data_record.response_data},
                ":state_until": {"N": str(data_record.expiry_timestamp)},
                ":token": {"S": self.token},
                ":ended": {"N": milliseconds(dt.datetime.now(dt.UTC))},
                **kept,
                **self._told,
                **_values(remembered),
            },
        }

    def completion(self, result: Any) -> "TransactWriteItemTypeDef":
        """The write of success, for a transaction that commits the task's effects together with its success."""
        record = DataRecord(
            idempotency_key=self.record_id(self.claim.key),
            status=COMPLETED,
            expiry_timestamp=self._get_expiry_timestamp(),
            response_data=json.dumps(result),
        )
        update: Any = {"TableName": self.table_name} | self._completion(record)
        return {"Update": update}

    def fail(
        self,
        status: str,
        failure: Failure,
        due: dt.datetime | None = None,
        *,
        charged: bool = True,
        moved: Moved | None = None,
    ) -> None:
        """Write the end of a failed attempt; Powertools would delete the record. Raises LeaseLostError.

        due: when the next attempt is to run.
        charged: False if the run doesn't count as a failed attempt of this message.
        moved: the run goes on in its next part.
        """
        parts = {":moved": {"S": progress.moved_text(moved, self.claim)}} if moved is not None else {}
        due_at = {":due": {"N": milliseconds(due)}} if due is not None else {}
        failed = {":failed": {"N": str(self.attempt if charged else self.attempt - 1)}}
        remembered = history.of_failure(self._ending, failure, status=status, charged=charged)
        counted, removed = "#counter = :failed", {}
        if self.claim.comes_back:
            removed = _named(counters.surplus_of(self.found, self.claim.mark))
            if status == DEAD:
                counted, removed = "ended_messages = :failed", removed | {"#counter": self.claim.counter}
                failed = {":failed": {"S": counters.with_ended(self.found, self.claim.mark)}}
        with _fenced():
            client("dynamodb").update_item(
                TableName=self.table_name,
                Key=self._get_key(self.record_id(self.claim.key)),
                UpdateExpression=(
                    "SET #status = :status, failure = :failure, attempt = :attempt, "
                    f"{counted}, crashes = :none, deaths = :none, redriven = :redriven, {BEGUN} = :begun"
                    f"{', retry_at = :due' if due_at else ''}{', moved = :moved' if parts else ''}{self._telling}"
                    f"{_setting(remembered)} "
                    f"REMOVE {', '.join(['unsent', *removed])}{'' if due_at else ', retry_at'}"
                ),
                # A transaction may have completed the record, and its answer was lost.
                ConditionExpression="#token = :token AND #status = :inprogress",
                ExpressionAttributeNames={"#status": "status", "#token": "token", "#counter": self.claim.counter}
                | removed,
                ExpressionAttributeValues={
                    ":inprogress": {"S": INPROGRESS},
                    ":status": {"S": status},
                    ":failure": {"S": msgspec.json.encode(recorded(self.claim.task, failure)).decode()},
                    ":attempt": {"N": str(self.attempt)},
                    ":none": {"N": "0"},
                    ":redriven": {"S": self.redriven},
                    ":begun": {"S": self.claim.task_id},
                    ":token": {"S": self.token},
                    **failed,
                    **due_at,
                    **parts,
                    **self._told,
                    **_values(remembered),
                },
            )

    def checkpoint(self, cursor: str, number: int, moved: Moved) -> Record:
        """Write a checkpoint. Returns the record as it is now. Raises LeaseLostError."""
        dynamodb = client("dynamodb")
        try:
            answer = dynamodb.update_item(
                **self._checkpoint(cursor, number, moved),
                ReturnValues="ALL_NEW",
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except dynamodb.exceptions.ConditionalCheckFailedException as error:
            found = claim_write.record_of(error.response.get("Item"))
            # AWS carried out an earlier try of this call, and its answer was lost.
            if not progress.is_written(found, number, self.token):
                raise LeaseLostError from error
            return found
        return claim_write.record_of(answer.get("Attributes"))

    def checkpointing(self, cursor: str, number: int, moved: Moved) -> "TransactWriteItemTypeDef":
        """The write of a checkpoint, for a transaction that commits a task's effects together with its cursor."""
        return {"Update": self._checkpoint(cursor, number, moved)}

    def _checkpoint(self, cursor: str, number: int, moved: Moved) -> Any:
        update = progress.update(cursor, number, moved, self.claim, self.token)
        update["UpdateExpression"] += self._telling
        update["ExpressionAttributeValues"] |= self._told
        return self.place | update

    def tell(self) -> Record:
        """Write the run's progress. Returns the record as it is now. Raises LeaseLostError."""
        return self._update_in_progress(f"SET {progress_made.ATTRIBUTE} = :progress", self._told, returns="ALL_NEW")

    @property
    def _telling(self) -> str:
        return f", {progress_made.ATTRIBUTE} = :progress" if self.told else ""

    @property
    def _told(self) -> dict[str, Any]:
        return {":progress": {"S": self.told}} if self.told else {}

    def note_unsent(self, unsent: str, failure: Failure, due: dt.datetime) -> None:
        """Note how the run ended, because its successor or its dead letter couldn't be sent. Raises LeaseLostError."""
        self._update_in_progress(
            "SET unsent = :unsent, failure = :failure, retry_at = :due",
            {
                ":unsent": {"S": unsent},
                ":failure": {"S": msgspec.json.encode(failure).decode()},
                ":due": {"N": milliseconds(due)},
            },
        )

    def renew(self, until: dt.datetime) -> None:
        """Hold the lease until then. Raises LeaseLostError."""
        self._update_in_progress("SET in_progress_expiration = :until", {":until": {"N": milliseconds(until)}})

    def release(self, failure: Failure | None) -> None:
        """Give the key back, as if this attempt had not been claimed. Raises LeaseLostError."""
        if self.after is not None and self.after.status == INPROGRESS and "unsent" not in self.after.item:
            # It was taken over from a worker that died. The next claim must count that death too.
            self._put_back(self.after)
            return
        kept = {":failure": {"S": msgspec.json.encode(failure).decode()}} if failure is not None else {}
        # As after the run before: only a message of this turn, or a later one, may claim it.
        step = self.claim.step
        attempt, step = (self.attempt, step - 1) if step else (self.attempt - 1, 0)
        self._update_in_progress(
            "SET #status = :status, attempt = :before, step = :step, crashes = :none, deaths = :none"
            f"{', failure = :failure' if kept else ''} REMOVE retry_at",
            {
                ":status": {"S": RETRYING},
                ":before": {"N": str(attempt)},
                ":step": {"N": str(step)},
                ":none": {"N": "0"},
                **kept,
            },
        )

    def undo(self) -> None:
        """Take back a claim that may have succeeded, though its answer was lost. Does nothing if it hasn't."""
        with suppress(LeaseLostError):
            if self.after is None:
                self.attempt = self.claim.attempt
                self.release(None)
            else:
                self._put_back(self.after)

    def _put_back(self, before: Found) -> None:
        """Let the record be as it was before this claim, except for what it says of cancelled messages."""
        kept = {"id", "expiration", *tombstones.ATTRIBUTES}
        old = {name: value for name, value in before.item.items() if name not in kept}
        old.setdefault(tombstones.STATE_UNTIL, before.item["expiration"])
        gone = [name for name in self._claimed if name not in {*old, *kept}]
        sets = [f"#{name} = :old_{name}" for name in old]
        sets.append(f"expiration = if_not_exists({tombstones.UNTIL}, :old_expiration)")
        removes = f" REMOVE {', '.join(f'#{name}' for name in gone)}" if gone else ""
        with _fenced():
            client("dynamodb").update_item(
                TableName=self.table_name,
                Key=self._get_key(self.record_id(self.claim.key)),
                UpdateExpression=f"SET {', '.join(sets)}{removes}",
                ConditionExpression="#token = :token AND #status = :inprogress",
                ExpressionAttributeNames={f"#{name}": name for name in [*old, *gone]}
                | {"#status": "status", "#token": "token"},
                ExpressionAttributeValues={f":old_{name}": value for name, value in old.items()}
                | {
                    ":old_expiration": before.item["expiration"],
                    ":inprogress": {"S": INPROGRESS},
                    ":token": {"S": self.token},
                },
            )

    def _update_in_progress(
        self, expression: str, values: dict[str, Any], *, returns: Literal["NONE", "ALL_NEW"] = "NONE"
    ) -> Record:
        with _fenced():
            answer = client("dynamodb").update_item(
                TableName=self.table_name,
                Key=self._get_key(self.record_id(self.claim.key)),
                UpdateExpression=expression,
                ConditionExpression="#token = :token AND #status = :inprogress",
                ExpressionAttributeNames={"#status": "status", "#token": "token"},
                ExpressionAttributeValues={
                    ":inprogress": {"S": INPROGRESS},
                    ":token": {"S": self.token},
                    **values,
                },
                ReturnValues=returns,
            )
        return claim_write.record_of(answer.get("Attributes"))

    @property
    def _ending(self) -> history.Ending:
        return history.Ending(self.found, self.claim, self.token, self.started_at, self.attempt)

    @property
    def place(self) -> Any:
        """The table and the key of the claim's record, as arguments of a call."""
        return {"TableName": self.table_name, "Key": self._get_key(self.record_id(self.claim.key))}

    def record_id(self, key: str) -> str:
        """The record's id in the table: `<task>#<hash of the key>`, as Powertools makes it."""
        return str(self._get_hashed_idempotency_key(key))  # type: ignore[arg-type]  # any JSON value

    def read(self, key: str) -> Record:
        """The record of `key`, by a strongly consistent read; empty if there is none."""
        answer = client("dynamodb").get_item(
            TableName=self.table_name, Key=self._get_key(self.record_id(key)), ConsistentRead=True
        )
        return claim_write.record_of(answer.get("Item"))

    def delete(self, key: str, seen: Mapping[str, Any]) -> bool:
        """Delete the record of `key` if it is still as `seen`. Returns whether it was. A tombstone in it stays."""
        condition: Any = {
            "TableName": self.table_name,
            "Key": self._get_key(self.record_id(key)),
            "ExpressionAttributeValues": {":token": {"S": str(seen["token"])}, ":status": {"S": str(seen["status"])}},
        }
        names = {"#token": "token", "#status": "status"}
        same = "#token = :token AND #status = :status"
        dynamodb = client("dynamodb")
        try:
            if tombstones.UNTIL in seen:
                gone = _named([name for name in seen if name not in {"id", "expiration", *tombstones.ATTRIBUTES}])
                dynamodb.update_item(
                    **condition,
                    UpdateExpression=f"REMOVE {', '.join(gone)}",
                    ConditionExpression=same,
                    ExpressionAttributeNames=names | gone,
                )
            else:
                dynamodb.delete_item(
                    **condition,
                    ConditionExpression=f"{same} AND attribute_not_exists({tombstones.UNTIL})",
                    ExpressionAttributeNames=names,
                )
        except dynamodb.exceptions.ConditionalCheckFailedException:
            return False
        return True


@cache
def store(task: str, table: str, retention: dt.timedelta) -> FencedStore:
    """The store of a task's records. Each claim works on a copy of it."""
    made = FencedStore(table_name=table, boto3_client=client("dynamodb"))
    made.configure(
        IdempotencyConfig(
            raise_on_no_idempotency_key=True,
            expires_after_seconds=int(retention.total_seconds()),
            # Users of the application often choose keys. With md5 they could make two keys collide.
            hash_function="sha256",
        ),
        key_prefix=task,
    )
    return made


after_fork(store.cache_clear)  # a store keeps its client


def _named(attributes: list[str]) -> dict[str, str]:
    """Names for attributes in an expression."""
    return {f"#removed_{number}": name for number, name in enumerate(attributes)}


def _setting(attributes: Mapping[str, Any]) -> str:
    """How an expression sets further attributes."""
    return "".join(f", {name} = :{name}" for name in attributes)


def _values(attributes: Mapping[str, Any]) -> dict[str, Any]:
    return {f":{name}": value for name, value in attributes.items()}


@contextmanager
def _fenced() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        if error_code(error) == "ConditionalCheckFailedException":
            raise LeaseLostError from error
        raise
