"""The items of the flow table: their keys, and how they are read and written.

An item's TTL deletes it late, so every condition takes one that has expired for one that isn't there.
"""

from collections.abc import Mapping, MutableMapping, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any, NamedTuple

from celeriac.aws.client import client, error_code
from celeriac.aws.items import plain
from celeriac.model import names, settings

KEY, EXPIRES_AT = "pk", "expires_at"
LIMIT, UNIQUE, DEBOUNCE, WAIT, BATCH, STEP = "limit#", "unique#", "debounce#", "wait#", "batch#", "step#"
OVERRIDES = "limits"
"""The item with what operators have set at run time."""
LIVES_ON = timedelta(days=1)
"""How long an item is kept after the last instant that it holds."""
_HASHED = 32
_MOST_IN_A_READ = 100
_TICK = timedelta(microseconds=1)
_START = datetime.fromtimestamp(0, UTC)
# DynamoDB throttles a key, or a table that has just been made.
_THROTTLED = frozenset({"ProvisionedThroughputExceededException", "ThrottlingException", "RequestLimitExceeded"})


def of_limit(name: str, values: str) -> str:
    """The key of a limit's item for the values of its `by`; `values` is empty without a `by`."""
    return f"{LIMIT}{name}#{_hashed(values) if values else '-'}"


def of_unique(queue: str, task: str, values: str) -> str:
    """The key of the item that holds which message of equal ones waits or runs."""
    return f"{UNIQUE}{queue}#{task}#{_hashed(values)}"


def of_debounce(queue: str, task: str, values: str) -> str:
    """The key of the item that holds the last message of a burst."""
    return f"{DEBOUNCE}{queue}#{task}#{_hashed(values)}"


def of_wait(queue: str, message_id: str) -> str:
    """The key of the item that holds for how long a FIFO message has waited. `message_id` is SQS's."""
    return f"{WAIT}{queue}#{message_id}"


def _hashed(text: str) -> str:
    return sha256(text.encode(errors="surrogatepass")).hexdigest()[:_HASHED]


def now() -> int:
    """This instant in microseconds since 1970, the unit of all instants in the table but `expires_at`."""
    return microseconds(datetime.now(UTC))


def microseconds(instant: datetime) -> int:
    """An instant in microseconds since 1970."""
    return (instant - _START) // _TICK


def instant(value: int) -> datetime:
    """The instant of microseconds since 1970."""
    return _START + value * _TICK


type Item = dict[str, Any]
"""An item as Python values."""


type Seen = MutableMapping[str, Item]
"""Items by their keys, as they were last read or written."""


class Write(NamedTuple):
    """An update of one item, under a condition, or without one if that is empty.

    Values are texts, whole numbers, and maps and sets of whole numbers.
    """

    condition: str
    values: Mapping[str, object]
    sets: Sequence[str] = ()
    removes: Sequence[str] = ()
    adds: Sequence[str] = ()
    deletes: Sequence[str] = ()
    names: Mapping[str, str] = {}


class Refused(NamedTuple):
    """The condition didn't hold. `found` is the item as it was; empty if there is none."""

    found: Item


def update(key: str, write: Write, *, lives_until: int | None = 0) -> Item | Refused:
    """Update an item. Returns the whole new item, or the one that kept it from being written.

    lives_until: the last instant that the item holds. It lives on for a day after that, or after now; None: for ever.

    Raises AWS's errors.
    """
    lasting: dict[str, object] = {}
    if lives_until is not None:
        lasting[":expires_at"] = max(lives_until, now()) // 1_000_000 + int(LIVES_ON.total_seconds())
    values = {name: _value(value) for name, value in {**write.values, **lasting}.items()}
    parts = {
        "SET": [*write.sets, *([f"{EXPIRES_AT} = :expires_at"] if lasting else [])],
        "REMOVE": write.removes,
        "ADD": write.adds,
        "DELETE": write.deletes,
    }
    expression = " ".join(f"{verb} {', '.join(clauses)}" for verb, clauses in parts.items() if clauses)
    named: Any = {
        name: given
        for name, given in (
            ("ExpressionAttributeNames", write.names),
            ("ExpressionAttributeValues", values),
            ("ConditionExpression", write.condition),
        )
        if given  # DynamoDB refuses empty ones
    }
    try:
        answer = client("dynamodb").update_item(
            TableName=table(),
            Key=key_of(key),
            UpdateExpression=expression,
            ReturnValues="ALL_NEW",
            ReturnValuesOnConditionCheckFailure="ALL_OLD",
            **named,
        )
    except client("dynamodb").exceptions.ConditionalCheckFailedException as error:
        return Refused(plain(error.response.get("Item")) or {})
    return plain(answer.get("Attributes")) or {}


