"""The messages that the demo sends, each with its expected outcome. Pure data, without the actual outcome.

A case says what one of its items adds to the counts of each queue, including the messages that the relay then sends.
The report compares the actual counts with the sums.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from uuid import uuid4

QUEUES = ("emails", "orders", "payments", "webhooks")


@dataclass(frozen=True, slots=True)
class Counts:
    """The counts of a queue. Each message ends as a success, a dead letter or a duplicate. Retries are extra."""

    sent: int = 0
    succeeded: int = 0
    retried: int = 0
    dead: int = 0
    duplicates: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        """The sums of both counts."""
        return Counts(
            self.sent + other.sent,
            self.succeeded + other.succeeded,
            self.retried + other.retried,
            self.dead + other.dead,
            self.duplicates + other.duplicates,
        )

    def times(self, count: int) -> "Counts":
        """These counts multiplied by `count`."""
        return sum((self for _ in range(count)), Counts())

    @property
    def ended(self) -> int:
        """The number of messages that have ended."""
        return self.succeeded + self.dead + self.duplicates


@dataclass(frozen=True, slots=True)
class Totals:
    """The counts of a whole run."""

    queues: dict[str, Counts] = field(default_factory=dict)
    relayed: int = 0
    """Outbox events that were published to their subscribers."""
    charged: int = 0
    """Orders that the provider charged."""
    overcharged: int = 0
    """Orders that the provider charged more than once."""
    mails: int = 0
    """E-mails that were sent through SES."""
    dead_letters: dict[str, int] = field(default_factory=dict)
    """Dead letters by `queue: reason`."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run of the demo. Every message contains the run's mark, so that only messages of this run are counted."""

    number: int
    """Seconds since 1970. It is a number, because user ids are made of it."""
    provider_url: str

    @property
    def mark(self) -> str:
        """The text that every message of the run contains."""
        return f"demo{self.number}"


@dataclass(frozen=True, slots=True)
class Item:
    """A message to send: a `body` as a sender without the library writes it, or a `payment` for the producer."""

    queue: str
    body: str = ""
    id: str = ""
    """The task id in the body. If it is empty, SQS's message id is the task's id."""
    payment: Mapping[str, Any] | None = None


type Make = Callable[[Run, str], Item]
"""Makes an item of a run. The text is the item's name, unique within the run."""


@dataclass(frozen=True, slots=True)
class Case:
    """Items of one kind, and the expected outcome of each."""

    name: str
    count: int
    make: Make
    expect: Mapping[str, Counts]
    twice: bool = False
    """Whether each item is sent again after it has ended, as by a sender that got no answer."""
    relayed: int = 0
    charged: int = 0
    mails: int = 0
    reason: str = ""
    """The reason of the dead letter; empty if there is none."""
    dead_in: str = ""


def _task(queue: str, task: str, args: Mapping[str, Any]) -> Item:
    """An item with the smallest valid message."""
    return Item(queue, json.dumps({"task": task, "args": args}))


def _with_id(item: Item) -> Item:
    """The same message with an id from the sender, so that it can be sent twice as the same task."""
    own = str(uuid4())
    return Item(item.queue, json.dumps({"id": own, **json.loads(item.body)}), id=own)


def _bare_welcome(run: Run, name: str) -> Item:
    args = {"user_id": run.number * 1000 + int(name.rpartition("-")[2]), "email": f"{run.mark}-{name}@example.org"}
    return _task("emails", "send_welcome_email", args)


def _welcome(run: Run, name: str) -> Item:
    return _with_id(_bare_welcome(run, name))


def _order(cents: int) -> Make:
    def make(run: Run, name: str) -> Item:
        args = {"order_id": f"{run.mark}-{name}", "email": f"{run.mark}-{name}@example.org", "amount_cents": cents}
        return _with_id(_task("orders", "place_order", args))

    return make


def _payment(cents: int) -> Make:
    def make(run: Run, name: str) -> Item:
        order = f"{run.mark}-{name}"
        arguments = {"payment_id": f"direct-{order}", "order_id": order, "amount_cents": cents}
        return Item("payments", payment=arguments)

    return make


def _webhook(hook: str) -> Make:
    def make(run: Run, name: str) -> Item:
        url = f"{run.provider_url}/hooks/{hook}"
        args = {"url": url, "event": "demo", "data": {"name": f"{run.mark}-{name}"}}
        return _task("webhooks", "deliver_webhook", args)

    return make


OK = Counts(sent=1, succeeded=1)
RETRIED = Counts(sent=1, succeeded=1, retried=1)
DEAD = Counts(sent=1, dead=1)
TWICE = Counts(sent=2, succeeded=1, duplicates=1)


def _order_case(name: str, count: int, cents: int, payment: Counts, *, twice: bool = False) -> Case:
    """A case of orders. The event of an order reaches two tasks. An order that is sent twice still has one event."""
    dead = bool(payment.dead)
    return Case(
        name,
        count,
        _order(cents),
        {"orders": TWICE if twice else OK, "emails": OK, "payments": payment},
        twice=twice,
        relayed=1,
        charged=0 if dead else 1,
        mails=1,
        reason="rejected" if dead else "",
        dead_in="payments" if dead else "",
    )


