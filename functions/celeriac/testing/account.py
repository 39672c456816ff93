"""The stage's resources in moto, with the names and the configuration of the stacks."""

import json
import os
import pickle
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple, cast
from urllib.parse import urlsplit

from moto.backends import get_backend
from moto.core.models import DEFAULT_ACCOUNT_ID

from celeriac.aws import payloads, sqs
from celeriac.aws.client import client
from celeriac.declare import registry
from celeriac.enqueue.outbox_row import UNCLAIMED, WAITING
from celeriac.flow import breaker, rows
from celeriac.flow.batches import root
from celeriac.flow.batches.status import status_of
from celeriac.leases.history import ENDED_AT, LISTED, RUN_OF
from celeriac.model import declared, names, payload
from celeriac.model.queue import Queue, keep_history
from celeriac.relay import unclaimed, unpublished
from celeriac.testing.calls import Calls
from celeriac.testing.clock import at
from celeriac.testing.moto_speed import unix_time_millis

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.type_defs import CreateTableInputTypeDef
    from mypy_boto3_scheduler.type_defs import TargetTypeDef
    from mypy_boto3_sqs.type_defs import MessageTypeDef


class Urls(dict[str, str]):
    """Queue URLs by physical name. A queue that is declared in a test is made when its URL is first looked up."""

    def __init__(self, stage: str, calls: Calls) -> None:
        super().__init__()
        self._stage = stage
        self._calls = calls

    def __missing__(self, name: str) -> str:
        for queue in registry.queues().values():
            if name in {queue.physical_name(self._stage), queue.dead_letter_name(self._stage)}:
                with self._calls.unobserved():
                    self.create(queue)
                return self[name]
        raise KeyError(name)

    def get(self, name: str, default: str | None = None) -> str | None:  # type: ignore[override]  # one default is all we need
        """As `dict.get`; makes the queue if needed."""
        try:
            return self[name]
        except KeyError:
            return default

    def create(self, queue: Queue) -> None:
        """Make a queue and its dead-letter queue."""
        fifo = {"FifoQueue": "true"} if queue.fifo else {}
        dead = self._make(queue.dead_letter_name(self._stage), fifo | _kept(queue.dead_letter_retention))
        redrive = {"deadLetterTargetArn": sqs.arn(dead), "maxReceiveCount": queue.receive_limit}
        self._make(
            queue.physical_name(self._stage),
            fifo
            | _kept(queue.retention)
            | {
                "VisibilityTimeout": str(int(queue.visibility.total_seconds())),
                "RedrivePolicy": json.dumps(redrive),
            },
        )

    def create_plain(self, name: str) -> str:
        """Make a queue with SQS's default settings. Returns its URL."""
        return self[self._make(name, {})]

    def _make(self, name: str, attributes: dict[str, str]) -> str:
        # The queue is made in moto itself: AWS calls would take half of a small test's time.
        made = _in_moto("sqs").create_queue(name, **attributes)
        self[name] = made.url(urlsplit(client("sqs").meta.endpoint_url))
        return name


def create(stage: str, urls: Urls) -> None:
    """Make the resources that every stage has."""
    for queue in registry.queues().values():
        urls.create(queue)
    urls.create_plain(names.schedule_dead_letters(stage))
    region = client("sqs").meta.region_name
    location = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
    client("s3").create_bucket(Bucket=payloads.bucket(names.schedule_dead_letters(stage)), **location)  # type: ignore[arg-type]  # a region is a literal
    _create_once(stage, region)


# The state of a new stage with these tables: moto's own objects, pickled.
_new: dict[object, dict[str, bytes]] = {}


