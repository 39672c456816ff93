"""What follows an order."""

from celeriac import task
from shop_tasks.queues import receipts


@task(receipts, key="order")
def send_receipt(order: str, email: str) -> dict[str, str]:
    """Send the receipt, and let the order be archived."""
    archive.enqueue(order=order)
    return {"sent": order, "to": email.partition("@")[2]}


@task(receipts, key="order")
def archive(order: str) -> None:
    """Put the order away."""
    print(f"archived {order}")
