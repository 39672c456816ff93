"""What the shop does after it has answered."""

from celeriac import task
from shop_tasks.queues import documents, mail


@task(documents, key="month")
def make_report(month: str) -> dict[str, str]:
    """Make the report of a month, once."""
    return {"file": f"reports/{month}.pdf"}


@task(mail, key="order", on="order.placed")
def confirm(order: str, email: str) -> None:
    """Write to the customer, after the order's transaction has committed."""
    print(f"order {order} is confirmed")
