"""What the demo sends, and beside it what must become of it. Pure data: nothing here knows how it turned out.

A case says what one item of it does to each queue, the relay's follow-ups included; the sums are what the report
is held to.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from uuid import uuid4

QUEUES = ("emails", "orders", "payments", "webhooks")


@dataclass(frozen=True, slots=True)
class Counts:
    """What a queue saw. Every message sent ends as a success, a dead letter or a duplicate; retries are extra."""

    sent: int = 0
    succeeded: int = 0
    retried: int = 0
    dead: int = 0
    duplicates: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        """Both together."""
        return Counts(
            self.sent + other.sent,
            self.succeeded + other.succeeded,
            self.retried + other.retried,
            self.dead + other.dead,
            self.duplicates + other.duplicates,
        )

    def times(self, count: int) -> "Counts":
        """As often as `count`."""
        return sum((self for _ in range(count)), Counts())

    @property
    def ended(self) -> int:
        """Messages that nothing more will happen to."""
        return self.succeeded + self.dead + self.duplicates


@dataclass(frozen=True, slots=True)
class Totals:
    """What a whole run comes to."""

    queues: dict[str, Counts] = field(default_factory=dict)
    relayed: int = 0
    """Outbox events brought to their subscribers."""
    charged: int = 0
    """Orders that the provider took money for."""
    overcharged: int = 0
    """Orders that it took money for more than once."""
    mails: int = 0
    """E-mails that SES was given."""
    dead_letters: dict[str, int] = field(default_factory=dict)
    """Dead letters by `queue: reason`."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run of the demo. Its mark is in every message, so that nobody else's work is counted."""

    number: int
    """Seconds since 1970: a number, because user ids are."""
    provider_url: str

    @property
    def mark(self) -> str:
        """What every message of the run contains."""
        return f"demo{self.number}"


@dataclass(frozen=True, slots=True)
class Item:
    """A message to send. `body` as a sender without our library writes it, or `payment` for our producer."""

    queue: str
    body: str = ""
    id: str = ""
    """The task id in the body; where there is none, SQS's message id serves."""
    payment: Mapping[str, Any] | None = None


type Make = Callable[[Run, str], Item]
"""Makes an item of a run; the text is the item's own name, unique within the run."""


@dataclass(frozen=True, slots=True)
class Case:
    """Items of one kind, and what each of them must come to."""

    name: str
    count: int
    make: Make
    expect: Mapping[str, Counts]
    twice: bool = False
    """Send it again once it has ended, as a sender does that never got its answer."""
    relayed: int = 0
    charged: int = 0
    mails: int = 0
    reason: str = ""
    """Why it is a dead letter."""
    dead_in: str = ""


def _task(queue: str, task: str, args: Mapping[str, Any]) -> Item:
    """The least that is a message."""
    return Item(queue, json.dumps({"task": task, "args": args}))


def _with_id(item: Item) -> Item:
    """The same message with an id of the sender's, under which it may be sent again."""
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
    """An order, whose event reaches two tasks. Sent twice it is still one order with one event."""
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


# The last three digits of an amount tell the provider how to behave, see local/celeriac_local/charges.py.
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
            # The number is unique among all cases, because user ids are made of it.
            yield case, case.make(run, f"{position}-{position * 30 + i}")


def expected(cases: tuple[Case, ...] = CASES) -> Totals:
    """What the run must come to."""
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
    """A sentence for every count that isn't what it must be."""
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