def _create_once(stage: str, region: str) -> None:
    """Make the resources that don't depend on a test's own queues: the first time by AWS calls, then as a copy."""
    keeps_history = keep_history(registry.queues().values())
    case = (stage, region, datetime.now(UTC), *declared.tables().values(), declared.outbox(), keeps_history)
    if case in _new:
        for service, state in _new[case].items():
            vars(_in_moto(service)).update(pickle.loads(state))  # noqa: S301 - written below
        return
    dynamodb = client("dynamodb")
    runs = _Index(names.runs_index(), RUN_OF, ENDED_AT, sort_type="N", holds=LISTED) if keeps_history else None
    dynamodb.create_table(**_table(names.idempotency_table(stage), "id", index=runs))
    dynamodb.create_table(
        **_table(names.outbox_table(stage), "pk", "sk", index=_Index(names.outbox_index(), WAITING, "occurred_at"))
        | {"StreamSpecification": {"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"}}
    )
    dynamodb.create_table(
        **_table(names.flow_table(stage), rows.KEY, index=_Index(names.flow_index(), breaker.DUE, breaker.DUE_AT))
    )
    _expire(names.flow_table(stage), rows.EXPIRES_AT)
    _expire(names.idempotency_table(stage), "expiration")
    _expire(names.outbox_table(stage), "expires_at")
    for table in declared.tables().values():
        dynamodb.create_table(**_table(table.physical_name(stage), table.key))
    if declared.outbox().bus:
        client("events").create_event_bus(Name=names.bus(stage))
    client("scheduler").create_schedule_group(Name=names.schedule_group(stage))
    _new[case] = {service: pickle.dumps(vars(_in_moto(service))) for service in ("dynamodb", "events", "scheduler")}


def _expire(table: str, attribute: str) -> None:
    """Let moto's table have a TTL. Moto's own call, so that no other implementation deletes items by the real time."""
    _in_moto("dynamodb").update_time_to_live(table, {"Enabled": True, "AttributeName": attribute})


def lying_in(url: str) -> "list[MessageTypeDef]":
    """Every message of a queue, as a receive would return it, read from moto itself.

    A receive hides messages for a while, and returns the rest of a FIFO group only after the first messages are gone.
    """
    return [
        {
            "MessageId": message.id,
            "Body": message.body,
            "Attributes": {"SentTimestamp": str(message.sent_timestamp)},
            "MessageAttributes": message.message_attributes,
        }
        for message in queue(url)._messages  # noqa: SLF001 - see above
    ]


def holds_messages(url: str) -> bool:
    """Whether a queue holds any message: visible, in flight or delayed. An AWS call to moto would take 3 ms."""
    return bool(queue(url)._messages)  # noqa: SLF001 - see above


def has_visible(url: str) -> bool:
    """Whether a receive would find a message. Most would not: the sandbox looks at every queue at every step."""
    return bool(queue(url).messages)


def lock_groups(url: str) -> None:
    """Let messages in flight lock their FIFO group, and no other messages.

    SQS keeps the order of a group, moto doesn't in two cases. Moto checks during a receive, message by message, whether
    it is visible again: if a whole group becomes visible again, moto delivers the last one first. And a message that a
    worker hands back is hidden for the rest of the instant, without a lock: a later one of its group could overtake it.
    """
    here = queue(url)
    in_flight = {message for message in here._messages if message.approximate_receive_count and not message.visible}  # noqa: SLF001 - see above
    here.pending_messages.clear()
    here.pending_messages.update(in_flight)


def show_again(url: str) -> None:
    """Make messages visible at once that were given back with a visibility timeout of 0, as SQS does.

    Moto hides them for the rest of the instant, and virtual time stands still. Messages that workers give back stay
    hidden for that long: otherwise the workers would get them again and again in the same instant.
    """
    now = unix_time_millis()
    for message in queue(url)._messages:  # noqa: SLF001 - see above
        if message.visible_at == now:
            message.visible_at = now - 1


def oldest_unpublished(stage: str) -> datetime | None:
    """When the oldest event occurred that the sweeper would publish. AWS calls would be nine at every step."""
    rows = _outbox_rows(stage)
    now = datetime.now(UTC)
    # By the value of `waiting`: from when on such rows are swept.
    swept = dict.fromkeys(unpublished.shards(), datetime.min.replace(tzinfo=UTC))
    swept |= {UNCLAIMED + event: now - patience for event, patience in unclaimed.types().items()}
    found = [
        (unpublished.time_of(row["occurred_at"].value), swept[row[WAITING].value])
        for row in rows
        if WAITING in row and row[WAITING].value in swept
    ]
    return min((occurred for occurred, since in found if occurred > since), default=None)


def has_unclaimed(stage: str) -> bool:
    """Whether the outbox holds events that a later release may claim."""
    return any(WAITING in row and row[WAITING].value.startswith(UNCLAIMED) for row in _outbox_rows(stage))


