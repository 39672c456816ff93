"""The look at the items that a batch asks for: one weak read for all of its messages, instead of a vain write each.

It only saves starts and writes. What decides is the condition of each write.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from threading import Lock
from typing import Any

from celeriac.aws.client import client, error_code
from celeriac.aws.items import plain
from celeriac.consume.admission.asked import Beforehand
from celeriac.flow import rows
from celeriac.flow.rows import Seen
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

    def __init__(self, next_ones: Callable[[int], Sequence[Beforehand]]) -> None:
        """next_ones: the next messages that will ask, at most so many."""
        self._next_ones = next_ones
        self._lock = Lock()
        self.items: Seen = {}
        """The items, also as this worker has written them since."""
        self._records: dict[Record, dict[str, Any]] = {}
        self._looked_at: dict[str | Record, datetime] = {}
        self._is_batched = True

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
        """Read these, and with the same call what the rest of the batch asks for."""
        some = list(wanted)
        # If tasks take longer than a look lasts, the others would be read again for each of them, each time in vain.
        is_slow = all(one in self._looked_at for one in wanted)
        for read in self._next_ones(MOST_KEYS) if not is_slow else ():
            some += read.asked.keys
            if read.record is not None:
                some.append(read.record)
            if read.unique is not None:
                some.append(read.unique)
        some = list(dict.fromkeys(some))[:MOST_KEYS]
        if not self._is_batched or not self._take_together(some):
            some = wanted
            for one in wanted:
                answer = client("dynamodb").get_item(**self._place_of(one))
                self._note(one, answer.get("Item"))
        now = datetime.now(UTC)
        self._looked_at.update(dict.fromkeys(some, now))

    def _take_together(self, some: list[str | Record]) -> bool:
        """Read by one call. False if the role doesn't allow it.

        Its rights are bounded by the keys. With very many limits they take more than one statement of its policy, and
        AWS allows a call only if one statement allows all of its keys.
        """
        by_place = {_text(self._place_of(one)): one for one in some}
        requests: Any = {}
        for one in some:
            place = self._place_of(one)
            requests.setdefault(place["TableName"], {"Keys": []})["Keys"].append(place["Key"])
        found: dict[str | Record, Any] = {}
        for _ in range(MOST_TRIES):
            try:
                answer: Any = client("dynamodb").batch_get_item(RequestItems=requests)
            except Exception as error:
                if "AccessDenied" not in error_code(error):
                    raise
                self._is_batched = False
                return False
            for table, items in answer["Responses"].items():
                key = rows.KEY if table == rows.table() else "id"
                for item in items:
                    found[by_place[_text({"TableName": table, "Key": {key: item[key]}})]] = item
            requests = answer.get("UnprocessedKeys")
            if not requests:
                break
        else:
            raise LookFailedError("DynamoDB has left out items of limits")
        for one in some:
            self._note(one, found.get(one))
        return True

    def _note(self, one: str | Record, item: Any) -> None:
        if isinstance(one, str):
            self.items[one] = rows.living(plain(item) or {})
        else:
            self._records[one] = {name: next(iter(value.values())) for name, value in (item or {}).items()}

    def _place_of(self, one: str | Record) -> Any:
        """The table and the key, as arguments of a call."""
        if isinstance(one, str):
            return {"TableName": rows.table(), "Key": rows.key_of(one)}
        return {"TableName": names.idempotency_table(settings.stage()), "Key": {"id": {"S": self._id_of(one)}}}

    @staticmethod
    def _id_of(record: Record) -> str:
        task, key = record
        return store(task, names.idempotency_table(settings.stage()), _ANY).record_id(key)


def _text(place: Any) -> str:
    return f"{place['TableName']} {next(iter(place['Key'].values()))['S']}"
