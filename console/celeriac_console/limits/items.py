"""The items of limits, as they are now."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from celeriac.aws import pause
from celeriac.aws.client import client
from celeriac.aws.items import plain
from celeriac.flow import rows
from celeriac.flow.rows import Item
from celeriac_console.terminal.errors import UserError
from celeriac_console.terminal.next_steps import deploy_it

# https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchGetItem.html
MOST_KEYS = 100
MOST_PAGES = 10
"""Of a scan. Each reads a megabyte of the table, whatever it finds."""
_WAITS = (0.1, 0.3, 1.0, 3.0)


class NoFlowTableError(UserError):
    """The stage has no table of limits and batches."""

    def __init__(self, whose: str = "limits") -> None:
        super().__init__(
            f"the stage has no table {rows.table()}, which {whose} need: it was deployed without them; {deploy_it()}"
        )


class Scanned(NamedTuple):
    """What a scan has found."""

    items: dict[str, Item]
    is_cut: bool
    """Whether the table has more than was read."""


def read(keys: Iterable[str]) -> dict[str, Item]:
    """The items of these keys; empty ones for those that aren't there. A call for each hundred.

    Raises AWS's errors, and NoFlowTableError.
    """
    wanted = list(dict.fromkeys(keys))
    found: dict[str, Item] = {key: {} for key in wanted}
    for number in range(0, len(wanted), MOST_KEYS):
        for item in _batch(wanted[number : number + MOST_KEYS]):
            found[item[rows.KEY]] = rows.living(item)
    return found


def _batch(keys: list[str]) -> Iterator[Item]:
    requests: Any = {rows.table(): {"Keys": [rows.key_of(key) for key in keys], "ConsistentRead": True}}
    for wait in (*_WAITS, None):
        try:
            answer: Any = client("dynamodb").batch_get_item(RequestItems=requests)
        except Exception as error:
            if rows.is_missing(error):
                raise NoFlowTableError from error
            raise
        yield from (plain(item) or {} for item in answer["Responses"].get(rows.table(), []))
        requests = answer.get("UnprocessedKeys")
        if not requests:
            return
        if wait is not None:
            pause.wait(wait)
    raise UserError("DynamoDB has left out some of the items: the table is throttled, try again in a minute")


def scan(name: str | None) -> Scanned:
    """The items of one limit, or of all for None, for all values of `by`, in the first megabytes of the table.

    Raises AWS's errors, and NoFlowTableError.
    """
    start = f"{rows.LIMIT}{name}#" if name is not None else rows.LIMIT
    items: dict[str, Item] = {}
    more: Mapping[str, Any] = {}
    for _ in range(MOST_PAGES):
        try:
            page: Any = client("dynamodb").scan(
                TableName=rows.table(),
                FilterExpression="begins_with(#key, :start)",
                ExpressionAttributeNames={"#key": rows.KEY},
                ExpressionAttributeValues={":start": {"S": start}},
                **more,
            )
        except Exception as error:
            if rows.is_missing(error):
                raise NoFlowTableError from error
            raise
        for item in page["Items"]:
            one = rows.living(plain(item) or {})
            if one:
                items[one[rows.KEY]] = one
        if not (last := page.get("LastEvaluatedKey")):
            return Scanned(items, is_cut=False)
        more = {"ExclusiveStartKey": last}
    return Scanned(items, is_cut=True)
