"""The servers, and the plays on them: several at once, each in a stage of its own."""

import sys
import sysconfig
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from tests.kill import bundle
from tests.kill.play import Played, play
from tests.kill.points import MEANS, Point, points
from tests.kill.proxy import Backends
from tests.kill.scenes import Scene
from tests.kill.stage import clients
from tests.kill.worker import Program
from tests.realities.dynamodb_local import dynamodb_local
from tests.realities.sqs_server import sqs_server

# While calls are counted, only few scenes run: a worker makes more calls if some are slow.
FEW = 2

type Wanted = tuple[Scene, Point | None]


@contextmanager
def servers() -> Iterator[Backends]:
    """DynamoDB Local and LocalStack's SQS, while the block runs."""
    with dynamodb_local() as dynamodb, sqs_server() as sqs:
        yield Backends(dynamodb, sqs)


class Theatre:
    """Plays scenes with one bundle, until its time is over."""

    _numbers = count()

    def __init__(self, folder: Path, backends: Backends, seconds: float, edits: Sequence[bundle.Edit] = ()) -> None:
        bundle.make(folder, edits)
        self._program = Program((folder, Path(sysconfig.get_path("purelib"))), backends)
        self._aws = clients(backends)
        self._ends_at = time.monotonic() + seconds
        self.played = 0

    def warm_up(self, scenes: Sequence[Scene]) -> None:
        """Play these scenes in vain: the first calls of servers that have just started take seconds."""
        list(self.play([(scene, None) for scene in scenes], FEW))
        self.played = 0

    def count(self, scenes: Sequence[Scene]) -> list[Played]:
        """Play these scenes undisturbed."""
        return [one for one in self.play([(scene, None) for scene in scenes], FEW) if one is not None]

    def play(self, wanted: Sequence[Wanted], at_once: int) -> Iterator[Played | None]:
        """Play each one. None for one that the time did not suffice for."""
        with ThreadPoolExecutor(at_once) as pool:
            try:
                for played in pool.map(self._one, wanted):
                    self.played += played is not None
                    self._tell(len(wanted))
                    yield played
            finally:
                pool.shutdown(cancel_futures=True)

    def _one(self, wanted: Wanted) -> Played | None:
        if time.monotonic() > self._ends_at:
            return None
        scene, point = wanted
        return play(scene, point, stage=f"k{next(self._numbers)}", aws=self._aws, program=self._program)

    def _tell(self, of: int) -> None:
        if sys.stderr.isatty():
            sys.stderr.write(f"\r{self.played} played, {of} in this part ")


def disturbed(undisturbed: Sequence[Played], scenes: Sequence[Scene]) -> list[tuple[Scene, Point]]:
    """Every point of these scenes, by the calls of their undisturbed runs. Kills come first, if time is short."""
    calls = {played.scene: played.calls for played in undisturbed}
    found = [
        (scene, point)
        for scene in scenes
        for function, its in calls.get(scene.name, {}).items()
        for point in points(scene, function, its)
    ]
    return sorted(found, key=lambda each: MEANS.index(each[1].means))
