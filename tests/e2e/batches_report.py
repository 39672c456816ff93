"""What a run of `make batches` has left, and whether it is what was promised."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.e2e import batches_application as own
from tests.support import scratch
from tests.support.scratch import say

NAMES = ("one", "two", "three")


def report(
    rows: Sequence[Mapping[str, Any]], notes: Path, facts: Counter[str], *, members: int, small: int, chains: int
) -> int:
    """Print what was found. Returns the exit code."""
    found = {row["pk"]["S"]: row for row in rows}
    times = {key: int(row["times"]["N"]) for key, row in found.items()}
    counted = [times.get(f"member {number}", 0) for number in range(members + small)]
    steps = [times.get(f"step {name} {number}", 0) for name in NAMES for number in range(chains)]
    starts = len((notes / "starts.txt").read_text().splitlines())
    then, sealed, dead = (
        json.loads(found[key]["seen"]["S"]) for key in (f"then {own.MAIN}", f"then {own.SEALED}", f"dead {own.MAIN}")
    )
    _say_figures(facts, notes, starts=starts, members=members, small=small)
    say(f"dead was told with {dead}")
    say(f"then was called with {then}")
    say(f"then of the sealed batch with {sealed}")
    return scratch.verdict(
        {
            "members that counted exactly once": (sum(each == 1 for each in counted), members + small),
            "items of members": (sum(key.startswith("member ") for key in times), members + small),
            "then": (times[f"then {own.MAIN}"], 1),
            "then of the sealed batch": (times[f"then {own.SEALED}"], 1),
            "then before the redrive": (facts["then before the redrive"], 0),
            "members missing at then": (then["missing"], 0),
            "members dead at then": (then["dead"], 0),
            "members that had committed at then": (then["rows"], members),
            "members that had committed at the sealed batch's then": (sealed["rows"], small),
            "dead": (times[f"dead {own.MAIN}"], 1),
            "dead of the sealed batch": (times.get(f"dead {own.SEALED}", 0), 0),
            "producers killed at half": (facts["producers killed at half"], 1),
            "producers killed behind the seal": (facts["producers killed behind the seal"], 1),
            "steps of chains that took effect exactly once": (sum(each == 1 for each in steps), 3 * chains),
            "steps that got the recorded word": (_handed_on(found, chains), 2 * chains),
            "chains that say that they have succeeded": (facts["chains that say that they have succeeded"], chains - 1),
            "calls that a role may not make": (facts["calls that a role may not make"], 0),
            "dead letters in the end": (
                sum(scratch.waiting(f"{queue}-dlq") for queue in (own.FAN_OUT, *own.KILLED)),
                0,
            ),
        }
    )


def _handed_on(found: Mapping[str, Any], chains: int) -> int:
    def of(name: str, number: int, what: str) -> str:
        row = found.get(f"step {name} {number}")
        return row[what]["S"] if row is not None else name

    pairs = (("one", "two"), ("two", "three"))
    return sum(of(a, number, "gives") == of(b, number, "got") for a, b in pairs for number in range(chains))


def _say_figures(facts: Counter[str], notes: Path, *, starts: int, members: int, small: int) -> None:
    calls = Counter(_kind(line) for line in (notes / "calls.txt").read_text().splitlines())
    writes = sum(count for (call, of), count in calls.items() if call in {"UpdateItem", "BatchWriteItem"} and of)
    done = sum(count for (call, of), count in calls.items() if call == "UpdateItem" and of == "node")
    lost, again = (
        sum(len(scratch.logged(queue, text)) for queue in own.KILLED) for text in ("worker lost", "duplicate")
    )
    figures = {
        "members": members + small,
        "runs of members": starts,
        **facts,
        "minutes": round(facts["seconds"] / 60, 1),
        "invocations that died": sum(map(scratch.deaths, (own.FAN_OUT, *own.KILLED))),
        "tasks whose worker was lost": lost,
        "copies that found their record": again,
        "writes to the flow table": writes,
        "of them to nodes": done,
        "writes per member": round(writes / (members + small), 3),
    }
    say(json.dumps(figures))
    say(json.dumps({f"{call} {of}": count for (call, of), count in sorted(calls.items())}))


def _kind(line: str) -> tuple[str, str]:
    """What was called, on what kind of item: `batch#<queue>#<name>`, then `#<epoch>#<level>#<node>` or `#dead#...`."""
    call, _, key = line.partition(" ")
    kind, *rest = key.split("#")
    if kind != "batch":
        return call, kind
    return call, "root" if len(rest) < 3 else "dead" if "dead" in rest else "node"