def batch_due(stage: str) -> datetime | None:
    """When the sweeper finds something at a batch that is sealed and hasn't fired.

    That is its first look. A later one finds something new only if the look before it was in an outage.
    """
    items = _in_moto("dynamodb").tables[names.flow_table(stage)].items
    roots = {
        key.value: row.attrs
        for key, row in items.items()
        if key.value.startswith(rows.BATCH) and root.DUE_AT in row.attrs and "sealed_at" in row.attrs
    }
    found = []
    for key, attributes in roots.items():
        due = datetime.fromisoformat(attributes[root.DUE_AT].value)
        is_first = due <= rows.instant(int(attributes["sealed_at"].value)) + root.SEALED_AGAIN_AFTER
        if is_first or _owes_a_callback(key.removeprefix(rows.BATCH)):
            found.append(due)
    return min(found, default=None)


def _owes_a_callback(batch_id: str) -> bool:
    """Whether a callback of a batch is due, and wasn't sent."""
    batch = root.read(batch_id)
    if batch is None or batch.fired:
        return False
    return (batch.dead_seen and not batch.dead_told) or status_of(batch).state == "succeeded"


def _outbox_rows(stage: str) -> list[Any]:
    items = _in_moto("dynamodb").tables[names.outbox_table(stage)].items
    return [row.attrs for partition in items.values() for row in partition.values()]


def delete_expired(stage: str) -> None:
    """Delete what the lifecycle of the payload bucket would have deleted by now, at the first moment S3 may do it."""
    now = datetime.now(UTC)
    lifetimes = payload.lifetimes(registry.queues().values(), declared.outbox().retention)
    objects = _in_moto("s3", "aws").buckets[payloads.bucket(names.schedule_dead_letters(stage))].keys
    for key in list(objects):
        stored_at = objects[key].last_modified.replace(tzinfo=UTC)
        if any(key.startswith(prefix) and stored_at + lifetime <= now for prefix, lifetime in lifetimes.items()):
            objects.pop(key)


class Schedule(NamedTuple):
    """A one-time schedule."""

    name: str
    arn: str
    due: datetime
    target: "TargetTypeDef"


def schedules(stage: str) -> list[Schedule]:
    """The stage's schedules, also those that have fired and that Scheduler hasn't deleted yet."""
    group = _in_moto("scheduler").schedule_groups[names.schedule_group(stage)]
    return [Schedule(one.name, one.arn, at(one.schedule_expression), one.target) for one in group.schedules.values()]


def queue(url: str) -> Any:
    """Moto's own object of a queue, without the messages that have expired."""
    return _in_moto("sqs").get_queue(url.rpartition("/")[2])


def _in_moto(service: Any, region: str | None = None) -> Any:
    owner = os.environ.get("MOTO_ACCOUNT_ID", DEFAULT_ACCOUNT_ID)  # as moto looks it up
    return get_backend(service)[owner][region or client("sqs").meta.region_name]


class _Index(NamedTuple):
    """A global secondary index."""

    name: str
    partition: str
    sort: str
    sort_type: str = "S"
    holds: tuple[str, ...] = ()
    """What it has of an item, beside the keys."""


def _table(
    name: str, partition: str, sort: str | None = None, index: _Index | None = None
) -> "CreateTableInputTypeDef":
    keys = [(partition, "HASH")] + ([(sort, "RANGE")] if sort is not None else [])
    indexed = [(index.partition, "HASH"), (index.sort, "RANGE")] if index is not None else []
    types = {index.sort: index.sort_type} if index is not None else {}
    table: Any = {
        "TableName": name,
        "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [
            {"AttributeName": key, "AttributeType": types.get(key, "S")} for key, _ in keys + indexed
        ],
        "KeySchema": _schema(keys),
    }
    if index is not None:
        included = {"ProjectionType": "INCLUDE", "NonKeyAttributes": [*index.holds]}
        projection = included if index.holds else {"ProjectionType": "KEYS_ONLY"}
        table["GlobalSecondaryIndexes"] = [
            {"IndexName": index.name, "KeySchema": _schema(indexed), "Projection": projection}
        ]
    return cast("CreateTableInputTypeDef", table)


def _schema(keys: list[tuple[str, str]]) -> list[dict[str, str]]:
    return [{"AttributeName": key, "KeyType": kind} for key, kind in keys]


def _kept(retention: timedelta) -> dict[str, str]:
    return {"MessageRetentionPeriod": str(int(retention.total_seconds()))}
