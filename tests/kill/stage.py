"""A new stage for each run: queues and tables with the names and the configuration of the stacks."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import boto3

from celeriac.model import names
from celeriac.model.queue import Queue
from celeriac.testing import account
from tests.kill.proxy import Backends
from tests.kill.tasks import queues

# The stacks set six times the timeout. With less, a message of a dead worker comes back sooner.
VISIBILITY_SECONDS = 4
QUEUES = {queue.name: queue for queue in (queues.jobs, queues.ledger, queues.films)}


@dataclass(frozen=True, slots=True)
class Clients:
    """Clients that reach the servers without a proxy. They are shared by all threads."""

    sqs: Any
    dynamodb: Any
    streams: Any


def clients(backends: Backends) -> Clients:
    def client(service: Any, endpoint: str) -> Any:
        return boto3.client(
            service,
            endpoint_url=endpoint,
            aws_access_key_id="test",
            aws_secret_access_key="test",
            region_name="eu-west-1",
        )

    return Clients(
        client("sqs", backends.sqs),
        client("dynamodb", backends.dynamodb),
        client("dynamodbstreams", backends.dynamodb),
    )


class Stage:
    """The resources of one run, and what lies in them."""

    def __init__(self, name: str, aws: Clients) -> None:
        self.name, self.aws = name, aws
        self.urls: dict[str, str] = {}
        for queue in QUEUES.values():
            self._make(queue)
        self.records, self.outbox = names.idempotency_table(name), names.outbox_table(name)
        self.effects = names.table(name, "effects")
        aws.dynamodb.create_table(**account._table(self.records, "id"))
        aws.dynamodb.create_table(**account._table(self.effects, "pk"))
        index = account._Index(names.outbox_index(), "waiting", "occurred_at")
        streaming = {"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"}
        outbox: Any = account._table(self.outbox, "pk", "sk", index=index) | {"StreamSpecification": streaming}
        self.stream = aws.dynamodb.create_table(**outbox)["TableDescription"]["LatestStreamArn"]

    def _make(self, queue: Queue) -> None:
        fifo = {"FifoQueue": "true"} if queue.fifo else {}
        dead = self._queue(queue.dead_letter_name(self.name), fifo)
        arn = self.aws.sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        redrive = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": str(queue.receive_limit)})
        own = {"VisibilityTimeout": str(VISIBILITY_SECONDS), "RedrivePolicy": redrive}
        self._queue(queue.physical_name(self.name), fifo | own)

    def _queue(self, name: str, attributes: dict[str, str]) -> str:
        url: str = self.aws.sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
        self.urls[name] = url
        return url

    def send(self, queue: Queue, body: dict[str, Any], group: str | None) -> None:
        ordered = {"MessageGroupId": group, "MessageDeduplicationId": body["id"]} if group else {}
        self.aws.sqs.send_message(
            QueueUrl=self.urls[queue.physical_name(self.name)], MessageBody=json.dumps(body), **ordered
        )

    def waiting(self, queue: Queue) -> int:
        """The messages of a queue: visible, in flight, delayed."""
        wanted = [f"ApproximateNumberOfMessages{kind}" for kind in ("", "NotVisible", "Delayed")]
        url = self.urls[queue.physical_name(self.name)]
        found = self.aws.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=wanted)["Attributes"]
        return sum(int(found[name]) for name in wanted)

    def unpublished(self) -> list[dict[str, Any]]:
        """The rows of the outbox that the relay has not marked."""
        return [row for row in self.rows(self.outbox) if "published_at" not in row]

    def rows(self, table: str) -> list[dict[str, Any]]:
        """Every item, as plain values: texts and numbers as texts."""
        items = self.aws.dynamodb.scan(TableName=table, ConsistentRead=True)["Items"]
        return [{name: next(iter(value.values())) for name, value in item.items()} for item in items]

    def letters(self) -> Iterator[dict[str, Any]]:
        """The dead letters, decoded."""
        for queue in QUEUES.values():
            url = self.urls[queue.dead_letter_name(self.name)]
            while found := self.aws.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
                for message in found:
                    # What isn't deleted would hold back the rest of its group.
                    self.aws.sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
                    yield json.loads(message["Body"])

    def remove(self) -> None:
        for table in (self.records, self.effects, self.outbox):
            self.aws.dynamodb.delete_table(TableName=table)
        for url in self.urls.values():
            self.aws.sqs.delete_queue(QueueUrl=url)
