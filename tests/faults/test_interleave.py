"""Every order of the AWS calls of two actors: nothing is lost, no effect happens twice, no two workers hold one lease.

`make interleave` plays all schedules with up to two switches for each pair, and random ones, also of three actors. It
prints their numbers. `make test` plays those of one pair, and a few random ones, always the same. A schedule that
breaks a promise is printed as a story of calls, and `python -m tests.faults.interleave "its name"` plays it again, with
the same `--runner` as the tests.
"""

from collections.abc import Callable, Iterable, Iterator
from itertools import product

import pytest

from tests.faults.interleave import EXAMPLE, MOMENTS, Played, Schedule, at_random, every, play
from tests.faults.scenes import SCENES

# Random schedules of each scene.
MANY, FEW = 50, 2
MOST_STORIES = 3
KEPT = [
    # A worker was frozen between its claim and the start of the task, and started it after its successor had.
    "take-over: first>4+ second>6",
    # A sweep took a row that the relay had left for one of a clock that is ahead, and published it before another one.
    "relay batch by batch: relay>2 sweeper>11+",
    # A worker that had lost its lease sent a dead letter, and deleted the message that its successor had handed back.
    "redrive of the dying: consumer>2+ operator>8+",
    "two redrives in vain: operator>10+ aws>5+",
]


def _pairs() -> Iterator[tuple[str, tuple[str, str, str]]]:
    """The scenes of two actors, with the actor that begins. If both do the same, it doesn't matter which one begins."""
    for name, scene in SCENES.items():
        if len(scene.actors) == 2:
            one, other = scene.actors
            yield f"{name}, {one}", (name, one, other)
            if scene.actors[one] is not scene.actors[other]:
                yield f"{name}, {other}", (name, other, one)


PAIRS = dict(_pairs())


SAMPLE = ("take-over, first", "at switch 1")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "pair" in metafunc.fixturenames:
        every_one = metafunc.config.getoption("every_schedule")
        metafunc.parametrize(("pair", "time_passes"), list(product(PAIRS, MOMENTS)) if every_one else [SAMPLE])


def test_every_schedule_of_two_actors_keeps_the_promises(
    pair: str, time_passes: str, record_property: Callable[[str, object], None]
) -> None:
    scene, first, second = PAIRS[pair]
    _check(scene, every(scene, first, second, time_passes), record_property)


@pytest.mark.parametrize("scene", SCENES)
def test_random_schedules_keep_the_promises(
    scene: str, pytestconfig: pytest.Config, record_property: Callable[[str, object], None]
) -> None:
    number = MANY if pytestconfig.getoption("every_schedule") else FEW
    first = number * pytestconfig.getoption("schedule_seed")
    _check(scene, (play(at_random(scene, seed)) for seed in range(first, first + number)), record_property)


def _check(scene: str, schedules: Iterable[Played], record_property: Callable[[str, object], None]) -> None:
    number, broken = 0, []
    for played in schedules:
        number += 1
        if played.problems:
            broken.append(played)
    record_property("schedules", [scene, number, len(broken)])
    stories = "\n\n".join(str(played) for played in broken[:MOST_STORIES])
    assert not broken, f"{len(broken)} of {number} schedules break a promise. The first:\n\n{stories}"


@pytest.mark.parametrize("name", KEPT)
def test_a_schedule_that_once_broke_a_promise_keeps_it(name: str) -> None:
    played = play(Schedule.named(name))
    assert not played.problems, str(played)


def test_a_schedule_has_a_name_from_which_it_can_be_played_again() -> None:
    assert Schedule.named(str(EXAMPLE)) == EXAMPLE
    assert play(Schedule.named(str(EXAMPLE))).story == play(EXAMPLE).story


@pytest.mark.parametrize("name", ["", "no scene: first>1", "copies: nobody>1", "copies: first"])
def test_any_other_text_is_no_name_of_a_schedule(name: str) -> None:
    with pytest.raises(ValueError, match="no schedule"):
        Schedule.named(name)


def test_the_actors_take_turns_as_the_schedule_says() -> None:
    story = [line.split() for line in play(Schedule.named("copies: first>2 second>2")).story]
    switches = [(words[0], words[1]) for words in story if words[1] in {"stops", "ends"}]
    assert switches == [("first", "stops"), ("second", "stops"), ("first", "ends"), ("second", "ends")]
