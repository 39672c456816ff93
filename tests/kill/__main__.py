"""make kill: real workers, killed or frozen at every call, over independent implementations of DynamoDB and SQS."""

import argparse
import os
import random
import sys
import tempfile
import time
from pathlib import Path

from celeriac.model import settings
from tests.kill import report
from tests.kill.report import say
from tests.kill.sabotage import SABOTAGES
from tests.kill.scenes import SCENES
from tests.kill.theatre import Theatre, Wanted, disturbed, servers
from tests.realities.installed import why_no_dynamodb, why_no_lambda, why_no_sqs

# Most of a run's time is waiting for leases to end.
AT_ONCE = 8
SECONDS = 28 * 60


def main() -> int:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="make kill", description=__doc__)
    parser.add_argument("--scene", action="append", help="only this scene; several are allowed")
    parser.add_argument("--point", help="only the point of this name, as the report prints it")
    parser.add_argument("--at-once", type=int, default=AT_ONCE, help="how many scenes run at once")
    parser.add_argument("--seconds", type=int, default=SECONDS, help="after this time no further point is begun")
    parser.add_argument("--stories", action="store_true", help="print the story of every run")
    parser.add_argument("--sabotage", action="store_true", help="take guards out of the library, and find them missing")
    chosen = parser.parse_args()
    os.environ[settings.APPLICATION] = "celeriac"
    for why in filter(None, (why_no_dynamodb(), why_no_sqs(), why_no_lambda())):
        say(f"skipped: {why}")
        return 0
    return sabotage(chosen) if chosen.sabotage else run(chosen)


def run(chosen: argparse.Namespace) -> int:
    """Play every scene undisturbed, then every point of it. Returns the exit code."""
    scenes = [scene for scene in SCENES if not chosen.scene or scene.name in chosen.scene]
    counted = [scene for scene in scenes if not scene.kills_itself]
    with tempfile.TemporaryDirectory(prefix="celeriac-kill-") as folder, servers() as backends:
        theatre = Theatre(Path(folder) / "bundle", backends, chosen.seconds)
        theatre.warm_up(counted)
        undisturbed = theatre.count(counted)
        wanted: list[Wanted] = [(scene, None) for scene in scenes if scene.kills_itself and chosen.point is None]
        wanted += [each for each in disturbed(undisturbed, counted) if chosen.point in {None, str(each[1])}]
        everything = [*undisturbed, *theatre.play(wanted, chosen.at_once)]
    return report.write(everything, with_stories=chosen.stories)


def sabotage(chosen: argparse.Namespace) -> int:
    """Take each guard out, and play until a promise breaks. Returns the exit code: 1 if none breaks."""
    planted = [each for each in SABOTAGES if not chosen.scene or each.scene in chosen.scene]
    found_missing = 0
    with tempfile.TemporaryDirectory(prefix="celeriac-kill-") as folder, servers() as backends:
        Theatre(Path(folder) / "whole", backends, chosen.seconds).warm_up(SCENES[:1])
        for number, (what, edit, name) in enumerate(planted):
            began = time.monotonic()
            theatre = Theatre(Path(folder) / str(number), backends, chosen.seconds, [edit])
            scenes = [scene for scene in SCENES if scene.name == name]
            undisturbed = theatre.count(scenes)
            points = disturbed(undisturbed, scenes)
            random.Random(1).shuffle(points)  # noqa: S311 - the same order each time
            found = next(
                (one for one in theatre.play(points, chosen.at_once) if one is not None and one.problems), None
            )
            found_missing += found is not None
            where = f"{theatre.played} plays, {time.monotonic() - began:.0f} s"
            say(f"{what} ({name}): {'FOUND NOTHING' if found is None else f'{found.point}: {found.problems}'}, {where}")
            if found is not None and chosen.stories:
                report.tell(found)
    say(f"{found_missing} of {len(planted)} missing guards were found")
    return int(found_missing < len(planted))


if __name__ == "__main__":
    sys.exit(main())
