"""The outcome of a run, read from the deployed system: its logs, outbox, dead letters, payment provider and SES."""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import boto3
import urllib3

from celeriac.dead_letters.dead_letter import DeadLetter
from celeriac.declare import registry
from celeriac.enqueue.outbox_row import read as read_event
from celeriac.model.names import outbox_table, part
from celeriac.relay.parcels import parcels as parcels_of
from celeriac_console.dlq.queue_reader import read
from celeriac_local.cloud.environment import STAGE
from celeriac_local.cloud.state import Cloud
from celeriac_local.demo.cases import QUEUES, Counts, Run, Totals

# Letters of earlier runs stay in the queues, so there may be many.
MOST_LETTERS = 1000


@dataclass(frozen=True, slots=True)
class Follower:
    """A message that the relay sends for an event of the run."""

    queue: str
    id: str


class Observer:
    """Reads the outcome of one run. The process must have the local cloud's environment."""

    def __init__(self, cloud: Cloud, run: Run) -> None:
        self._cloud = cloud
        self._run = run
        self._logs = boto3.client("logs")
        self._dynamodb = boto3.client("dynamodb")
        registry.load()

    def outcomes(self, ids: Iterable[str]) -> dict[str, Counter[str]]:
        """The number of times that each queue's consumer logged each outcome for these task ids.

        A line is logged for each attempt, so a task that was retried has several.
        """
        wanted = set(ids)
        return {queue: self._logged(f"/aws/lambda/{part(STAGE, queue)}", wanted) for queue in QUEUES}

    def _logged(self, group: str, ids: set[str]) -> Counter[str]:
        pages = self._logs.get_paginator("filter_log_events").paginate(
            logGroupName=group, startTime=self._run.number * 1000, filterPattern='"outcome"'
        )
        lines = [event["message"] for page in pages for event in page["events"]]
        logged = [json.loads(line) for line in lines if line.startswith("{")]
        return Counter(line["outcome"] for line in logged if line.get("id") in ids and "outcome" in line)

    def events(self) -> list[dict[str, Any]]:
        """The outbox rows of the run, in DynamoDB's format."""
        pages = self._dynamodb.get_paginator("scan").paginate(
            TableName=outbox_table(STAGE),
            FilterExpression="begins_with(pk, :mark)",
            ExpressionAttributeValues={":mark": {"S": self._run.mark}},
        )
        return [dict(row) for page in pages for row in page["Items"]]

    def followers(self, rows: Iterable[dict[str, Any]]) -> list[Follower]:
        """The messages that the relay sends for these rows. The relay's own function computes them, with their ids."""
        events = [read_event(row) for row in rows]
        parcels = [parcel for event in events for parcel in parcels_of(event, registry.subscribers(event.type))]
        return [Follower(parcel.queue.name, parcel.message.id) for parcel in parcels]

    def dead_letters(self) -> dict[str, list[DeadLetter]]:
        """The dead letters of the run by queue. They stay in their queues, and the next reader sees them at once."""
        return {
            name: [letter for letter in read(queue, limit=MOST_LETTERS) if self._run.mark in letter.body]
            for name, queue in registry.queues().items()
        }

    def totals(self, sent: Counter[str], ids: Iterable[str]) -> Totals:
        """All counts of the run.

        `sent` is the number of messages that this process sent to each queue. `ids` are the ids of their tasks.
        """
        rows = self.events()
        followers = self.followers(rows)
        # The relay has sent no message yet for a row without published_at.
        relayed = sum("published_at" in row for row in rows)
        arrived = sent + Counter(follower.queue for follower in followers)
        outcomes = self.outcomes([*ids, *(follower.id for follower in followers)])
        charges = Counter(charge["order_id"] for charge in self._get(f"{self._cloud.provider_url}/charges"))
        ours = {order: count for order, count in charges.items() if order.startswith(self._run.mark)}
        letters = self.dead_letters()
        return Totals(
            queues={queue: counts(arrived[queue], outcomes[queue]) for queue in QUEUES},
            relayed=relayed,
            charged=len(ours),
            overcharged=sum(count > 1 for count in ours.values()),
            mails=self._mails(),
            dead_letters=dict(
                Counter(
                    f"{queue}: {letter.failure.reason if letter.failure else 'no reason given'}"
                    for queue, found in letters.items()
                    for letter in found
                )
            ),
        )

    def _mails(self) -> int:
        accounts = self._get(f"{self._cloud.url}/_ministack/ses/messages")["messages"].values()
        return sum(any(self._run.mark in to for to in mail["To"]) for mails in accounts for mail in mails)

    def _get(self, url: str) -> Any:
        return urllib3.request("GET", url, timeout=5).json()


def counts(sent: int, outcomes: Counter[str]) -> Counts:
    """The counts of the report, from the outcomes of a log."""
    return Counts(
        sent=sent,
        succeeded=outcomes["succeeded"],
        retried=outcomes["retried"],
        dead=outcomes["dead"],
        duplicates=outcomes["duplicate"],
    )
