"""The relay: it publishes new rows of the outbox as the table's stream delivers them."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from celeriac.enqueue.outbox_row import read_all
from celeriac.relay.mark import mark
from celeriac.relay.publish import publish

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse


def handler(event: Mapping[str, Any], context: object) -> "PartialItemFailureResponse":  # noqa: ARG001 - Lambda's signature
    """Publish a batch of stream records, and name the first one that couldn't be published.

    Lambda then delivers that record again, and all records behind it. Records of other aggregates have already been
    published. Their second messages have the same ids, so they are duplicates.
    """
    changes: list[Mapping[str, Any]] = [record["dynamodb"] for record in event.get("Records", [])]
    sequences = {change["NewImage"]["sk"]["S"]: change["SequenceNumber"] for change in changes}
    events, malformed = read_all(change["NewImage"] for change in changes)
    published = publish(events)
    mark(published.done, [*malformed, *published.parked])
    return {"batchItemFailures": [{"itemIdentifier": sequences[failed.sk]} for failed in published.failed[:1]]}
