"""What each message of a history may have become when no work is left, after all that happened to it and to others."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from celeriac.aws import sqs
from celeriac.aws.client import client
from celeriac.consume.visiting import MOST_DEATHS_ALONE
from celeriac.dead_letters.dead_letter import DeadLetter
from celeriac.leases import lease
from celeriac.leases.states import COMPLETED
from celeriac.model import names
from celeriac.relay import unpublished
from celeriac.testing.account import lying_in, schedules
from tests.faults.crowd import KINDS, POLICIES, QUEUES, TOO_OFTEN, WAITS, Kind, Outside

STAGE = "test"
# SQS itself gave up on the message, so no reason could be written.
MOVED_BY_SQS = "moved by SQS"


@dataclass
class Accidents:
    """What happened to a whole history, and not to one message."""

    deaths: int = 0
    """Deaths of workers, lost answers and the like: each may look like the crash of any message."""
    outages: int = 0
    """Times in which AWS refused calls: a run may not be recorded, so it is repeated."""
    faults: int = 0
    """Faults that a task's own transaction may have met."""
    has_copies: bool = False
    """Whether standard queues deliver some messages twice."""
    records_behind: bool = False
    """Whether a worker's death may make tasks run again that had ended beside the one that killed it."""
    new_tasks: set[str] = field(default_factory=set)
    """Tasks that only the newer of two releases knew."""

    @property
    def any(self) -> int:
        """How many of them may repeat a run."""
        return self.deaths + self.outages


@dataclass
class Sent:
    """A message that was accepted, and what was done to it afterwards."""

    id: str
    kind: Kind
    name: str
    plan: str
    group: str | None
    copies: int = 1
    redrives: int = 0
    is_published: bool = False
    """The message came through the outbox."""
    is_ordered: bool = True
    kills_readers: int = 0
    """How many workers still die that decode it."""
    killed_publishers: int = 0
    """How many workers of relay and sweeper have died that decoded it."""
    is_poison: bool = False
    """More workers die of it than it may kill."""

    @property
    def key(self) -> str:
        """The message's idempotency key."""
        return f"{self.kind.name}:{self.name}"

    @property
    def attempts(self) -> int:
        """The number of attempts that its policy allows."""
        return POLICIES[self.kind.policy].attempts

    @property
    def failures(self) -> int:
        """How often the task fails before it succeeds, by its plan."""
        match self.plan.split():
            case ["fail", "for", "ever"] | ["reject"] | ["crash"]:
                return 1_000
            case ["fail", times]:
                return int(times)
            case ["retry", _]:
                return 1
            case _:
                return 0

    def may_die_of(self, happened: Accidents) -> set[str]:
        """The reasons for which the message may be a dead letter. Empty if it must succeed.

        `happened` had nothing to do with the message.
        """
        reasons = set(_OWN_REASONS.get(self.plan, ()))
        fails = self.failures > 0
        if self.plan == "fail for ever" or (fails and self.failures >= self.attempts and self.plan != "reject"):
            reasons.add("exhausted")
        if self.plan == "wait" and self.kind.delivery == "at_most_once":
            reasons.add("exhausted")
        if self.kind.policy == "impatient":
            # Its policy is asked before each start, and a history may let hours pass before.
            reasons.add("expired")
        if self.plan == "crash" or (self.plan in {"crash once", "freeze"} and self.kind.delivery == "at_most_once"):
            reasons.add("interrupted" if self.kind.delivery == "at_most_once" else "worker lost")
        if self.is_poison:
            reasons.add("worker lost")
        if happened.any and self.kind.delivery == "at_most_once":
            reasons |= {"interrupted", "unsettled"}
        if happened.deaths >= MOST_DEATHS_ALONE and self.kind.delivery != "at_most_once":
            reasons.add("worker lost")
        if self.kind.commits and self.plan not in {"reject", "crash"}:
            # A fault in the task's transaction costs an attempt.
            reasons |= {"exhausted"} if happened.faults and self.failures + happened.faults >= self.attempts else set()
        return reasons

    def most_runs(self, happened: Accidents, *, shared: bool, mates_killed: int) -> int:
        """How often the task's body may have been called.

        mates_killed: how often a task killed its worker beside tasks that had ended and weren't acknowledged.
        """
        own_crashes = {"crash": 1 + MOST_DEATHS_ALONE, "crash once": 1, "freeze": 1}.get(self.plan, 0)
        waits = WAITS if self.plan == "wait" else 0
        once = 1 if self.plan == "reject" else self.attempts + own_crashes + waits
        if self.kind.delivery == "at_least_once":
            # Each copy runs, and the first crash leaves no record. An accident, even to an acknowledgement, can bring
            # all copies again.
            once += self.plan == "crash"
            again = (self.copies + self.redrives) * once * (1 + mates_killed)
            return TOO_OFTEN if happened.any or happened.has_copies else again
        if self.kind.delivery == "at_most_once":
            return 1 + self.redrives
        # A message that shares the key lets late copies run again: to the record each of them is another message.
        again = happened.any + (mates_killed if happened.records_behind else 0)
        strays = (self.copies + again) * (1 + happened.has_copies) if shared else 1
        return (strays + self.redrives) * once + again


