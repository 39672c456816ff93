"""What the list of ended runs must agree with: the records themselves."""

from collections.abc import Iterator

from celeriac.aws.client import client
from celeriac.declare import registry
from celeriac.leases import history, tombstones
from celeriac.leases.claim_write import record_of
from celeriac.leases.states import COMPLETED, DEAD, RETRYING
from celeriac.model import names

_ENDS = {COMPLETED: {"succeeded"}, DEAD: {"dead", "cancelled"}}


def contradictions(stage: str) -> Iterator[str]:
    """Yield each record of a key, of a queue with a history, that isn't listed as it has ended."""
    pages = client("dynamodb").get_paginator("scan").paginate(TableName=names.idempotency_table(stage))
    for record in (record_of(item) for page in pages for item in page["Items"]):
        its = registry.tasks.get(str(record["id"]).partition("#")[0])
        if its is None or its.guarantee == "at_least_once" or not its.queue.history or "status" not in record:
            continue
        status, where = str(record["status"]), str(record.get(history.RUN_OF, ""))
        of, _, state = where.rpartition("#")[0].partition("#")
        attempts = history.attempts_in(record, str(record["task_id"]))
        between = status == RETRYING and tombstones.names(record, str(record["task_id"]))  # cancelled between two runs
        ends = {"cancelled"} if between and where else _ENDS.get(status, set())
        if bool(where) != bool(ends) or (where and (of != its.name or state not in ends)):
            yield f"{record['id']} is {status}, and listed as {where or 'nothing'}"
        elif where and history.ENDED_AT not in record:
            yield f"{record['id']} has no time of its end"
        elif status == COMPLETED and (not attempts or attempts[-1].outcome != "succeeded"):
            yield f"{record['id']} has succeeded, and its attempts are {attempts}"
        elif any(one.started_at > one.ended_at for one in attempts):
            yield f"{record['id']} has an attempt that ended before it began: {attempts}"
