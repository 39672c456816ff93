"""Ends what the death of a batch's producer has left: it had sealed the batch, and not told all of its nodes.

It also counts the batches that should have ended, for their alarm.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from aws_lambda_powertools.metrics import MetricUnit

from celeriac.compose import callbacks
from celeriac.flow.batches import root
from celeriac.flow.batches.root import Batch
from celeriac.model.failure import error_place, error_type
from celeriac.observe import metrics
from celeriac.observe.log import logger
from celeriac.observe.metric_names import Metric

IN_A_PAGE = 100
MOST_COUNTED = 1_000
"""To an alarm a thousand late batches are as much as a million."""
SHORTEST, LONGEST = timedelta(minutes=1), timedelta(hours=1)
"""The times between two looks at a batch: the older it is, the longer."""


def sweep_batches(until: datetime) -> None:
    """Look at the batches that are due, and count those that are late. No error leaves it."""
    try:
        _look_at_due(root.shards(root.RUNNING), until)
        late = {partition: len(root.listed(partition, MOST_COUNTED)) for partition in root.shards(root.LATE)}
        _look_at_due([partition for partition, count in late.items() if count], until)
    except Exception as error:  # noqa: BLE001 - the next sweep looks again; this one has rows to publish
        logger.error("batches not swept", extra={"error": error_type(error), "where": error_place(error)})
        return
    if any(late.values()):
        measured = metrics.of("tasks")
        measured.add_metric(Metric.LATE_BATCHES, MetricUnit.Count, sum(late.values()))
        measured.flush_metrics()


def _look_at_due(partitions: Sequence[str], until: datetime) -> None:
    for partition in partitions:
        # All that is due, as far as time goes: what can't be put off mustn't hide those behind it.
        for page in root.pages(partition, IN_A_PAGE, until=datetime.now(UTC)):
            for batch_id in page:
                if datetime.now(UTC) > until:
                    return
                _look_at(batch_id)


def _look_at(batch_id: str) -> None:
    try:
        try:
            batch = root.read(batch_id)
        except (ValueError, TypeError, ArithmeticError):
            root.put_off(batch_id, datetime.now(UTC) + LONGEST)
            raise
        if batch is None or batch.fired:
            root.leave_if_over(batch_id)  # the index is a second behind, or it holds what is no batch
            return
        try:
            if batch.is_sealed:
                callbacks.finish(batch)
        finally:
            # Also if it can't be finished: it is late in its time, and others that are due aren't behind it for ever.
            at, is_late = _next_look(batch)
            root.come_later(batch, at, is_late=is_late)
    except Exception as error:  # noqa: BLE001 - one batch must not stop the others
        logger.error("batch not swept", extra={"error": error_type(error), "where": error_place(error)})


def _next_look(batch: Batch) -> tuple[datetime, bool]:
    """When to look at a batch again, and whether it is late by now. One that has fired isn't in the index any more."""
    now = datetime.now(UTC)
    is_late = batch.late_at is not None and batch.late_at <= now
    later = now + min(max(now - (batch.sealed_at or batch.opened_at), SHORTEST), LONGEST)
    return (later if is_late or batch.late_at is None else min(later, batch.late_at)), is_late