_OWN_REASONS = {"reject": ("rejected",)}


def broken(sent: Sequence[Sent], letters: Sequence[DeadLetter], outside: Outside, happened: Accidents) -> Iterator[str]:
    """Every promise that was broken."""
    yield from outside.wrong
    yield from (f"{ran} ran, and was never sent" for ran in outside.runs.keys() - {one.id for one in sent})
    yield from _left()
    reasons: dict[str, set[str]] = {}
    for letter in letters:
        reason = letter.failure.reason if letter.failure is not None else MOVED_BY_SQS
        reasons.setdefault(letter.id, set()).add(reason)
    keys = [one.key for one in sent]
    # An at_least_once task that crashes is not known to do so at first, and once more runs beside others.
    mates_killed = sum(2 * (one.copies + one.redrives) for one in sent if one.plan == "crash")
    dead_keys = {one.key for one in sent if one.id in reasons}
    statuses = {key: _status(key) for key in set(keys)}
    for one in sent:
        died_of, shared = reasons.get(one.id, set()), keys.count(one.key) > 1
        has_ended = _has_succeeded(one, outside, statuses) or (
            shared and one.kind.delivery == "at_most_once" and one.key in dead_keys
        )
        allowed = one.may_die_of(happened)
        if not died_of and not has_ended:
            yield f"{one} is lost; its record says {statuses[one.key]}"
        if not died_of and not shared and one.failures > one.attempts and not one.redrives:
            yield f"{one} is not a dead letter"
        if not died_of <= allowed:
            yield f"{one} is a dead letter, {died_of - allowed}"
        most = one.most_runs(happened, shared=shared, mates_killed=mates_killed)
        if outside.runs[one.id] > most:
            yield f"{one} ran {outside.runs[one.id]} times, at most {most} are allowed"
    yield from _run_again(sent, outside)
    yield from _disordered(sent, outside, dead=set(reasons))
    yield from _doubled(sent, statuses)


def _has_succeeded(one: Sent, outside: Outside, statuses: dict[str, str]) -> bool:
    if one.kind.delivery == "at_least_once":
        return one.id in outside.done
    return statuses[one.key] == COMPLETED


def _status(key: str) -> str:
    kind = KINDS[key.partition(":")[0]]
    return str(lease.look_up(kind.name, key, QUEUES[kind.queue].record_retention).get("status", "nothing"))


def _left() -> Iterator[str]:
    """No message, schedule or event is left waiting."""
    for queue in QUEUES.values():
        if waits := lying_in(sqs.url(queue.physical_name(STAGE))):
            yield f"{queue.name} holds {[message['Body'] for message in waits]}"
    if waits := lying_in(sqs.url(names.schedule_dead_letters(STAGE))):
        yield f"Scheduler could not deliver {len(waits)}"
    if [one for one in schedules(STAGE) if one.due > datetime.now(UTC)]:
        yield "schedules are left"
    if unpublished.lag() != (None, 0):
        yield f"the outbox still waits: {unpublished.lag()}"


def _run_again(sent: Iterable[Sent], outside: Outside) -> Iterator[str]:
    """At most once holds for the key, across all its messages. A redrive is an operator's order to run again."""
    redrives: dict[str, int] = {}
    for one in sent:
        if one.kind.delivery == "at_most_once":
            redrives[one.key] = redrives.get(one.key, 0) + one.redrives
    for key, redriven in redrives.items():
        if outside.runs_of_key[key] > 1 + redriven:
            yield f"{key} ran {outside.runs_of_key[key]} times, redriven {redriven} times"


def _disordered(sent: Iterable[Sent], outside: Outside, *, dead: set[str]) -> Iterator[str]:
    """In a FIFO group, no message starts before the one ahead of it has ended.

    A dead letter ends when it is dead-lettered, even if a stale worker ends its run later. A redrive brings it back out
    of order.
    """
    before: dict[str, list[Sent]] = {}
    for one in sent:
        if one.group is None or not one.is_ordered:
            continue
        earlier = before.setdefault(one.group, [])
        for first in earlier:
            has_one_life = first.copies == 1 and not first.redrives and first.id in outside.done.keys() - dead
            if has_one_life and one.id in outside.begun and outside.begun[one.id] < outside.done[first.id]:
                yield f"{one} started before {first} had ended"
        earlier.append(one)


def _doubled(sent: Iterable[Sent], statuses: dict[str, str]) -> Iterator[str]:
    """Every key that has succeeded has its effect exactly once, and no other key has an effect."""
    items = client("dynamodb").scan(TableName=names.table(STAGE, "orders"))["Items"]
    times = {item["pk"]["S"]: int(item["times"]["N"]) for item in items}
    committing = {one.key for one in sent if one.kind.commits}
    wanted = dict.fromkeys((key for key in committing if statuses[key] == COMPLETED), 1)
    if times != wanted:
        yield f"effects, and how often they happened: {times}, but {wanted} have succeeded"
