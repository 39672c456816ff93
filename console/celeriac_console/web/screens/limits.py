"""The limits: how they stand, who waits, and what operators set at run time."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from celeriac.flow import rows
from celeriac.flow.standing import Standing
from celeriac_console.application.limited import Limited, limits
from celeriac_console.limits.by import key_of_item, keys_of
from celeriac_console.limits.change import Change, to_close, to_open, to_reset, to_set
from celeriac_console.limits.rows import MOST_SHOWN, Row, busiest, looked_up
from celeriac_console.limits.words import now_text
from celeriac_console.terminal.errors import UserError
from celeriac_console.terminal.next_steps import command
from celeriac_console.web.activity.noted import noted
from celeriac_console.web.limits_shown import kind_of, shown, state_text
from celeriac_console.web.live.limits import Limits
from celeriac_console.web.live.shared_read import Read
from celeriac_console.web.screen import Action, Asked, Done, Room, Screen, View
from celeriac_console.web.shown import part

LONGEST = 200
"""The most characters of a value that is set."""
BY = "by."
"""Before a parameter's name, in a URL."""


@dataclass(frozen=True, slots=True)
class Item:
    """How a limit stands for some values of its `by`."""

    item: str
    now: str
    state: str
    kind: str
    standing: Standing


def read(asked: Asked) -> View:
    """Every limit."""
    found = _read(asked)
    live = found.value
    data = {
        "limits": [shown(row) for row in live.rows],
        "opened": dict(live.opened),
        "problem": found.problem,
        "read_at": found.at,
    }
    return View(data, command("limits"))


def read_one(asked: Asked) -> View:
    """One limit; of one with a `by`, the busiest items, or those of the values that the URL names."""
    found = _read(asked)
    row = _row(found.value, asked.path["name"])
    limited = limits().get(row.name)
    given = {name: asked.query.get(f"{BY}{name}", "") for name in row.by}
    words: list[str] = []
    is_cut = False
    if limited is not None and any(given.values()):
        row = looked_up(row, limited.limit, keys_of(limited, given))
        words = [word for name, value in given.items() for word in ("--by", f"{name}={value}")]
    elif limited is not None and row.by:
        [row], is_cut = busiest([row], {row.name: limited}, row.name)
    data = {
        "limit": shown(row),
        "numbers": _numbers(row),
        "given": {name: {"as": f"{BY}{name}", "value": value} for name, value in given.items()},
        "is_looked_up": bool(words),
        "items": [
            Item(each.item, now_text(each.standing), state_text(each.standing), kind_of(each.standing), each.standing)
            for each in row.items
        ],
        "found": row.found,
        "most": MOST_SHOWN,
        "is_cut": is_cut,
        "problem": found.problem,
    }
    return View(data, command("limits", *words), title=row.name, is_live=not row.by)


def preview(asked: Asked) -> View:
    """What a change would do."""
    change = _change(asked, asked.query)
    data = {
        "name": change.name,
        "what": change.what,
        "sentences": change.preview,
        "given": {name: asked.query.get(name, "")[:LONGEST] for name in ("do", "value", "burst", "items", "item")},
        "seen": change.seen or "",
    }
    words = [given["value"]] if (given := asked.query).get("value") else []
    words += ["--burst", given["burst"]] if given.get("burst") else []
    words += ["--items"] if given.get("items") else []
    # For an item, a terminal takes the values, and the page only knows their hash.
    line = command(*change.what.split(), change.name, *words) if not given.get("item") else ""
    return View(data, line, title=f"{_TITLES[asked.query['do']]} {change.name}")


def change(asked: Asked) -> Done:
    """Do what the preview has shown, unless somebody else was faster."""
    form = asked.form
    wanted = replace(_change(asked, form), seen=form.get("seen") or None)
    to = {"to": form["value"][:LONGEST]} if form.get("value") else {}
    with noted(asked.operator, wanted.what, {"limit": wanted.name, **to}):
        wanted.apply()
    asked.shared.live.limits.get(fresh=True)
    # One that no task names any more has no page, once nothing is set for it.
    return Done(wanted.done, f"/limits/{part(wanted.name)}" if wanted.name in limits() else "/limits")


_TITLES = {"set": "Set", "open": "Open", "close": "Close", "reset": "Reset"}


def _change(asked: Asked, given: Mapping[str, str]) -> Change:
    name, what, who = asked.path["name"], given.get("do", ""), asked.operator.name
    limited = limits().get(name)
    match what:
        case "set":
            return to_set(name, given.get("value", "")[:LONGEST], _burst(given.get("burst", "")), who)
        case "open":
            return to_open(name, who)
        case "close":
            return to_close(name, _keys(limited, given))
        case "reset":
            return to_reset(name, _keys(limited, given) if given.get("items") else None)
        case _:
            raise UserError("choose what to do: set, open, close or reset")


def _keys(limited: Limited | None, given: Mapping[str, str]) -> list[str]:
    """The items that the form names: the only one of a limit without `by`, or the one whose page item was chosen."""
    if limited is None:
        return []
    if not limited.limit.names:
        return [rows.of_limit(limited.limit.name, "")]
    item = given.get("item", "")
    if not item and given.get("items"):
        raise UserError("choose one of the limit's items: its line is forgotten for one value at a time")
    return [key_of_item(limited.limit.name, item)] if item else []


def _burst(text: str) -> int | None:
    if not text.strip():
        return None
    try:
        return int(text)
    except ValueError:
        raise UserError(f"{text[:LONGEST]!r} is no burst: write a whole number, or nothing") from None


def _read(asked: Asked) -> Read[Limits]:
    """Read now for somebody who opens a screen, and as often as others are read for an open tab."""
    found = asked.shared.live.limits.get(fresh=not asked.is_tick)
    if found.at is None and found.error is not None:
        raise found.error
    return found


def _row(live: Limits, name: str) -> Row:
    for row in live.rows:
        if row.name == name:
            return row
    raise LookupError(f"No task has a limit named {name!r}.")


def _numbers(row: Row) -> dict[str, str]:
    """What an item says, in figures."""
    stands = row.standing
    if stands is None:
        return {}
    used = {"rate": "Starts of the burst in use", "places": "Places held", "breaker": "Failures counted"}[row.kind]
    return {used: f"{stands.used:,} of {stands.of:,}"}


ROOM = Room(
    (
        Screen("/limits", "Limits", "limits.html", read, menu="Limits", is_live=True),
        Screen("/limits/{name}", "Limit", "limit.html", read_one, is_live=True),
        Screen("/limits/{name}/change", "Change a limit", "limit_change.html", preview),
    ),
    (Action("/limits/{name}/change", change),),
)
