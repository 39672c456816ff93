"""What the shop does after it has answered."""

from celeriac import task
from shop_tasks.queues import documents, mail


@task(documents)
def shrink(picture: str, width: int) -> str:
    """Make a small copy of a picture. It has no key: each request is work of its own."""
    return f"{picture}-{width}.jpg"


@task(mail, key="order", on="order.placed")
def confirm(order: str, email: str) -> None:
    """Write to the customer, after the order's transaction has committed."""
    print(f"order {order} is confirmed")
