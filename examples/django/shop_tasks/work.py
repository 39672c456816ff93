"""What the shop does after it has answered. The workers don't load Django: the tasks get what they need."""

from celeriac import task
from shop_tasks.queues import documents, mail


@task(documents, key="order")
def make_invoice(order: int, cents: int) -> dict[str, str]:
    """Make the invoice of an order, once, however often it is enqueued."""
    return {"file": f"invoices/{order}.pdf"}


@task(mail, key="hold", on="stock.held")
def tell_warehouse(hold: str, article: str) -> None:
    """Tell the warehouse what is held, after the transaction has committed."""
    print(f"{article} is held by {hold}")
