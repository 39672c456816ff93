"""Orders: an order and its event are written in one transaction."""

from celeriac import ConditionFailedError, Context, Reject, task
from tasks.queues import orders


@task(orders, key="order_id")
def place_order(ctx: Context, order_id: str, email: str, amount_cents: int) -> dict[str, str]:
    """Write the order and `order.created` in one transaction: no order without its event, no event without its order.

    The relay publishes the event to `process_payment` and `send_order_confirmation`.
    """
    payment_id = f"payment-{order_id}"
    try:
        with ctx.transaction() as tx:
            tx.put(
                "orders",
                {"pk": order_id, "email": email, "amount_cents": amount_cents, "paid": False},
                condition="attribute_not_exists(pk)",
            )
            tx.emit(
                "order.created",
                {"order_id": order_id, "email": email, "payment_id": payment_id, "amount_cents": amount_cents},
                aggregate=order_id,
            )
            tx.result({"payment_id": payment_id})
    except ConditionFailedError as taken:
        raise Reject("an order of this id exists") from taken
    return {"payment_id": payment_id}
