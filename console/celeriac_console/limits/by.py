"""The items of a limit for the values of its `by`, as an operator types them."""

import re
from collections.abc import Mapping, Sequence

from celeriac import InvalidArgumentsError
from celeriac.flow import rows
from celeriac_console.application.arguments import split, value_for
from celeriac_console.application.limited import Limited
from celeriac_console.terminal.errors import UserError

_ITEM = re.compile(r"-|[0-9a-f]{32}")


def given_by(options: Sequence[str]) -> dict[str, str]:
    """The values of `--by account=7`, by parameter. Raises UserError for another text."""
    return dict(split(option) for option in options)


def keys_of(limited: Limited, given: Mapping[str, str]) -> list[str]:
    """The keys of a limit's items for these values. They are several only if its tasks read a value differently.

    Raises UserError if the values aren't those of the limit's `by`.
    """
    limit = limited.limit
    if set(given) != set(limit.names):
        raise UserError(_cure(limited))
    if not limit.names:
        return [rows.of_limit(limit.name, "")]
    keys: list[str] = []
    refusals: list[str] = []
    for task in limited.tasks:
        try:
            arguments = {
                name: task.signature.arrived(name, value_for(task, name, text)) for name, text in given.items()
            }
            keys.append(rows.of_limit(limit.name, task.text_of(limit.names, arguments)))
        except InvalidArgumentsError as error:
            refusals.append(str(error))
    if not keys:
        raise UserError(refusals[0])
    return list(dict.fromkeys(keys))


def item_of(key: str) -> str:
    """The last part of a key: the hash of the values, or `-`."""
    return key.rpartition("#")[2]


def key_of_item(name: str, item: str) -> str:
    """The key of the item that `item_of` has named. Raises UserError for a text that names none."""
    if not _ITEM.fullmatch(item):
        raise UserError("no item has such a name: choose one of the limit's page")
    return f"{rows.LIMIT}{name}#{item}"


def _cure(limited: Limited) -> str:
    name, names = limited.limit.name, limited.limit.names
    if not names:
        return f"the limit {name} is one for all: leave --by out"
    return f"the limit {name} is by {' and '.join(names)}: give {' '.join(f'--by {each}=VALUE' for each in names)}"
