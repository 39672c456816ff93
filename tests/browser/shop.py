"""A shop on a bad morning, for the pictures of the docs and for the tests of every screen.

What the sandbox lacks, consumers and CloudWatch, is given.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.client import BaseClient

import celeriac
from celeriac import Breaker, Concurrent, Queue, Rate, Reject, task
from celeriac.aws.client import client
from celeriac.declare import registry
from celeriac.flow import overrides, places, rate, rows
from celeriac.flow.batches import root
from celeriac.flow.overrides import Override
from celeriac.model import names, settings
from celeriac.testing import Sandbox
from celeriac_console.web.identity import Identity
from celeriac_console.web.live import figures
from celeriac_console.web.live.alarms import Alarm
from celeriac_console.web.live.deploys import Stack
from celeriac_console.web.live.figures import Figures, LastHour
from celeriac_console.web.live.shared_read import SharedRead
from celeriac_console.web.shared import Shared

IDENTITY = Identity(
    "shop", "prod", "111122223333", "eu-west-1", "arn:aws:sts::111122223333:assumed-role/operator/ann", keeps=True
)
BROKEN_PAGE = 17
ROUND = timedelta(minutes=11)
RARELY = timedelta(days=1)
mails = Queue("mails")
payments = Queue("payments", history=True)
invoices = Queue("invoices")
exports = Queue("exports")
search = Queue("search")


bank = Breaker("bank", failures=3, of=10, on=(ConnectionError,))
mail_provider = Rate("mail-provider", 10)
of_customer = Rate("of-customer", 5, per=timedelta(minutes=1), by="customer")
accountants = Concurrent("accountants", 2)


class CardExpiredError(Exception):
    """The provider refuses the card."""


@task(payments, key="order")
def charge(order: str, cents: int, currency: str = "EUR") -> str:
    """Charge an order's card once."""
    if cents <= 0:
        raise Reject("an order without an amount")
    if cents < 1000:
        return f"receipt of {order}"
    raise CardExpiredError(f"the card of {order} has expired")


@task(payments, limits=[bank])
def refund(order: str, reason: str = "") -> None:
    """Give the money back."""
    raise Reject("the order was never charged")


@task(invoices, on="order.paid", limits=[of_customer])
def write_invoice(number: int, customer: str) -> None:
    """Write the invoice of a paid order, and store it."""
    raise Reject("the customer has no address")


@task(mails, limits=[mail_provider])
def send_mail(to: str, template: str) -> None:
    """Send a mail to a customer."""


@task(invoices)
def index_pages(page: int) -> None:
    """Index a page of the catalogue."""
    if page == BROKEN_PAGE:
        raise Reject("the page is empty")


@task(search)
def publish_catalogue() -> None:
    """Publish the catalogue, when all of its pages are indexed."""


@task(exports, limits=[accountants], cron="0 3 * * *", timezone="Europe/Berlin")
def export_orders(day: str = "yesterday") -> None:
    """Export a day's orders for the accountants."""


@task(search, cron="rate(15 minutes)")
def refresh_index() -> None:
    """Bring the search up to date."""


DECLARED = {queue.name: queue for queue in (mails, payments, invoices, exports, search)}


@dataclass
class Shop:
    """The stage, and tasks in it by what has become of them."""

    sandbox: Sandbox
    dead: str
    """References, as `enqueue` gave them."""
    succeeded: str
    delayed: str
    batch: str
    """The id of one with a dead member. Another one was never complete."""
    shared: Shared | None = None
    """Of the page that shows it. The first job there is paused after its first batch."""


