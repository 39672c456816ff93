"""Takes orders, and tells the state of their invoices."""

import json
from functools import partial

from django.db import transaction
from django.http import HttpRequest, JsonResponse
from django.shortcuts import get_object_or_404
from django.views.decorators.http import require_GET, require_POST

import celeriac
from celeriac import ConditionFailedError
from orders.invoices import send_invoice
from orders.models import Order
from shop_tasks.work import make_invoice

PRICES = {"cup": 900, "jug": 2400}


@require_POST
@transaction.atomic
def place(request: HttpRequest) -> JsonResponse:
    """Write the order, and enqueue its invoice once Django's transaction has committed."""
    article = json.loads(request.body)["article"]
    order = Order.objects.create(article=article, cents=PRICES.get(article, 0))
    transaction.on_commit(partial(send_invoice, order), robust=True)  # an error is logged; `send_waiting` sends later
    if article not in PRICES:
        transaction.set_rollback(True)  # neither the order nor the task
        return JsonResponse({"error": "no such article"}, status=422)
    return JsonResponse({"number": order.pk}, status=201)


@require_GET
def order(_: HttpRequest, number: int) -> JsonResponse:
    """Tell the state of an order's invoice, by the number of the first answer: it is the task's key."""
    placed = get_object_or_404(Order, pk=number)
    status = make_invoice.handle(key=placed.pk).status()
    return JsonResponse({"state": "waiting" if status.state == "unknown" else status.state, "result": status.result})


@require_POST
def hold(request: HttpRequest, hold: str) -> JsonResponse:
    """Write to DynamoDB with the outbox: item and event, or neither. Django's database is no part of this."""
    article = json.loads(request.body)["article"]
    try:
        with celeriac.transaction() as tx:
            tx.put("stock", {"pk": hold, "article": article}, condition="attribute_not_exists(pk)")
            tx.emit("stock.held", {"hold": hold, "article": article}, aggregate=article)
    except ConditionFailedError:
        return JsonResponse({"error": "held already"}, status=409)
    return JsonResponse({"hold": hold}, status=201)