def _dead_case(name: str, count: int, queue: str, make: Make, reason: str) -> Case:
    return Case(name, count, make, {queue: DEAD}, reason=reason, dead_in=queue)


# The last three digits of an amount select the provider's behaviour: local/celeriac_local/provider/charges.py.
CASES = (
    Case("welcome e-mails", 20, _welcome, {"emails": OK}, mails=1),
    Case("welcome e-mails without an id", 15, _bare_welcome, {"emails": OK}, mails=1),
    Case("welcome e-mails sent twice", 5, _welcome, {"emails": TWICE}, twice=True, mails=1),
    _order_case("orders", 21, 25_00, OK),
    _order_case("orders sent twice", 5, 31_00, OK, twice=True),
    _order_case("orders whose card is declined", 1, 14_02, DEAD),
    _order_case("orders while the provider is busy", 1, 14_29, RETRIED),
    _order_case("orders while the provider is down", 1, 15_03, RETRIED),
    _order_case("orders charged without an answer", 1, 15_04, RETRIED),
    Case("payments", 6, _payment(9_00), {"payments": OK}, charged=1),
    Case("payments enqueued twice", 3, _payment(7_00), {"payments": TWICE}, twice=True, charged=1),
    _dead_case("payments declined", 2, "payments", _payment(34_02), "rejected"),
    Case("payments while busy", 2, _payment(34_29), {"payments": RETRIED}, charged=1),
    Case("payments while down", 2, _payment(35_03), {"payments": RETRIED}, charged=1),
    Case("payments charged without an answer", 1, _payment(35_04), {"payments": RETRIED}, charged=1),
    Case("webhooks", 10, _webhook("ok"), {"webhooks": OK}),
    Case("webhooks to a flaky receiver", 3, _webhook("flaky"), {"webhooks": RETRIED}),
    Case("webhooks to a busy receiver", 3, _webhook("busy"), {"webhooks": RETRIED}),
    _dead_case("webhooks to one that is gone", 2, "webhooks", _webhook("gone"), "rejected"),
    _dead_case("not JSON", 1, "emails", lambda run, name: Item("emails", f"no JSON {run.mark}-{name}"), "malformed"),
    _dead_case(
        "no task in it",
        1,
        "webhooks",
        lambda run, name: Item("webhooks", json.dumps({"args": {"name": f"{run.mark}-{name}"}})),
        "malformed",
    ),
    _dead_case(
        "an argument of the wrong type",
        2,
        "emails",
        lambda run, name: _task("emails", "send_welcome_email", {"user_id": "seven", "email": f"{run.mark}-{name}"}),
        "malformed",
    ),
)


def items(run: Run) -> Iterator[tuple[Case, Item]]:
    """Every message of the run, once."""
    for position, case in enumerate(CASES):
        for i in range(case.count):
            # The number is unique across all cases, because user ids are made of it.
            yield case, case.make(run, f"{position}-{position * 30 + i}")


def expected(cases: tuple[Case, ...] = CASES) -> Totals:
    """The expected totals of a run."""
    letters: dict[str, int] = {}
    for case in cases:
        if case.reason:
            label = f"{case.dead_in}: {case.reason}"
            letters[label] = letters.get(label, 0) + case.count
    return Totals(
        queues={
            queue: sum((case.expect.get(queue, Counts()).times(case.count) for case in cases), Counts())
            for queue in QUEUES
        },
        relayed=sum(case.relayed * case.count for case in cases),
        charged=sum(case.charged * case.count for case in cases),
        mails=sum(case.mails * case.count for case in cases),
        dead_letters=letters,
    )


type Column = Literal["sent", "succeeded", "retried", "dead", "duplicates"]
COLUMNS: Mapping[Column, str] = {
    "sent": "sent",
    "succeeded": "succeeded",
    "retried": "retries",
    "dead": "dead letters",
    "duplicates": "duplicates absorbed",
}


def differences(wanted: Totals, found: Totals) -> list[str]:
    """A sentence for every count that isn't as expected."""
    pairs: list[tuple[str, int, int]] = [
        (f"{queue}: {label}", getattr(wanted.queues[queue], column), getattr(found.queues[queue], column))
        for queue in QUEUES
        for column, label in COLUMNS.items()
    ]
    pairs += [
        (f"dead letters, {label}", wanted.dead_letters.get(label, 0), found.dead_letters.get(label, 0))
        for label in sorted({*wanted.dead_letters, *found.dead_letters})
    ]
    pairs += [
        ("outbox events relayed", wanted.relayed, found.relayed),
        ("orders charged", wanted.charged, found.charged),
        ("orders charged more than once", wanted.overcharged, found.overcharged),
        ("e-mails sent", wanted.mails, found.mails),
    ]
    return [f"{what} must be {must}, and is {found}" for what, must, found in pairs if must != found]