def opened(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Shop:
    """A stage with dead letters of several kinds, work that waits, and an event that is parked."""
    monkeypatch.setattr(registry, "queues", lambda: DECLARED)
    ours = {name: one for name, one in registry.tasks.items() if one.function.__module__ == __name__}
    monkeypatch.setattr(registry, "tasks", ours)
    batch = _batches(sandbox)
    succeeded = charge.enqueue("o-4099", cents=990)
    for number in range(4):
        for order in range(3):
            dead = charge.enqueue(f"o-{4100 + 10 * number + order}", cents=1990)
        charge.enqueue(f"o-{4200 + number}", cents=0)
        if number % 2:
            refund.enqueue(f"o-{3900 + number}", reason="sent back")
            write_invoice.enqueue(7700 + number, customer="c-88")
        sandbox.drain()
        sandbox.advance(ROUND)
    for number in range(37):
        export_orders.enqueue(f"2026-10-{number % 28 + 1:02}")
    for number in range(3):
        delayed = send_mail.options(delay=timedelta(hours=5 * (number + 1))).enqueue(
            f"ann{number}@example.com", "reminder"
        )
    with celeriac.transaction() as tx:
        tx.emit("order.paid", {"number": 7701, "customer": "c-90"}, aggregate="o-4103")
    table = names.outbox_table(settings.stage())
    [row] = client("dynamodb").scan(TableName=table)["Items"]
    parked = {"waiting": {"S": "parked"}, "reason": {"S": "the bus refuses it: it is too large"}}
    client("dynamodb").put_item(TableName=table, Item={**row, **parked})
    _limit()
    made = Shop(sandbox, dead.ref, succeeded.ref, delayed.ref, batch)
    real = BaseClient._make_api_call  # type: ignore[attr-defined]

    def pauses(client: BaseClient, operation: str, arguments: dict[str, Any]) -> Any:
        if operation == "SendMessageBatch" and made.shared is not None and len(made.shared.jobs.all()) == 1:
            made.shared.jobs.get("1").pause()
        return real(client, operation, arguments)

    monkeypatch.setattr(BaseClient, "_make_api_call", pauses)
    return made


def _batches(sandbox: Sandbox) -> str:
    with celeriac.batch(then=publish_catalogue.bind(), key="catalogue-2026-10") as batch:
        batch.enqueue_many(index_pages, ({"page": page} for page in range(BROKEN_PAGE + 3)))
    sandbox.drain()
    root.enter("search#publish_catalogue:catalogue-2026-11", then="", dead="", key="catalogue-2026-11")
    return batch.id


def _limit() -> None:
    """Limits that keep tasks waiting, and what somebody has set."""
    now = rows.now()
    rate.reserve(rows.of_limit("mail-provider", ""), 100_000, 1_240, free=now, seen={})
    rate.block(rows.of_limit("mail-provider", ""), now + 40_000_000, holds=0)
    for number in range(14):
        values = write_invoice.text_of(("customer",), {"customer": f"c-{number}"})
        rate.reserve(rows.of_limit("of-customer", values), 12_000_000, 1 + number, free=now, seen={})
    for _ in range(2):
        until = rows.instant(now + 300_000_000)
        places.take(rows.of_limit("accountants", ""), 2, until=until, seen={})
    ann = "arn:aws:sts::111122223333:assumed-role/operator/ann"
    overrides.put("bank", Override(is_open=True, by=ann, at=rows.instant(now - 900_000_000)))


def given(shared: Shared) -> None:
    """What AWS would say beside the sandbox."""
    now = datetime.now(UTC)
    start = now.replace(second=0, microsecond=0) - timedelta(minutes=figures.MINUTES)

    def hour(succeeded: int, failed: int = 0, oldest: float = 1.0) -> Figures:
        minutes = range(figures.MINUTES)
        wave = tuple(float(max(0, succeeded + (7 * minute * minute + 3 * minute) % 9 - 4)) for minute in minutes)
        broken = tuple(float(failed and minute > 38) * (failed + minute % 3) for minute in minutes)
        return Figures(wave, broken, oldest, start)

    last_hour = {
        "mails": hour(22), "payments": hour(14, 3, 4.0), "invoices": hour(9, 1, 2.0), "exports": hour(0, 0, 1500.0),
        "search": hour(5),
    }  # fmt: skip
    live: Any = shared.live
    live.figures = SharedRead(lambda: LastHour(last_hour, now), RARELY, LastHour({}, None))
    consumers = {name: "paused" if name == "exports" else "on" for name in DECLARED}
    live.consumers = SharedRead(lambda: consumers, RARELY, {})
    alarm = Alarm(
        "shop-prod--payments-dead-letters", "Dead letters have arrived in the last 5 minutes", now.isoformat()
    )
    live.alarms = SharedRead(lambda: [alarm], RARELY, [])
    deployed = now - timedelta(minutes=22)
    stacks = tuple(Stack(f"shop-prod--{part}", "UPDATE_COMPLETE", deployed) for part in ("state", "work"))
    live.deploys = SharedRead(lambda: stacks, RARELY, ())
