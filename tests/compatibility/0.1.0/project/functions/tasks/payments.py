"""Payments through an HTTP provider that takes an `Idempotency-Key`."""

import os
from datetime import timedelta
from http import HTTPStatus

from celeriac import Backoff, Context, Reject, Retry, task
from tasks.http import SERVER_ERROR, pool, retry_after
from tasks.queues import payments


class ProviderError(RuntimeError):
    """The provider didn't confirm the charge. The customer may have been charged or not."""


@task(
    payments,
    key="payment_id",
    on="order.created",
    retry=Backoff(base=timedelta(seconds=2), factor=3, attempts=6),
    timeout=timedelta(seconds=20),
)
def process_payment(ctx: Context, payment_id: str, order_id: str, amount_cents: int) -> dict[str, str]:
    """Charge the customer and mark the order as paid.

    If the answer to a charge is lost, the next attempt asks again with the same key: the provider then returns the
    first charge.
    """
    charge = _charge(ctx.key, order_id, amount_cents)
    with ctx.transaction() as tx:
        tx.put("payments", {"pk": payment_id, "order_id": order_id, "charge": charge, "amount_cents": amount_cents})
        tx.update("orders", key={"pk": order_id}, set={"paid": True})
    return {"charge": charge}


def _charge(key: str, order_id: str, amount_cents: int) -> str:
    # A timeout or a broken connection raises an error of urllib3, which is retried like any other error.
    answer = pool().request(
        "POST",
        f"{os.environ['PAYMENT_PROVIDER_URL']}/charges",
        json={"order_id": order_id, "amount_cents": amount_cents},
        headers={"Idempotency-Key": key},
    )
    if answer.status == HTTPStatus.CREATED:
        return str(answer.json()["id"])
    if answer.status == HTTPStatus.PAYMENT_REQUIRED:
        raise Reject("card declined")
    if answer.status == HTTPStatus.TOO_MANY_REQUESTS:
        raise Retry("the provider asks to wait", delay=retry_after(answer.headers))
    if answer.status >= SERVER_ERROR:
        raise ProviderError(f"the provider answered {answer.status}")
    raise Reject(f"the provider refuses the request with {answer.status}")
