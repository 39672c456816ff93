"""Events on the stage's EventBridge bus, as CloudEvents 1.0 (https://github.com/cloudevents/spec)."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

from celeriac.aws.client import client
from celeriac.aws.refusals import Refusal, insist, is_of_entry, why
from celeriac.enqueue.outbox_row import BUS, EventRow, OutboxRow
from celeriac.model import names, settings
from celeriac.model.failure import error_place, error_type
from celeriac.observe.log import logger
from celeriac.relay import memory

# https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEvents.html
BATCH_ENTRIES = 10
BATCH_BYTES = 262_144
LEFT_ALONE = Refusal(f"{BUS} could not be reached a moment ago")
# A further try has the same result.
FINAL = frozenset({"InvalidArgument", "MalformedDetail", "ValidationException", "NotAuthorizedForDetailTypeException"})


def cloud_event(row: EventRow) -> dict[str, Any]:
    """The event in the structured form of CloudEvents, which is the `detail` of the bus's own envelope."""
    return {
        "specversion": "1.0",
        "id": row.sk,
        "source": source(),
        "type": row.type,
        **({"subject": row.pk} if not row.is_alone else {}),
        "time": row.occurred_at.isoformat(),
        "datacontenttype": "application/json",
        "data": row.data,
    }


def source() -> str:
    """Where events come from, as rules of the bus match it: `<application>-<stage>`."""
    return names.prefix(settings.stage())


def put(rows: Sequence[EventRow]) -> Iterator[tuple[OutboxRow, Refusal]]:
    """Put events on the bus, and yield those that it didn't take, with the reason.

    A bus keeps no order, so no event waits for another.
    """
    batch: list[tuple[OutboxRow, dict[str, str]]] = []
    size = 0
    for row in rows:
        try:
            entry = _entry(row)
            taken = _size(entry)
        except (TypeError, ValueError) as error:  # such as a lone surrogate, which has no UTF-8
            yield row, Refusal(f"it has no JSON form that a bus takes: {error_type(error)}", final=True)
            continue
        if taken > BATCH_BYTES:
            yield row, Refusal(f"it is {taken} bytes, a bus takes {BATCH_BYTES}", final=True)
            continue
        if len(batch) == BATCH_ENTRIES or size + taken > BATCH_BYTES:
            yield from _put(batch)
            batch, size = [], 0
        batch.append((row, entry))
        size += taken
    if batch:
        yield from _put(batch)


def _put(batch: Sequence[tuple[OutboxRow, dict[str, str]]]) -> Iterator[tuple[OutboxRow, Refusal]]:
    if not memory.worker.can_reach(BUS):
        yield from ((row, LEFT_ALONE) for row, _ in batch)
        return
    try:
        answers = insist([entry for _, entry in batch], _put_entries)
    except Exception as error:  # noqa: BLE001 - any error concerns this batch only
        logger.error("not put on the bus", extra={"error": error_type(error), "where": error_place(error)})
        if is_of_entry(error) and len(batch) > 1:
            for one in batch:  # EventBridge refuses the whole call because of one entry
                yield from _put([one])
            return
        answers = [why(error)] * len(batch)
        if not is_of_entry(error):
            memory.worker.leave_alone(BUS)
    for (row, _), refusal in zip(batch, answers, strict=True):
        if refusal is not None:
            yield row, refusal


def _put_entries(entries: Sequence[dict[str, str]]) -> list[Refusal | None]:
    answer = client("events").put_events(Entries=list(entries))  # type: ignore[arg-type]  # dicts of text
    return [
        Refusal(f"{one['ErrorCode']}: {one.get('ErrorMessage', '')}", final=one["ErrorCode"] in FINAL)
        if one.get("ErrorCode")
        else None
        for one in answer["Entries"]
    ]


def _entry(row: EventRow) -> dict[str, str]:
    return {
        "EventBusName": names.bus(settings.stage()),
        "Source": source(),
        "DetailType": row.type,
        "Detail": json.dumps(cloud_event(row), ensure_ascii=False),
        **({"TraceHeader": row.trace} if row.trace is not None else {}),
    }


def _size(entry: dict[str, str]) -> int:
    return sum(len(entry[name].encode()) for name in ("Source", "DetailType", "Detail"))
