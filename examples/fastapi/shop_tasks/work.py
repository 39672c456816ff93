"""What the shop does after it has answered."""

from celeriac import task
from shop_tasks.queues import documents, mail


@task(documents, key="request")
def make_report(month: str, request: str) -> dict[str, str]:
    """Make the report of a month. Two messages of one request are one report."""
    return {"file": f"reports/{month}/{request}.pdf"}


@task(mail, key="order", on="order.placed")
def confirm(order: str, email: str) -> None:
    """Write to the customer, after the order's transaction has committed."""
    print(f"order {order} is confirmed")
