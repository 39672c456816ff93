"""What is sent in each scene, and how each task must end."""

from dataclasses import dataclass, replace
from typing import Literal

from celeriac.testing.pollers import Runner

type Kind = Literal["effectively_once", "at_least_once", "at_most_once"]


@dataclass(frozen=True, slots=True)
class Expected:
    """A task that will run, and what must have become of it."""

    task: str
    name: str
    kind: Kind = "effectively_once"
    charges: int = 1
    """How often its body runs if nothing happens to its worker."""
    dies: tuple[str, ...] = ()
    """The reasons for which it must be a dead letter. Empty if it must succeed."""
    spoilt: int = 0
    """How many of its runs may end without a trace though their worker lives: without memory nothing is recorded."""
    goes_on: bool = False
    """Whether a worker that is told to end leaves its rest to another one: its cursor says how far it is."""


@dataclass(frozen=True, slots=True)
class Message:
    """What is sent."""

    task: str
    name: str
    group: str | None = None
    number: int = 0


@dataclass(frozen=True, slots=True)
class Scene:
    name: str
    messages: tuple[Message, ...]
    expected: tuple[Expected, ...]
    functions: tuple[str, ...] = ("jobs",)
    effects: tuple[tuple[str, int], ...] = ()
    """The effects that must exist, and how often each must have happened. No others may."""
    kills_itself: bool = False
    """Its tasks kill their workers, so nobody else does."""
    runner: Runner = "lambda"
    """What its consumers are: functions of Lambda, or processes of `celeriac worker`."""


def _single(task: str, *, effects: tuple[tuple[str, int], ...] = (), **how: object) -> Scene:
    return Scene(task, (Message(task, "a"),), (Expected(task, "a", **how),), effects=effects)  # type: ignore[arg-type]  # fields of Expected


def _by_process(scene: Scene, *, queue: str = "films") -> Scene:
    return replace(scene, functions=(queue,), runner="worker")


_GROUP = tuple(Message("in_order", f"m{number}", "g", number) for number in (1, 2, 3))
_GROUP_EXPECTED = tuple(Expected("in_order", message.name) for message in _GROUP)
_MATES = (Message("pay", "mate"), Message("fail_once", "mate"), Message("launch", "mate"))
_MATES_EXPECTED = (
    Expected("pay", "mate"),
    Expected("fail_once", "mate", charges=2),
    Expected("launch", "mate", kind="at_most_once"),
)
_FILMS = (Message("sell", "x"), Message("develop", "x"), Message("premiere", "x"), Message("sell", "y"))
_FILMS_EXPECTED = (
    Expected("sell", "x"),
    Expected("sell", "y"),
    Expected("develop", "x", charges=2),
    Expected("premiere", "x", kind="at_most_once"),
)
_ROW = tuple(Message("pay", name) for name in ("a", "b", "c", "d", "e", "f"))

SCENES = (
    _single("pay"),
    _single("notify", kind="at_least_once", charges=2),
    _single("launch", kind="at_most_once"),
    _single("fail_once", charges=2, effects=(("fail_once:a", 1),)),
    _single("refuse", dies=("rejected",)),
    _single("roll_back", dies=("rejected",)),
    Scene(
        "transfer",
        (Message("transfer", "a"),),
        (Expected("transfer", "a"), Expected("follow", "a"), Expected("pay", "after-a")),
        ("jobs", "relay"),
        (("transfer:a", 1), ("follow:a", 1)),
    ),
    Scene("group", _GROUP, _GROUP_EXPECTED, ("ledger",), (("group:g", 3),)),
    Scene("batch", _MATES, _MATES_EXPECTED, effects=(("fail_once:mate", 1),)),
    # Tasks that are claimed while others run, and whose ends are recorded while others run.
    Scene("row", _ROW, tuple(Expected("pay", message.name) for message in _ROW)),
    Scene(
        "hog",
        (Message("hog", "a"), *_MATES),
        (Expected("hog", "a", charges=3, dies=("exhausted", "worker lost"), spoilt=3), *_MATES_EXPECTED),
        effects=(("fail_once:mate", 1),),
        kills_itself=True,
    ),
    Scene(
        "hoard",
        (Message("hoard", "a"), *_MATES),
        (Expected("hoard", "a", charges=3, dies=("exhausted", "worker lost"), spoilt=3), *_MATES_EXPECTED),
        effects=(("fail_once:mate", 1),),
        kills_itself=True,
    ),
    Scene(
        "burst",
        (Message("burst", "a"), *_MATES),
        (Expected("burst", "a", dies=("worker lost",)), *_MATES_EXPECTED),
        effects=(("fail_once:mate", 1),),
        kills_itself=True,
    ),
    _by_process(_single("develop", charges=2)),
    _by_process(_single("sell", effects=(("sell:a", 1),))),
    _by_process(_single("scan", goes_on=True, effects=(("scan:a", 3),))),
    _by_process(_single("cut", effects=(("cut:a", 1),))),
    _by_process(_single("screen", kind="at_least_once")),
    _by_process(Scene("matinee", _FILMS, _FILMS_EXPECTED, effects=(("sell:x", 1), ("sell:y", 1)))),
    _by_process(Scene("reel", _GROUP, _GROUP_EXPECTED, effects=(("group:g", 3),)), queue="ledger"),
)
