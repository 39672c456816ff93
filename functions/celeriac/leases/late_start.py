"""The note of a recurring task: when the last of its late firings was started.

A late firing may start if none has started since it was planned: a run does the work of all firings that were planned
before it. Only late firings read or write the note.
"""

from datetime import UTC, datetime, timedelta

from celeriac.aws.client import client
from celeriac.aws.items import plain
from celeriac.leases import notes
from celeriac.leases.status import milliseconds
from celeriac.model.queue import Queue

_KIND = "late"
# A note that lies further in the future was written by a wrong clock, and must not hold up firings until then.
_CLOCKS_DIFFER_BY = timedelta(minutes=1)


def note(queue: Queue, task: str, planned: datetime) -> bool:
    """Note that the late firing that was planned for `planned` starts now. Of several at once, one may start.

    Returns False if another late firing was noted after `planned`. The firing that the note names may start again: its
    worker may have died before the claim. Raises AWS's errors.
    """
    now = datetime.now(UTC)
    dynamodb = client("dynamodb")
    try:
        dynamodb.update_item(
            **notes.where(_KIND, task, task),
            UpdateExpression="SET started_at = :now, planned_for = :planned, expiration = :expiration",
            ConditionExpression="attribute_not_exists(id) OR started_at <= :planned OR started_at > :future",
            ExpressionAttributeValues={
                ":now": {"N": milliseconds(now)},
                ":planned": {"N": milliseconds(planned)},
                ":future": {"N": milliseconds(now + _CLOCKS_DIFFER_BY)},
                ":expiration": {"N": str(int((now + queue.record_retention).timestamp()))},
            },
            ReturnValuesOnConditionCheckFailure="ALL_OLD",
        )
    except dynamodb.exceptions.ConditionalCheckFailedException as error:
        found = plain(error.response.get("Item")) or {}
        # AWS may have carried out an earlier try of this call, and its answer was lost.
        return str(found.get("planned_for")) == milliseconds(planned)
    return True