def change(key: str, write: Write, seen: Seen, *, lives_until: int | None = 0) -> bool:
    """Update an item, and note in `seen` how it is now. Returns whether the condition held. Raises AWS's errors."""
    return written(key, write, seen, lives_until=lives_until) is not None


def written(key: str, write: Write, seen: Seen, *, lives_until: int | None = 0) -> Item | None:
    """Do what `change` does. Returns the whole new item, or None if the condition didn't hold.

    Decide by the answer: a look of another lane may have replaced what is in `seen` since, by something older.
    """
    came = update(key, write, lives_until=lives_until)
    seen[key] = came.found if isinstance(came, Refused) else came
    return None if isinstance(came, Refused) else came


def read(key: str) -> Item:
    """An item, by a strongly consistent read; empty if there is none or it has expired. Raises AWS's errors."""
    return living(read_as_is(key))


def read_many(keys: Sequence[str], *, strong: bool = False) -> dict[str, Item]:
    """Items by their keys, those that are there and haven't expired: a hundred in a call.

    strong: strongly consistent reads, at twice the price of weak ones. Raises AWS's errors.
    """
    found: dict[str, Item] = {}
    for start in range(0, len(keys), _MOST_IN_A_READ):
        asked: Any = [key_of(key) for key in keys[start : start + _MOST_IN_A_READ]]
        while asked:
            answer = client("dynamodb").batch_get_item(
                RequestItems={table(): {"Keys": asked, "ConsistentRead": strong}}
            )
            for item in answer["Responses"].get(table(), []):
                it = living(plain(item) or {})
                if it:
                    found[it[KEY]] = it
            left: Any = answer.get("UnprocessedKeys", {})
            asked = left.get(table(), {}).get("Keys", [])
    return found


def read_as_is(key: str) -> Item:
    """The same, also if it has expired by the clock of this program, which may be wrong. Raises AWS's errors."""
    answer = client("dynamodb").get_item(TableName=table(), Key=key_of(key), ConsistentRead=True)
    return plain(answer.get("Item")) or {}


def living(item: Item) -> Item:
    """The item, or an empty one if it has expired and isn't deleted yet."""
    return item if EXPIRES_AT not in item or int(item[EXPIRES_AT]) >= now() // 1_000_000 else {}


def is_throttled(error: Exception) -> bool:
    """Whether DynamoDB refused a call because its item, or the table, gets too many."""
    return error_code(error) in _THROTTLED


def is_missing(error: Exception) -> bool:
    """Whether the table isn't there: the stage was deployed by an older release."""
    return error_code(error) == "ResourceNotFoundException"


def table() -> str:
    """The table's name in the stage of this process."""
    return names.flow_table(settings.stage())


def key_of(key: str) -> Any:
    """A key in DynamoDB's form."""
    return {KEY: {"S": key}}


def _value(value: object) -> Any:
    if isinstance(value, Mapping):
        return {"M": {name: _value(one) for name, one in value.items()}}
    if isinstance(value, frozenset):
        return {"NS": [str(one) for one in value]}
    return {"S": value} if isinstance(value, str) else {"N": str(value)}
