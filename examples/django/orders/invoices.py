"""Sends the tasks of orders. The column `is_sent` is what remembers an order whose task wasn't sent."""

from datetime import timedelta

from django.utils import timezone

from orders.models import Order
from shop_tasks.work import make_invoice


def send_invoice(order: Order) -> None:
    """Enqueue, then remember it. A process that dies between the two sends again: the key makes both one invoice."""
    make_invoice.enqueue(order=order.pk, cents=order.cents)
    Order.objects.filter(pk=order.pk).update(is_sent=True)


def send_waiting(older_than: timedelta = timedelta(minutes=1)) -> int:
    """Send what `on_commit` hasn't: the process died between commit and send, or AWS couldn't be reached."""
    waiting = Order.objects.filter(is_sent=False, placed_at__lt=timezone.now() - older_than)
    for order in waiting:
        send_invoice(order)
    return len(waiting)
