"""What a newer schema changes for those who send messages and read events. Pure: it compares two documents."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from celeriac_console.schema.document import OWN
from celeriac_console.schema.narrowing import Comparison, name

type Document = dict[str, Any]


class Change(NamedTuple):
    """One change. `breaks` tells whether something that was sent under the older schema can't be used any more."""

    breaks: bool
    text: str


def changes(old: Document, new: Document) -> list[Change]:
    """Every change of payloads, keys and queues from one document to another."""
    return [*_tasks(old.get("tasks", {}), new.get("tasks", {})), *_events(old.get("events", {}), new.get("events", {}))]


def _tasks(old: Document, new: Document) -> Iterator[Change]:
    for task, before in old.items():
        if task not in new:
            yield Change(
                breaks=True,
                text=f"task {task} was removed: its messages that wait become dead letters, `unknown task`. Let its "
                "queue and schedules run empty first",
            )
            continue
        for change in [*_arguments(before, new[task]), *_declaration(before.get(OWN, {}), new[task].get(OWN, {}))]:
            yield Change(change.breaks, f"task {task}: {change.text}")
    yield from (Change(breaks=False, text=f"task {task} is new") for task in new if task not in old)


def _arguments(old: Document, new: Document) -> Iterator[Change]:
    """The newer consumer reads what was sent under the older schema."""
    compared = Comparison(old.get("$defs", {}), new.get("$defs", {}))
    before, now = old["properties"]["args"], new["properties"]["args"]
    broken: set[str] = set()
    for place, what in compared.refused(before, now):
        broken.add(place.partition(".")[0].partition("[")[0])
        yield Change(breaks=True, text=f"`{place}` {what}: {_cure(what)}" if place else f"it {what}")
    for argument, its in now["properties"].items():
        if argument not in before["properties"]:
            if argument not in now["required"]:
                yield Change(breaks=False, text=f"`{argument}` is new, with a default")
        elif argument in before["required"] and argument not in now["required"]:
            yield Change(breaks=False, text=f"`{argument}` has a default now")
        elif argument not in broken and _wider(old, new, before["properties"][argument], its):
            yield Change(breaks=False, text=f"`{argument}` takes more than before")


def _cure(what: str) -> str:
    if what == "was removed":
        return "messages that wait have it. Keep the parameter until they have run, with a default"
    if "default" in what:
        return "messages that wait don't have it. Give it a default"
    return "messages that wait may hold such values. Take both until they have run"


def _wider(old: Document, new: Document, before: Any, now: Any) -> bool:
    """Whether the older schema refuses what the newer one takes."""
    return any(Comparison(new.get("$defs", {}), old.get("$defs", {})).refused(now, before))


def _declaration(old: Document, new: Document) -> Iterator[Change]:
    if old.get("key") != new.get("key"):
        yield Change(
            breaks=True,
            text=f"its key was {_quoted(old.get('key'))} and is {_quoted(new.get('key'))}: what has run under the "
            "older key can run again. Give the task another name, or keep the key",
        )
    former, queue = new.get("former_queues", []), old.get("queue")
    if queue != new.get("queue"):
        moved = f"its queue was {queue} and is {new.get('queue')}"
        if queue in former:
            yield Change(breaks=False, text=moved)
        else:
            yield Change(
                breaks=True,
                text=f"{moved}: its messages that wait in {queue} become dead letters, `wrong queue`. Write "
                f"former_queues=[{queue}]",
            )
    for gone in old.get("former_queues", []):
        if gone not in former and gone != new.get("queue"):
            yield Change(breaks=False, text=f"it no longer runs from {gone}, which must be empty")
    if old.get("on") != new.get("on"):
        text = f"it subscribed to {_quoted(old.get('on'))} and subscribes to {_quoted(new.get('on'))}"
        yield Change(breaks=False, text=text)


def _events(old: Document, new: Document) -> Iterator[Change]:
    """Those who read the older schema get events of the newer one: the other direction."""
    for event, before in old.items():
        if event not in new:
            yield Change(
                breaks=True,
                text=f"event {event} was removed: its subscribers get no more of it. Emit it until nobody subscribes",
            )
            continue
        now = new[event]
        readers = Comparison(now.get("$defs", {}), before.get("$defs", {}))
        for field, its in before["properties"].items():
            where = f"event {event}: `{field}`"
            if field not in now["properties"]:
                yield Change(breaks=True, text=f"{where} was removed: its subscribers may need it. Keep it")
                continue
            if field in before["required"] and field not in now["required"]:
                yield Change(breaks=True, text=f"{where} may be missing now: its subscribers may need it. Keep it")
            found = next(readers.refused(now["properties"][field], its), None)
            if found is not None:
                inner = f" (at `{found.place}`)" if found.place else ""
                yield Change(
                    breaks=True,
                    text=f"{where} was {name(its)} and is {name(now['properties'][field])}{inner}: subscribers of the "
                    "older release can't read that. Emit another field, or another event",
                )
        for field in now["properties"]:
            if field not in before["properties"]:
                yield Change(breaks=False, text=f"event {event}: `{field}` is new")
    yield from (Change(breaks=False, text=f"event {event} is new") for event in new if event not in old)


def _quoted(value: object) -> str:
    return "nothing" if value is None else f"{value}"
