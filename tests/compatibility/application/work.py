"""Its tasks. Each notes its runs, so that a second run of done work is seen."""

from celeriac import Reject, task
from tests.compatibility.application.queues import jobs, ledger

ran: list[tuple[str, str]] = []


@task(jobs, key="order_id")
def charge(order_id: str, cents: int) -> dict[str, str]:
    ran.append(("charge", order_id))
    return {"charge": f"ch-{order_id}-{cents}"}


@task(jobs)
def remind(order_id: str) -> None:
    ran.append(("remind", order_id))


@task(jobs)
def refuse(order_id: str) -> None:
    ran.append(("refuse", order_id))
    if order_id.startswith("bad"):
        raise Reject("not this one")


@task(ledger)
def book(order_id: str) -> None:
    ran.append(("book", order_id))


@task(jobs, on="order.placed")
def confirm(order_id: str) -> None:
    ran.append(("confirm", order_id))
