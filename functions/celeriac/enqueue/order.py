"""One order for the rows of an aggregate: that of the commits.

The relay gets rows in the order of the commits, from the stream. The sweeper reads them by `occurred_at`. Both orders
are the same if `occurred_at` increases from commit to commit, also if transactions overlap, or a clock is set back. So
a transaction writes the last instant of each aggregate into a mark, on condition that the mark is older. If it isn't,
the transaction takes a later instant and is written again.

Only rows that may go to a FIFO queue have a mark: nothing else keeps an order. The marks are in the idempotency table.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from celeriac.enqueue.action import Action
from celeriac.enqueue.outbox_row import ORDERED, WAITING
from celeriac.model import names, settings
from celeriac.observe.log import logger

PREFIX = "celeriac#order#"
TICK = timedelta(microseconds=1)
# After this time without a row, all rows of the aggregate are published, or a person knows of them.
EXPIRES_AFTER = timedelta(days=30)

_refused = False
"""Whether this process may not write marks: its role is older than its release."""


class Order:
    """The marks of a transaction's aggregates. It sets `occurred_at` of their rows."""

    def __init__(self, actions: Sequence[Action], *, room: int) -> None:
        """Take a mark for each aggregate, but at most `room`: the other aggregates keep the times of their `emit`."""
        rows: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for action in actions:
            item = action.write.get("Put", {}).get("Item", {})
            if ORDERED in item and WAITING in item:
                rows[item["pk"]["S"]].append(item)
        self._rows = dict(rows)
        for aggregate in [] if not _refused and len(rows) <= room else list(rows):
            self._give_up(aggregate)
        self._first: dict[str, str] = {}
        for aggregate in self._rows:
            self._set(aggregate, datetime.now(UTC))

    @property
    def writes(self) -> list[dict[str, Any]]:
        """The marks, in DynamoDB's form: an action for each aggregate."""
        expires = str(int((datetime.now(UTC) + EXPIRES_AFTER).timestamp()))
        return [
            {
                "Put": {
                    "TableName": names.idempotency_table(settings.stage()),
                    "Item": {
                        "id": {"S": PREFIX + aggregate},
                        "last": {"S": rows[-1]["occurred_at"]["S"]},
                        "expiration": {"N": expires},
                    },
                    "ConditionExpression": "attribute_not_exists(#last) OR #last < :first",
                    "ExpressionAttributeNames": {"#last": "last"},
                    "ExpressionAttributeValues": {":first": {"S": self._first[aggregate]}},
                    "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
                }
            }
            for aggregate, rows in self._rows.items()
        ]

    def is_outrun(self, reasons: Sequence[Mapping[str, Any]]) -> bool:
        """Whether another transaction has a later instant. Its aggregate's rows then get a still later one.

        reasons: why DynamoDB refused each of the marks.
        """
        outrun = False
        for aggregate, reason in list(zip(self._rows, reasons, strict=False)):
            if reason.get("Code") != "ConditionalCheckFailed":
                continue
            outrun = True
            try:
                last = datetime.fromisoformat(reason["Item"]["last"]["S"])
                self._set(aggregate, max(last + TICK, datetime.now(UTC)))
            except (KeyError, TypeError, ValueError, OverflowError):  # not our mark, or not shown to this role
                self._give_up(aggregate)
        return outrun

    def give_up(self, *, refused: bool = False) -> None:
        """Do without marks: many transactions write the aggregate at once, or this process may not write marks."""
        global _refused  # noqa: PLW0603 - a process has one role
        if refused:
            _refused = True
            logger.warning("events are ordered by the time of emit: the role may not write marks, deploy the stage")
        for aggregate in list(self._rows):
            self._give_up(aggregate)

    def _set(self, aggregate: str, begin: datetime) -> None:
        for number, row in enumerate(self._rows[aggregate]):
            row["occurred_at"] = {"S": (begin + number * TICK).isoformat(timespec="microseconds")}
        self._first[aggregate] = self._rows[aggregate][0]["occurred_at"]["S"]

    def _give_up(self, aggregate: str) -> None:
        for row in self._rows.pop(aggregate):
            row.pop(ORDERED, None)
