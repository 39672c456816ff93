"""What `make kill` prints: a line for each scene, and the story of each point that broke a promise."""

import sys
from collections import Counter
from collections.abc import Sequence

from tests.kill.play import Played

SHOWN = 5
LOGGED = 8
COLUMNS = ("calls", "killed before", "after", "told", "frozen", "met", "out of memory", "ran again", "held", "broken")
MEMORY = frozenset({"hog", "hoard", "burst"})


def write(everything: Sequence[Played | None], *, with_stories: bool) -> int:
    """Print it. Returns the exit code: 1 if a promise was broken."""
    played = [one for one in everything if one is not None]
    rows = {
        scene: _row([one for one in played if one.scene == scene])
        for scene in dict.fromkeys(one.scene for one in played)
    }
    rows["all"] = sum(rows.values(), Counter())
    say(" ".join([f"{'scene':10}", *(f"{column:>13}" for column in COLUMNS)]))
    for scene, row in rows.items():
        say(" ".join([f"{scene:10}", *(f"{row[column]:13}" for column in COLUMNS)]))
    if unreached := [one for one in played if not one.was_reached]:
        say(f"{len(unreached)} points were not reached: their worker made fewer calls than undisturbed")
    if unplayed := len(everything) - len(played):
        say(f"{unplayed} points were not played: the time was over")
    broken = [one for one in played if one.problems]
    for one in broken[:SHOWN] if not with_stories else played:
        tell(one)
    if len(broken) > SHOWN:
        say(f"... and {len(broken) - SHOWN} more: {[f'{one.scene}: {one.point}' for one in broken[SHOWN:]]}")
    return 1 if broken else 0


def _row(played: Sequence[Played]) -> Counter[str]:
    row = Counter(dict.fromkeys(COLUMNS, 0))
    for one in played:
        row["calls"] += (
            sum(len(calls) for calls in one.calls.values()) if one.point is None and one.scene not in MEMORY else 0
        )
        if one.point is not None and one.was_reached:
            kill = "killed before" if one.point.stop.side == "before" else "after"
            row[{"kill": kill, "tell": "told", "freeze": "frozen", "meet": "met"}[one.point.means]] += 1
        row["ran again"] += one.story.ran_again
        row["out of memory"] += one.scene in MEMORY
        row["broken" if one.problems else "held"] += 1
    return row


def tell(one: Played) -> None:
    say(f"\n{one.scene}: {one.point or 'undisturbed'} ({one.seconds:.1f} s)")
    for problem in one.problems:
        say(f"  BROKEN {problem}")
    for line in one.story.lines:
        say(f"  {line}")
    for worker, log in one.logs.items() if one.problems else ():
        for line in log[-LOGGED:]:
            say(f"  {worker}: {line[:500]}")


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
