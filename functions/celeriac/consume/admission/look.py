"""The look at the items that a batch asks for: one weak read for all of its messages, instead of a vain write each.

It only saves starts and writes. What decides is the condition of each write.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from threading import Lock
from typing import Any

from celeriac.aws.client import client
from celeriac.aws.items import plain
from celeriac.consume.admission.asked import Beforehand
from celeriac.flow import rows
from celeriac.flow.rows import Item, Seen
from celeriac.leases.store import store
from celeriac.model import names, settings

# An older look is taken again: it would say of a breaker what was true before other workers' tasks failed.
LASTS = timedelta(seconds=1)
# https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchGetItem.html
MOST_KEYS = 100
MOST_TRIES = 3

_ANY = timedelta(days=1)
"""A record's id doesn't depend on how long it is kept."""

type Record = tuple[str, str]
"""A task, and an idempotency key."""


class LookFailedError(TimeoutError):
    """DynamoDB has left out some of the items, again and again: it is throttled."""


class Look:
    """The items of the flow table, and the records, that the messages of one invocation ask for."""

    def __init__(self, rest: Mapping[str, Beforehand]) -> None:
        """rest: the messages that were read beforehand and haven't had their turn, by SQS's ids."""
        self._rest = rest
        self._lock = Lock()
        self.items: Seen = {}
        """The items, also as this worker has written them since."""
        self._records: dict[Record, dict[str, Any]] = {}
        self._looked_at: dict[str | Record, datetime] = {}

    def at(self, keys: Iterable[str], record: Record | None) -> Mapping[str, Any]:
        """Have these items in `items`, not older than a second. Returns the record; empty if there is none.

        Raises AWS's errors.
        """
        with self._lock:
            wanted: list[str | Record] = [*keys, *([record] if record is not None else [])]
            oldest = datetime.now(UTC) - LASTS
            if any(self._looked_at.get(one, datetime.min.replace(tzinfo=UTC)) < oldest for one in wanted):
                self._take(wanted)
            return self._records.get(record, {}) if record is not None else {}

    def _take(self, wanted: list[str | Record]) -> None:
        for one in self._rest.values():
            wanted += one.asked.keys
            if one.record is not None:
                wanted.append(one.record)
            if one.unique is not None:
                wanted.append(one.unique)
        some = list(dict.fromkeys(wanted))[:MOST_KEYS]
        table, records = rows.table(), names.idempotency_table(settings.stage())
        ids = {self._id_of(one): one for one in some if not isinstance(one, str)}
        requests: Any = {
            table: {"Keys": [rows.key_of(one) for one in some if isinstance(one, str)]},
            records: {"Keys": [{"id": {"S": each}} for each in ids]},
        }
        requests = {name: request for name, request in requests.items() if request["Keys"]}
        items: dict[str, Item] = {one: {} for one in some if isinstance(one, str)}
        found: dict[Record, dict[str, Any]] = {}
        for _ in range(MOST_TRIES):
            answer: Any = client("dynamodb").batch_get_item(RequestItems=requests)
            for item in answer["Responses"].get(table, []):
                items[item[rows.KEY]["S"]] = rows.living(plain(item) or {})
            for item in answer["Responses"].get(records, []):
                found[ids[item["id"]["S"]]] = {name: next(iter(value.values())) for name, value in item.items()}
            requests = answer.get("UnprocessedKeys")
            if not requests:
                break
        else:
            raise LookFailedError("DynamoDB has left out items of limits")
        now = datetime.now(UTC)
        self.items.update(items)
        for record in ids.values():
            self._records[record] = found.get(record, {})
        self._looked_at.update(dict.fromkeys(some, now))

    def _id_of(self, record: Record) -> str:
        task, key = record
        return store(task, names.idempotency_table(settings.stage()), _ANY).record_id(key)
