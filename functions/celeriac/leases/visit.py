"""The visit of a message: from its receive until its task is claimed. A note shows whether a worker died in between.

A body, a stored payload or a user's validator may kill a worker before a record knows of the run. So a message that SQS
delivers again gets a note before anything of it is touched. The note is in the idempotency table, under the queue and
SQS's id of the message. It is open during the visit. The worker closes it at the visit's end. If a note is open and its
worker must have ended, the worker has died.
"""

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from msgspec import Struct

from celeriac.aws.client import client, may_have_been_carried_out
from celeriac.aws.items import plain
from celeriac.leases import notes
from celeriac.leases.lease import Busy
from celeriac.leases.status import milliseconds
from celeriac.model.errors import Signal
from celeriac.model.queue import Queue

_KIND = "visit"


class Unanswered(Signal):
    """AWS hasn't said whether the note of `visit` is open. The cause is AWS's error."""

    def __init__(self, visit: "Visit") -> None:
        super().__init__("AWS has not answered whether the visit is noted")
        self.visit = visit


class VisitorDied(Signal):
    """The worker of the last visit died. `deaths_alone` workers died on visits while they ran nothing else."""

    def __init__(self, found: Mapping[str, Any]) -> None:
        super().__init__("the last worker that received this message died before it claimed the task")
        self.token = str(found["token"])
        self.deaths_alone = int(found.get("deaths_alone", 0)) + int(found.get("alone", 0))


class Visit(Struct, frozen=True):
    """An open note of one worker."""

    _where: Any
    _token: str

    def close(self) -> None:
        """End the visit. If that fails, the next worker takes this one for dead, once. Raises AWS's errors."""
        try:
            client("dynamodb").update_item(
                **self._where,
                UpdateExpression="REMOVE #token, alone, visit_until, deaths_alone",
                ConditionExpression="#token = :token",
                ExpressionAttributeNames={"#token": "token"},
                ExpressionAttributeValues={":token": {"S": self._token}},
            )
        except client("dynamodb").exceptions.ConditionalCheckFailedException:
            pass  # an earlier try of this call has closed it, or it was never opened


def begin(
    queue: Queue,
    message_id: str,
    *,
    until: datetime,
    alone: bool,
    deaths_alone: int = 0,
    after: VisitorDied | None = None,
) -> Visit:
    """Open the note of a message.

    until: when Lambda will have stopped this worker, or how long a lease lasts elsewhere.
    deaths_alone: how many workers died of the message of which this one is a copy.
    after: the death that an earlier call has met. The note is taken over, if it is still the same.

    Raises Busy while another worker visits the message, VisitorDied, and AWS's errors: Unanswered if the note may be
    open.
    """
    visit = Visit(notes.in_queue(_KIND, queue.name, message_id), os.urandom(12).hex())
    now = datetime.now(UTC)
    values: dict[str, Any] = {
        ":token": {"S": visit._token},  # noqa: SLF001 - made above
        ":until": {"N": milliseconds(until)},
        ":alone": {"N": str(int(alone))},
        ":deaths": {"N": str(deaths_alone if after is None else after.deaths_alone)},
        ":expiration": {"N": str(int((now + queue.record_retention).timestamp()))},
    }
    try:
        client("dynamodb").update_item(
            **visit._where,  # noqa: SLF001 - made above
            UpdateExpression=(
                "SET #token = :token, visit_until = :until, alone = :alone, deaths_alone = :deaths, "
                "expiration = :expiration"
            ),
            ConditionExpression="attribute_not_exists(#token)" if after is None else "#token = :after",
            ExpressionAttributeNames={"#token": "token"},
            ExpressionAttributeValues=values if after is None else values | {":after": {"S": after.token}},
            ReturnValuesOnConditionCheckFailure="ALL_OLD",
        )
    except client("dynamodb").exceptions.ConditionalCheckFailedException as error:
        found = plain(error.response.get("Item")) or {}
        if found.get("token") == values[":token"]["S"]:
            return visit  # AWS carried out an earlier try of this call, and its answer was lost
        ends_at = datetime.fromtimestamp(int(found.get("visit_until", 0)) / 1000, UTC)
        if after is not None or ends_at > now:
            raise Busy(max(ends_at, now)) from error
        raise VisitorDied(found) from error
    except Exception as error:
        if may_have_been_carried_out(error):
            raise Unanswered(visit) from error
        raise
    return visit
