"""The scenes of the interleavings, as plain data: what lies ready, who acts, and what must have become of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial

from celeriac_console.dlq.queue_reader import HIDDEN
from tests.faults.actors import (
    Actor,
    after_it,
    aws_redrives,
    consume,
    emit,
    emitted,
    in_an_outage,
    one_after_the_other,
    operate,
    produce,
    relay,
    relay_again,
    sweep,
)
from tests.faults.paths import SUCCEEDED, Path, World, pause, redriven
from tests.faults.starts import (
    copied,
    died,
    died_during_its_run,
    enqueued,
    grown_old,
    interrupted,
    late_copy,
    late_copy_of_a_lost_run,
    left_to_the_sweeper,
    redriven_and_still_there,
)
from tests.faults.work import QUEUES, jobs, ledger


@dataclass(frozen=True)
class Scene:
    """What lies ready, and who acts."""

    path: Path
    """What happens before, and what must have become of it. Its `act` is what happens after the schedule."""
    actors: Mapping[str, Actor]
    runs: Mapping[str, int] = field(default_factory=dict)
    """How often the tasks may run, by `<task>:<name>`. A worker that outlives its lease may cost one run more."""


def _redrive_the_rest(task: str) -> Actor:
    """Let the workers run, and redrive the letters that are still there."""

    def act(world: World) -> None:
        world.sandbox.drain()
        for _ in range(10):
            if not any(letter.task == task for queue in QUEUES for letter in world.sandbox.dead_letters(queue)):
                break
            world.sandbox.advance(HIDDEN + timedelta(seconds=1))
            redriven(world, jobs.name, task)
            world.sandbox.drain()

    return act


def _ends(how: str, *keys: str) -> dict[str, frozenset[str]]:
    return dict.fromkeys(keys, frozenset(how.split("|")))


_CONSUMERS: dict[str, Actor] = {"first": consume, "second": consume}
_LEDGER = partial(consume, queue=ledger)
_TRANSFERRED = ("transfer:a", "succeed:a", "count:a", "book:a")


def _copies(task: str, how: str = SUCCEEDED, *, effect: bool = True) -> Path:
    return Path(
        copied(enqueued(task, "a")), _ends(how, f"{task}:a"), effects=frozenset({f"{task}:a"} if effect else ())
    )


def _transfers(start: Actor) -> Path:
    return Path(
        start, _ends(SUCCEEDED, *_TRANSFERRED), effects=frozenset({"transfer:a", "count:a", "book:a"}), events=2
    )


def _once(start: Actor, key: str) -> Path:
    """The task with its name succeeds, and has its effect once."""
    return Path(start, _ends(SUCCEEDED, key), effects=frozenset({key}))


def _events(start: Actor, events: str = "ab") -> Path:
    """Events of one aggregate, whose order is that of the letters."""
    subscribed = [f"{task}:{event}" for task in ("book", "count") for event in events]
    return Path(
        start,
        _ends(SUCCEEDED, *subscribed),
        effects=frozenset(subscribed),
        events=len(events),
        order=(tuple(f"book:{event}" for event in events),),
    )


def _redrives(start: Actor) -> Path:
    return Path(
        start,
        _ends(SUCCEEDED, "depend_late:a"),
        effects=frozenset({"depend_late:a"}),
        act=_redrive_the_rest("depend_late"),
    )


_late_operator = partial(operate, task="depend_late")

SCENES = {
    # Consumers, and a message that comes twice.
    "copies": Scene(
        _transfers(copied(enqueued("transfer", "a"))),
        _CONSUMERS,
        runs={"transfer:a": 1},
    ),
    "copies that fail": Scene(_copies("fail_once"), _CONSUMERS, runs={"fail_once:a": 2}),
    "copies refused": Scene(_copies("refuse", "rejected", effect=False), _CONSUMERS, runs={"refuse:a": 1}),
    "copies at most once": Scene(
        _copies("launch", f"{SUCCEEDED}|interrupted", effect=False), _CONSUMERS, runs={"launch:a": 1}
    ),
    "copies at least once": Scene(_copies("notify", effect=False), _CONSUMERS),
    "copies that wait long": Scene(_copies("wait_long"), _CONSUMERS, runs={"wait_long:a": 2}),
    "one key": Scene(
        _once(enqueued("fail_once", "a", "a"), "fail_once:a"),
        _CONSUMERS,
    ),
    "redelivery": Scene(
        _once(enqueued("fail_once", "a"), "fail_once:a"),
        _CONSUMERS,
        runs={"fail_once:a": 2},
    ),
    "take-over": Scene(
        _once(died_during_its_run, "depend:a"),
        _CONSUMERS,
        runs={"depend:a": 1},
    ),
    # The first worker fails. If the second one has succeeded meanwhile, the failure counts for nothing.
    "stale failure": Scene(
        _once(copied(enqueued("depend", "a")), "depend:a"),
        {"first": in_an_outage(consume), "second": after_it(consume)},
    ),
    "late copy": Scene(
        _once(late_copy, "fail_once:a"),
        _CONSUMERS,
        runs={"fail_once:a": 1},
    ),
    "late copy of a lost run": Scene(
        _once(late_copy_of_a_lost_run, "fail_once:a"),
        _CONSUMERS,
        runs={"fail_once:a": 1},
    ),
    "one key at most once": Scene(
        Path(
            one_after_the_other(interrupted, enqueued("launch", "a", "a")),
            _ends("interrupted", "launch:a"),
        ),
        _CONSUMERS,
        runs={"launch:a": 0},
    ),
    "in order": Scene(
        Path(
            enqueued("in_order", "a", "b", "c", group="g"),
            _ends(SUCCEEDED, "in_order:a", "in_order:c") | _ends("rejected", "in_order:b"),
            effects=frozenset({"in_order:a", "in_order:c"}),
            order=(("in_order:a", "in_order:b", "in_order:c"),),
        ),
        dict.fromkeys(("first", "second"), one_after_the_other(_LEDGER, _LEDGER)),
    ),
    "producer and consumer": Scene(
        _once(enqueued("fail_once", "a"), "fail_once:a"),
        {
            "producer": lambda world: produce(world, "fail_once", "a"),
            "consumer": one_after_the_other(consume, consume),
        },
    ),
    "late firings": Scene(Path(pause, _ends(SUCCEEDED, "tidy:late")), _CONSUMERS),
    # The outbox.
    "transaction and relay": Scene(
        _transfers(enqueued("transfer", "a")),
        {"consumer": consume, "relay": one_after_the_other(relay, relay)},
        runs={"transfer:a": 1},
    ),
    "relay and sweeper": Scene(_events(grown_old), {"relay": relay, "sweeper": sweep}),
    "relay behind sweeper": Scene(_events(left_to_the_sweeper), {"relay": relay, "sweeper": sweep}),
    "relay batch by batch": Scene(
        _events(left_to_the_sweeper, "abc"),
        {
            "relay": one_after_the_other(relay, partial(emit, events="c"), relay),
            "sweeper": sweep,
        },
    ),
    "two relays": Scene(_events(partial(emitted, events="ab")), {"relay": relay, "another": relay_again}),
    "two sweepers": Scene(
        _events(left_to_the_sweeper),
        {"sweeper": sweep, "another": partial(sweep, function="another worker")},
    ),
    "producer and relay": Scene(
        _events(partial(emitted, events="a")), {"producer": partial(emit, events="b"), "relay": relay}
    ),
    "producer and sweeper": Scene(
        _events(left_to_the_sweeper, "abc"), {"producer": partial(emit, events="c"), "sweeper": sweep}
    ),
    # Redrives.
    "two redrives": Scene(
        _redrives(died("depend_late")),
        {"operator": _late_operator, "aws": aws_redrives},
        runs={"depend_late:a": 2},
    ),
    "two operators": Scene(
        _redrives(died("depend_late")),
        {"operator": _late_operator, "another": _late_operator},
        runs={"depend_late:a": 2},
    ),
    "two redrives in vain": Scene(
        Path(died("refuse"), _ends("rejected", "refuse:a")),
        {
            "operator": one_after_the_other(partial(operate, task="refuse"), consume),
            "aws": one_after_the_other(aws_redrives, consume),
        },
        # The letter that the first redrive leaves may be redriven by the second one.
        runs={"refuse:a": 2},
    ),
    "two redrives at most once": Scene(
        Path(interrupted, _ends(f"{SUCCEEDED}|interrupted", "launch:a")),
        {
            "operator": one_after_the_other(partial(operate, task="launch"), consume),
            "aws": one_after_the_other(aws_redrives, consume),
        },
        runs={"launch:a": 1},
    ),
    "redrive in a retry": Scene(
        _redrives(redriven_and_still_there),
        {"consumer": consume, "operator": one_after_the_other(_late_operator, consume)},
        runs={"depend_late:a": 2},
    ),
    "redrive of the dying": Scene(
        Path(enqueued("refuse", "a"), _ends("rejected", "refuse:a")),
        {"consumer": consume, "operator": one_after_the_other(partial(operate, task="refuse"), consume)},
        runs={"refuse:a": 2},
    ),
    # Three actors.
    "three copies": Scene(
        Path(
            copied(copied(enqueued("fail_once", "a"))),
            _ends(SUCCEEDED, "fail_once:a"),
            effects=frozenset({"fail_once:a"}),
        ),
        _CONSUMERS | {"third": consume},
        runs={"fail_once:a": 2},
    ),
    "take-over by three": Scene(
        _once(copied(died_during_its_run), "depend:a"),
        _CONSUMERS | {"third": consume},
        runs={"depend:a": 1},
    ),
    "copies and a redrive": Scene(
        _redrives(redriven_and_still_there),
        {"first": consume, "second": one_after_the_other(consume, consume), "operator": _late_operator},
        runs={"depend_late:a": 2},
    ),
    "relay, sweeper, producer": Scene(
        _events(left_to_the_sweeper, "abc"),
        {"relay": one_after_the_other(relay, relay), "sweeper": sweep, "producer": partial(emit, events="c")},
    ),
}
